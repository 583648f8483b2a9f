"""A server for HTTP steps to talk to, on 127.0.0.1: it counts connections, logs requests and misbehaves on demand.

Plain sockets, because most of what it does no HTTP library would let it do. What a path does is the test's to say; see
`Server.on`.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Received:
    """One request. headers: in order, names as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that must not stand there twice."""
        values = self.all(name)
        assert len(values) <= 1, self.headers
        return values[0] if values else None


def answer(
    body: bytes | str = b"", status: int = 200, headers: dict[str, str] | None = None, content_type: str | None = "text/plain"
) -> bytes:  # fmt: skip
    """A complete response."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"Content-Type: {content_type}"] if content_type is not None else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@dataclass
class Server:
    """connections: how many were made, whatever came of them. requests: what was asked, in order."""

    listener: socket.socket
    tls: ssl.SSLContext | None = None
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _acts: dict[str, Callable[[Received, socket.socket], None]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def on(self, path: str, act: bytes | Callable[[Received, socket.socket], None]) -> str:
        """What happens when a path is asked for: these bytes, or whatever `act` does. Returns the URL."""
        self._acts[path] = act if callable(act) else lambda _, connection: connection.sendall(act)
        return self.url(path)

    def keys(self) -> list[str | None]:
        """The idempotency key of every request."""
        return [request.header("Idempotency-Key") for request in self.requests]

    def wait_for_requests(self, count: int) -> None:
        """Block until so many requests have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, PATIENCE_SECONDS), self.requests

    def serve(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(PATIENCE_SECONDS)
            talk = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with talk:
                request = _read(talk)
                if request is None:
                    return
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                act = self._acts.get(request.target.split("?")[0])
                if act is None:
                    talk.sendall(answer("not here", 404))
                else:
                    act(request, talk)


def _read(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8").split("\r\n")
    method, target, _ = first.split(" ")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return Received(method, target, headers, body)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server on a port of its own for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Server(listener, tls)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            # Closing alone does not wake a thread that accepts.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
