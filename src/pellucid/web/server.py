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
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pellucid.errors import PellucidError
from pellucid.web.changing import change
from pellucid.web.opened import LARGEST, Opened
from pellucid.web.questions import ask

PAGE = Path(__file__).parent / "page"
AT_ONCE = 2  # questions; the page's files need none of these threads
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

    async def answered(work: Callable[[], object]) -> Response:
        try:
            return JSONResponse(await asyncio.get_running_loop().run_in_executor(threads, work))
        except PellucidError as error:
            return _sentence(str(error), 400)
        except Exception as error:
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            _log.error("a question could not be answered: %s", said)
            _log.debug("where it came from", exc_info=True)
            return _sentence(f"this could not be computed ({said}); please report it", 500)

    async def question(request: Request) -> Response:
        try:
            given = json.loads(request.query_params.get("parameters", "{}"))
        except (ValueError, RecursionError):
            return _sentence("the parameters are no JSON", 400)
        if not isinstance(given, dict):
            return _sentence("the parameters are no JSON object", 400)
        return await answered(lambda: ask(opened, request.path_params["name"], given))

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

    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refusal(request, token) or await call(request)
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        return response

    app = Starlette(
        routes=[
            Route("/ask/{name}", question),
            Route("/items", item, methods=["POST"]),
            Route("/items/{item:int}", changed, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )
    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)
    return app


def _refusal(request: Request, token: str) -> Response | None:
    """Why a request is not let in; None where it is. The page's own files hold nothing of the person's and need no token."""
    host = request.headers.get("host", "")
    if host.partition(":")[0] not in OWN_HOSTS:  # any port: a tunnel may have another
        return _sentence("this page is served to its own machine only", 403)
    if request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return _sentence("another page may not ask here", 403)
    if request.url.path.startswith(("/ask/", "/items")):
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _sentence("the token is missing or wrong; open the address that was printed, with its token", 401)
    return None


def _sentence(text: str, status: int) -> JSONResponse:
    # Closed, since whoever is refused may be sending still.
    return JSONResponse({"error": text}, status, {"Connection": "close"})
