"""The page without a server: its answers are recorded, and stand in the page itself.

The answers of some questions are kept as compressed JSON in base64, in a script element that no browser runs, so nothing of
what they say can be taken for markup. A page that finds them asks nobody else.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch

from pellucid.web.opened import Opened
from pellucid.web.questions import Answer, ask, key

PAGE = Path(__file__).parent / "page"
ROOT = '<div id="app"></div>'
SCRIPT = '<script defer src="./app.js"></script>'
STYLE = '<link rel="stylesheet" href="./app.css">'
# Of a page in one text the script is compressed, too, and started by this one; a policy names the hashes of both.
START = """(async () => {
  const packed = Uint8Array.from(atob(document.getElementById('pellucid-app').textContent), (c) => c.charCodeAt(0));
  const script = document.createElement('script');
  script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
  document.body.append(script);
})();"""


@dataclass(frozen=True)
class Whole:
    """A page in one text.

    Attributes:
        html: the page.
        hashes: of its scripts, as a content security policy names them.
    """

    html: str
    hashes: tuple[str, ...]


def record(opened: Opened, asked: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Answer]:
    """The answers of these questions and of the frame's own, by :func:`~pellucid.web.questions.key`.

    Raises:
        ArgumentError: a question that cannot be answered.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of small layers, where threads would mostly wait for one another
    try:
        return {key(name, parameters): ask(opened, name, parameters) for name, parameters in [("overview", {}), *asked]}
    finally:
        torch.set_num_threads(threads)


def beside(answers: dict[str, Answer], at: str = "") -> str:
    """The page's HTML, whose script and style lie beside it.

    Args:
        answers: as recorded.
        at: where the page opens, as its address would say it: ``"view=guide&page=lstm"``.
    """
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    kept = _packed("pellucid-answers", json.dumps(answers, separators=(",", ":")))
    return text.replace(ROOT, f'<div id="app" data-at="{escape(at)}"></div>{kept}')


def whole(answers: dict[str, Answer], at: str = "") -> Whole:
    """The page with its script and its style in it; the arguments are those of :func:`beside`."""
    script = (PAGE / "app.js").read_text(encoding="utf-8")
    style = (PAGE / "app.css").read_text(encoding="utf-8").replace("</style", "<\\/style")
    html = beside(answers, at).replace(SCRIPT, "").replace(STYLE, f"<style>{style}</style>")
    end = f"{_packed('pellucid-app', script)}<script>{START}</script></body>"
    return Whole(html.replace("</body>", end), (_hash(START), _hash(script)))


def _packed(name: str, text: str) -> str:
    """A script element that no browser runs, with a text compressed and in base64."""
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return f'<script type="application/gzip" id="{name}">{packed}</script>'


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
