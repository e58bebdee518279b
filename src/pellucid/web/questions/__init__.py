"""What the page may ask, by name. Each question is a class whose fields are its parameters."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from pellucid.errors import ArgumentError
from pellucid.web.opened import Opened
from pellucid.web.questions.ahead import Ahead
from pellucid.web.questions.answering import Answering
from pellucid.web.questions.convolution import Maps, Stages
from pellucid.web.questions.drivers import Drivers
from pellucid.web.questions.forced import Forced
from pellucid.web.questions.guide import FIGURES
from pellucid.web.questions.overview import Input, Layers, Overview
from pellucid.web.questions.pixel import Leaning, Pixel
from pellucid.web.questions.question import Answer, Question, key
from pellucid.web.questions.reach import Gradient, Reach
from pellucid.web.questions.recurrence import CellOf, Places
from pellucid.web.questions.sequence import Line, Ordered, Sequence
from pellucid.web.questions.sofar import SoFar
from pellucid.web.questions.step import Step
from pellucid.web.questions.telling import Telling
from pellucid.web.questions.thumbnails import Thumbnails
from pellucid.web.questions.unit import Attribution, Unit
from pellucid.web.questions.variant import Variant

QUESTIONS: dict[str, type[Question]] = {
    "overview": Overview,
    "input": Input,
    "ahead": Ahead,
    "layers": Layers,
    "answer": Answering,
    "thumbnails": Thumbnails,
    "stages": Stages,
    "maps": Maps,
    "pixel": Pixel,
    "leaning": Leaning,
    "variant": Variant,
    "places": Places,
    "cell": CellOf,
    "step": Step,
    "sequence": Sequence,
    "order": Ordered,
    "line": Line,
    "telling": Telling,
    "reach": Reach,
    "gradient": Gradient,
    "unit": Unit,
    "attribution": Attribution,
    "drivers": Drivers,
    "forced": Forced,
    "sofar": SoFar,
    **FIGURES,
}


def ask(opened: Opened, name: str, parameters: dict[str, Any]) -> Answer:
    """Answer a question.

    Args:
        opened: what it is asked about.
        name: of the question.
        parameters: of the question, as JSON gives them.

    Raises:
        ArgumentError: there is no such question, or a parameter is missing, strange, or names what is not there.
    """
    if name not in QUESTIONS:
        raise ArgumentError(f"there is no question {name!r}; there are {', '.join(QUESTIONS)}")
    try:
        question = QUESTIONS[name](**parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "parameters"
        raise ArgumentError(f"{name}: {where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    return question.answer(opened)


__all__ = ["QUESTIONS", "Answer", "Question", "ask", "key"]
