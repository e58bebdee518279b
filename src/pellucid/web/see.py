"""``pellucid.see``: open a page on networks, from Python or a notebook."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pellucid.errors import ArgumentError

if TYPE_CHECKING:
    from pellucid.web.pictures import Preprocess

try:
    import uvicorn

    from pellucid.web.model import of_models, of_nothing
    from pellucid.web.opened import Opened
    from pellucid.web.server import application
except ModuleNotFoundError as error:  # the light install has the layers only
    if error.name not in ("anyio", "pydantic", "starlette", "uvicorn"):
        raise
    raise ArgumentError(
        f"the page needs {error.name}, which is not installed; install it with: pip install 'pellucid[see]'"
    ) from None


@dataclass
class Page:
    """A page that is open in this process until :meth:`close`; in a notebook it shows itself.

    Attributes:
        url: its address, with the token.
    """

    url: str
    _server: uvicorn.Server
    _thread: threading.Thread

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def __repr__(self) -> str:
        return f"a page at {self.url}"

    def _repr_html_(self) -> str:
        return f'<iframe src="{escape(self.url)}" width="100%" height="720" style="border:0"></iframe>'


def see(
    model: nn.Module | Mapping[str, nn.Module] | None = None,
    batch: Tensor | None = None,
    *lengths: Tensor,
    labels: Sequence[str] = (),
    preprocess: Preprocess | None = None,
) -> Page:
    """Open a page on a model, or on several side by side, and what they compute on a batch; the guide, without arguments.

    Args:
        model: any module built from layers of ``pellucid.nn`` or ``torch.nn``'s convolutions, on any device; or several by name.
            The page works on a copy: the model may be trained on, and the page shows it as it was.
        batch: what the models take: images (B, C, H, W), sequences (B, T, I), tokens (B, T), and where a recurrent layer of theirs
            is given it in that order, or they have the attribute ``batch_first = False``, (T, B, I) or (T, B). The first 64 are
            shown. Where images have 1 or 3 channels, pictures can be drawn on the page, or given as files.
        lengths: what else they take, such as lengths (B,).
        labels: the classes, of models that answer with a score for each, (B, K), before the softmax.
        preprocess: makes a tensor (C, H, W) like the batch's of a picture (PIL.Image.Image, in grey for 1 channel, else in
            colours), as torchvision's transforms do. Without it a picture is resized to (H, W), and its black and white
            become 0 and 1 if the batch lies between them, else the batch's lowest and highest number in each channel.

    Returns:
        The page; it is served from a thread of this process.

    Raises:
        ArgumentError: the model cannot be copied, or not be called with the batch; there is no batch; labels or ``preprocess``
            do not fit.
    """
    if model is None:
        return serve(of_nothing())
    if batch is None:
        raise ArgumentError("see shows what a model computes on something; give a batch after the model")
    models = model if isinstance(model, Mapping) else {"model": model}
    return serve(of_models(models, batch, *lengths, labels=labels, preprocess=preprocess))


def serve(opened: Opened, port: int = 0) -> Page:
    """Serve what is open on the loopback address.

    Args:
        opened: what is looked into.
        port: on which; a free one for 0.

    Raises:
        ArgumentError: the port is taken.
    """
    if not 0 <= port < 2**16:
        raise ArgumentError(f"port is {port}; give one from 1024 to 65535, or 0 for a free one")
    # With the protocol named, asyncio sends small parts of an answer at once (TCP_NODELAY); else each waits 40 ms for the last one's
    # acknowledgement.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a page that was just closed may be opened anew
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # who is quicker than the server waits for it
    except OSError as error:
        raise ArgumentError(
            f"port {port} cannot be used ({error.strerror}); give another, or 0 for a free one"
        ) from None
    port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
    config = uvicorn.Config(application(opened, token), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="pellucid page", daemon=True)
    thread.start()
    threading.Thread(target=_make_ready, daemon=True).start()
    return Page(f"http://127.0.0.1:{port}/#token={token}", server, thread)


def _make_ready() -> None:
    """Have torch import what it needs for a first gradient, which takes half a second, before someone asks for one."""
    x = torch.zeros(1, requires_grad=True)
    torch.autograd.grad(2 * x, x, torch.ones(1))
