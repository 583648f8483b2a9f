"""`pgweave studio`: the designer as a page of this machine, on one file.

A browser is full of other people's pages, and any of them may try to reach a port of this machine. So: the server
listens on the loopback address alone; every address leads with a random token; a request that was meant for another
host (DNS rebinding) or comes from another page's origin is refused, web sockets included; and the page itself may load
nothing from elsewhere, nor run a script that is not one of its two files.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pgweave.designer.answers import SLOW, handle
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import HTTPConnection, Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pgweave.designer.session import Session
    from pgweave.designer.views import Message

LOOPBACK = "127.0.0.1"
LOOK_SECONDS = 0.5  # between two looks at the file
MAX_MESSAGE = 16_000_000  # bytes; a program is at most a million characters
GOODBYE_SECONDS = 2  # for open pages, once the server is to end

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FILES = {"": "studio.html", **{name: name for name in ("studio.js", "studio.css", "designer.js")}}
# Attributes may style: Chrome's own editing adds some to what is typed over. They can run and load nothing.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src data:; require-trusted-types-for 'script'; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Page:
    """One open page: what is sent to it goes out in order, from whatever thread it comes."""

    def __init__(self, web: WebSocket) -> None:
        self._web = web
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def send(self, message: Message) -> None:
        """Send a message soon."""
        with suppress(RuntimeError):  # the server has ended meanwhile
            # Events come from drawing and watching threads, and a queue of asyncio belongs to its loop.
            self._loop.call_soon_threadsafe(self._queue.put_nowait, json.dumps(message, ensure_ascii=False))

    async def run(self) -> None:
        """Send what there is to send until cancelled, or the page is gone."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._web.send_text(await self._queue.get())


class Studio:
    """The page for one session. port: where it is served; what else a request says it is meant for is refused."""

    def __init__(self, session: Session, port: int) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self._hosts = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        self.url = f"http://{LOOPBACK}:{port}/{self.token}/"

    def app(self) -> ASGIApp:
        """The server's application."""
        routes = [
            Route("/{token}/", self._file),
            Route("/{token}/{name}", self._file),
            WebSocketRoute("/{token}/ws", self._socket),
        ]
        application = Starlette(routes=routes, lifespan=self._lifespan)
        application.router.redirect_slashes = False
        return _Guarded(application, self._hosts)

    def _admits(self, connection: HTTPConnection) -> bool:
        # In constant time, or the token could be guessed letter by letter from how long a refusal takes.
        return secrets.compare_digest(str(connection.path_params["token"]).encode(), self.token.encode())

    async def _file(self, request: Request) -> Response:
        name = _FILES.get(request.path_params.get("name", ""))
        if not self._admits(request):
            return PlainTextResponse("Open the address that `pgweave studio` printed.", 403, _HEADERS)
        if name is None:
            return PlainTextResponse("There is no such page.", 404, _HEADERS)
        try:
            data = (resources.files("pgweave.designer") / "static" / name).read_bytes()
        except FileNotFoundError:
            return PlainTextResponse("The designer has not been built: run `make designer`.", 503, _HEADERS)
        policy = _POLICY.format(host=request.headers["host"])
        kind = _TYPES[name[name.rindex(".") :]]
        return Response(data, 200, {**_HEADERS, "Content-Security-Policy": policy}, media_type=kind)

    async def _socket(self, web: WebSocket) -> None:
        origin = web.headers.get("origin", "")
        # Browsers send web sockets across origins without asking: only this header tells whose page it is.
        if not self._admits(web) or origin != f"http://{web.headers['host']}":
            await web.close(code=1008)
            return
        await web.accept()
        page = Page(web)
        self.session.join(page)
        sender = asyncio.create_task(page.run())
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                request = _read(await web.receive_text())
                answer = asyncio.to_thread(handle, self.session, page, request)
                if isinstance(request, dict) and request.get("type") in SLOW:
                    task = asyncio.create_task(answer)
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    await answer
        except (WebSocketDisconnect, KeyError):  # KeyError: a message that is no text
            pass
        finally:
            self.session.leave(page)
            sender.cancel()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._look())
        yield
        looking.cancel()

    async def _look(self) -> None:
        """Notice what editors and git do to the file, as long as a page is open."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.session.views:
                await asyncio.to_thread(self.session.look)


class _Guarded:
    """An application that answers only requests which were meant for it, by the name of the host they name."""

    def __init__(self, app: ASGIApp, hosts: set[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        # A page of evil.example whose name has been made to resolve to 127.0.0.1 still sends its own name as
        # Host.
        if scope["type"] == "lifespan" or (len(named) == 1 and named[0] in self._hosts):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(code=1008)
        else:
            await PlainTextResponse("This server is for this machine alone.", 421, _HEADERS)(scope, receive, send)


def _read(text: str) -> object:
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message


def bind(port: int) -> socket.socket:
    """A listening socket of the loopback address. port: 0 for any that is free. PgweaveError when it is taken."""
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise PgweaveError(f"Cannot listen on port {port}: {error.strerror}.", "Choose another with --port.") from error


def server(studio: Studio) -> uvicorn.Server:
    """The server, not yet running: `server.run(sockets=[bind(port)])`."""
    return uvicorn.Server(
        uvicorn.Config(
            studio.app(),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            timeout_graceful_shutdown=GOODBYE_SECONDS,
            lifespan="on",
        )
    )


def serve(session: Session, port: int, opened: Callable[[str], None]) -> None:
    """Serve a session until Ctrl-C. opened: told the address once it can be opened."""
    with bind(port) as listening:
        studio = Studio(session, listening.getsockname()[1])
        opened(studio.url)
        with suppress(KeyboardInterrupt):
            server(studio).run(sockets=[listening])
