"""The server: the page's files, and questions for whoever has the token. It listens on the loopback address alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pellucid.errors import PellucidError
from pellucid.web.opened import Opened
from pellucid.web.questions import ask

PAGE = Path(__file__).parent / "page"
LARGEST = 32 * 1024 * 1024  # bytes of a file that a person gives
OWN_HOSTS = ("127.0.0.1", "localhost")
SECURITY = {
    # Nothing is loaded from elsewhere, and no other page may hold this one in a frame but one of this machine (a notebook).
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def application(opened: Opened, token: str, port: int) -> Starlette:
    """The application.

    Args:
        opened: what is looked into.
        token: without which nothing is answered.
        port: on which it is reached; requests that name another host are refused (DNS rebinding).
    """

    async def question(request: Request) -> Response:
        parameters = request.query_params.get("parameters", "{}")
        try:
            given = json.loads(parameters)
        except ValueError:
            return _sentence("the parameters are no JSON", 400)
        if not isinstance(given, dict):
            return _sentence("the parameters are no JSON object", 400)
        return await _answered(lambda: ask(opened, request.path_params["name"], given))

    async def item(request: Request) -> Response:
        """A file that a person gives: its number among the items."""
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LARGEST:
                return _sentence(f"the file is larger than {LARGEST // 2**20} MB; give a smaller one", 413)

        def add() -> dict[str, int]:
            first, count = opened.give(request.query_params.get("name", ""), bytes(data))
            return {"item": first, "count": count}

        return await _answered(add)

    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refusal(request, token, port) or await call(request)
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        return response

    app = Starlette(
        routes=[
            Route("/ask/{name}", question),
            Route("/items", item, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )
    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)
    return app


def _refusal(request: Request, token: str, port: int) -> Response | None:
    """Why a request is not let in; None where it is. The page's own files hold nothing of the person's and need no token."""
    hosts = {f"{host}:{port}" for host in OWN_HOSTS}
    if request.headers.get("host", "") not in hosts:
        return _sentence("this page is served to its own machine only", 403)
    origin = request.headers.get("origin")
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return _sentence("another page may not ask here", 403)
    if request.url.path.startswith(("/ask/", "/items")):
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _sentence("the token is missing or wrong; open the address that was printed, with its token", 401)
    return None


async def _answered(work: Callable[[], object]) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(work))
    except PellucidError as error:
        return _sentence(str(error), 400)


def _sentence(text: str, status: int) -> JSONResponse:
    return JSONResponse({"error": text}, status)
