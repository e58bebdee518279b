"""What a question is: parameters that are checked, and an answer computed from what is open."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from pydantic import BaseModel, ConfigDict

from pellucid.web.opened import Opened

Answer = dict[str, Any]  # JSON: numbers, texts, lists and objects


class Question(BaseModel):
    """A subclass's fields are the question's parameters; the same parameters have the same answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @abstractmethod
    def answer(self, opened: Opened) -> Answer:
        """The answer.

        Raises:
            ArgumentError: a parameter names what is not there, as a sentence.
        """


def key(name: str, parameters: dict[str, Any]) -> str:
    """What an answer is recorded under: the page makes the same text of the same question."""
    whole = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in parameters.items()}
    return f"{name}?{json.dumps(whole, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}"
