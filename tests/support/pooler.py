"""A connection pooler in transaction mode, as small as it can be: every transaction gets the session used last.

    with Pooler(dsn) as pooler:      # people and workers get pooler.dsn

What PgBouncer does with `pool_mode = transaction`, as far as it matters here: a session of the server belongs to a client
from the first message of a transaction to its end, the process id that a client is told is made up, and what the server
says by itself (notifications) reaches nobody.
"""

from __future__ import annotations

import socket
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

READY, KEY_DATA = b"Z", b"K"
ASK = (b"Q", b"S")  # messages of a client that are answered by READY
CANCEL = 80877102


class Pooler:
    """Listens on a socket of its own. dsn: for those who are to go through it."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        name = f".s.PGSQL.{parts.get('port', 5432)}"
        self._server = str(Path(str(parts["host"])) / name)
        self._folder = tempfile.TemporaryDirectory(prefix="pgweave-pooler-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / name))
        self._listener.listen()
        self._idle: dict[bytes, list[socket.socket]] = {}
        self._open: list[socket.socket] = []
        self._lock = Lock()
        self.dsn = make_conninfo(dsn, host=self._folder.name)
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            (length,) = struct.unpack("!I", _exactly(client, 4))
            rest = _exactly(client, length - 4)
            if struct.unpack("!I", rest[:4])[0] == CANCEL:
                return
            startup = struct.pack("!I", length) + rest
            client.sendall(b"".join(self._connect(startup)))
            while True:
                self._transaction(client, startup)

    def _connect(self, startup: bytes) -> Iterator[bytes]:
        """Open a session, give it to the idle ones, and hand out what a client is told."""
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        self._open.append(server)
        server.sendall(startup)
        for kind, message in _messages(server):
            yield struct.pack("!cIII", KEY_DATA, 12, 4242, 4242) if kind == KEY_DATA else message
            if kind == READY:
                break
        with self._lock:
            self._idle.setdefault(startup, []).append(server)

    def _transaction(self, client: socket.socket, startup: bytes) -> None:
        server: socket.socket | None = None
        for kind, message in _messages(client):
            if kind == b"X":
                raise EOFError
            if server is None:
                server = self._take(startup)
            server.sendall(message)
            if kind not in ASK:
                continue
            for answer, said in _messages(server):
                client.sendall(said)
                if answer == READY:
                    break
            if said[5:6] == b"I":
                with self._lock:
                    self._idle[startup].append(server)
                return

    def _take(self, startup: bytes) -> socket.socket:
        while True:
            with self._lock:
                if self._idle[startup]:
                    return self._idle[startup].pop()
            for _ in self._connect(startup):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._folder.cleanup()


def _messages(end: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of one message after the other."""
    while True:
        head = _exactly(end, 5)
        kind, length = struct.unpack("!cI", head)
        yield kind, head + _exactly(end, length - 4)


def _exactly(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = end.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
