"""The server: the page's files, and questions for whoever has the token. It listens on the loopback address alone.

Other programs of the machine, and pages of other sites that are open in the same browser, can reach a loopback address, too.
So a request is let in only if it names this machine as its host (a name of another site that was pointed here does not), comes
from no other page, and, where it asks for anything of the person's, has the token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.errors import PellucidError
from pellucid.web.changing import change
from pellucid.web.opened import LARGEST, Opened
from pellucid.web.questions import ask

PAGE = Path(__file__).parent / "page"
AT_ONCE = 2  # requests; the page's files need none of these threads
MOST = 200  # questions of a request
OWN_HOSTS = ("127.0.0.1", "localhost")
# Who may show the page in a frame: notebooks that are served by this machine, and those of Visual Studio Code, whose windows
# have a scheme of their own.
NOTEBOOKS = "http://localhost:* http://127.0.0.1:* vscode-webview: vscode-file:"
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    f"base-uri 'none'; form-action 'none'; frame-ancestors 'self' {NOTEBOOKS}",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = logging.getLogger(__name__)


def application(opened: Opened, token: str) -> Starlette:
    """The application.

    Args:
        opened: what is looked into.
        token: without which nothing is answered.
    """
    threads = ThreadPoolExecutor(AT_ONCE, "pellucid question")

    async def computed(work: Callable[[], Any]) -> tuple[Any, str, int]:
        """What it gives, or else a sentence that says why nothing came, and the status that goes with it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work), "", 200
        except PellucidError as error:
            return None, str(error), 400
        except Exception as error:
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            _log.error("a question could not be answered: %s", said)
            _log.debug("where it came from", exc_info=True)
            return None, f"this could not be computed ({said}); please report it", 500

    async def answered(work: Callable[[], object]) -> Response:
        found, error, status = await computed(work)
        return _sentence(error, status) if error else JSONResponse(found)

    async def questions(request: Request) -> Response:
        """Several in one request, in the order in which they are answered: each answer leaves once it is there, as a line."""
        data = await body(request)
        if isinstance(data, Response):
            return data
        try:
            asked = json.loads(data)
        except (ValueError, RecursionError):
            return _sentence("the questions are no JSON", 400)
        if not _are_questions(asked):
            return _sentence(f"the questions are no list of up to {MOST} names, each with its parameters", 400)

        async def lines() -> AsyncIterator[bytes]:
            for name, parameters in asked:
                line, error, _ = await computed(lambda n=name, p=parameters: _line({"answer": ask(opened, n, p)}))  # type: ignore[misc]
                yield line or _line({"error": error})

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def body(request: Request) -> bytes | Response:
        """What was sent, or why it is not taken."""
        too_large = _sentence(f"the file is larger than {LARGEST // 2**20} MB; give a smaller one", 413)
        if (
            request.headers.get("content-length", "0").isdecimal()
            and int(request.headers.get("content-length", "0")) > LARGEST
        ):
            return too_large
        data = bytearray()
        try:
            async for part in request.stream():
                data += part
                if len(data) > LARGEST:
                    return too_large
        except ClientDisconnect:
            return _sentence("the file did not come whole", 400)
        return bytes(data)

    async def item(request: Request) -> Response:
        """A file that a person gives: the number of its first item, and how many it has."""
        data = await body(request)
        if isinstance(data, Response):
            return data

        def add() -> dict[str, int]:
            first, count = opened.give(request.query_params.get("name", ""), data)
            return {"item": first, "count": count}

        return await answered(add)

    async def changed(request: Request) -> Response:
        """Numbers of an item that a person changes: the number of the item that it becomes."""
        data = await body(request)
        if isinstance(data, Response):
            return data
        return await answered(lambda: {"item": change(opened, request.path_params["item"], data)})

    app = Starlette(
        routes=[
            Route("/ask", questions, methods=["POST"]),
            Route("/items", item, methods=["POST"]),
            Route("/items/{item:int}", changed, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )
    app.add_middleware(_Guard, token=token)
    return app


class _Guard:
    """Lets nobody in who may not ask, and tells browsers with every response what they may do with it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] == "http":
            inside = _refusal(Request(scope), self._token) or self._app
            await inside(scope, receive, with_headers)


def _refusal(request: Request, token: str) -> Response | None:
    """Why a request is not let in; None where it is. The page's own files hold nothing of the person's and need no token."""
    host = request.headers.get("host", "")
    if host.partition(":")[0] not in OWN_HOSTS:  # any port: a tunnel may have another
        return _sentence("this page is served to its own machine only", 403)
    if request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return _sentence("another page may not ask here", 403)
    if request.url.path.startswith(("/ask", "/items")):
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _sentence("the token is missing or wrong; open the address that was printed, with its token", 401)
    return None


def _sentence(text: str, status: int) -> JSONResponse:
    # Closed, since whoever is refused may be sending still.
    return JSONResponse({"error": text}, status, {"Connection": "close"})


def _are_questions(asked: object) -> bool:
    """Whether it is a list of names, each with its parameters."""
    return (
        isinstance(asked, list)
        and 0 < len(asked) <= MOST
        and all(isinstance(one, list) and list(map(type, one)) == [str, dict] for one in asked)
    )


def _line(answer: object) -> bytes:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
