"""A network that fails on purpose: stands between a worker and the server and cuts connections where a test says.

    with Proxy(dsn, plan) as proxy:      # the worker gets proxy.dsn
        ...

The plan is asked about every message of a client and says what is to become of it.
"""

from __future__ import annotations

import random
import socket
import tempfile
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Cut(Enum):
    """What becomes of a message."""

    NOT = "it arrives, and so does its answer"
    BEFORE = "it is lost"
    HALF = "half of it arrives"
    AFTER = "it arrives and is carried out, but the answer is lost"
    HALF_ANSWER = "half of the answer comes back"
    SWALLOWED = "it and all that follow are taken and never arrive; the connection stays open"
    ANSWER_SWALLOWED = "it is carried out, and no answer comes any more; the connection stays open"


class Proxy:
    """Listens on a socket of its own and passes on what comes, as planned."""

    def __init__(
        self, dsn: str, plan: Callable[[bytes], Cut] = lambda message: Cut.NOT, *, delay: float = 0.0, piece: int = 0
    ) -> None:
        """delay: seconds that every message takes, at most, either way. piece: bytes that arrive at once; 0 all."""
        parts = conninfo_to_dict(dsn)
        name = f".s.PGSQL.{parts.get('port', 5432)}"
        self._server = str(Path(str(parts["host"])) / name)
        self._plan = plan
        self._delay, self._piece = delay, piece
        self._folder = tempfile.TemporaryDirectory(prefix="pgweave-proxy-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / name))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self.dsn = make_conninfo(dsn, host=self._folder.name)
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [client, server]
                _Line(client, server, self._plan, self._send)

    def _send(self, end: socket.socket, message: bytes) -> None:
        if self._delay:
            sleep(random.uniform(0.5, 1.0) * self._delay)
        step = self._piece or len(message)
        for place in range(0, len(message), step):
            end.sendall(message[place : place + step])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            _hang_up(end)
            end.close()
        self._folder.cleanup()


class _Line:
    """One connection: two directions, two threads."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        plan: Callable[[bytes], Cut],
        send: Callable[[socket.socket, bytes], None],
    ) -> None:
        self.client, self.server, self.plan, self.send = client, server, plan, send
        self.answer = Cut.NOT
        for direction in (self._there, self._back):
            Thread(target=direction, daemon=True).start()

    def _there(self) -> None:
        with suppress(OSError):
            while message := self.client.recv(1 << 20):
                match self.plan(message):
                    case Cut.BEFORE:
                        break
                    case Cut.HALF:
                        self.server.sendall(message[: len(message) // 2])
                        break
                    case Cut.SWALLOWED:
                        _drain(self.client)
                        break
                    case cut:
                        self.answer = cut
                        self.send(self.server, message)
        self._cut()

    def _back(self) -> None:
        with suppress(OSError):
            while answer := self.server.recv(1 << 20):
                match self.answer:
                    case Cut.AFTER:
                        break
                    case Cut.HALF_ANSWER:
                        self.client.sendall(answer[: len(answer) // 2])
                        break
                    case Cut.ANSWER_SWALLOWED:
                        _drain(self.server)
                        break
                    case _:
                        self.send(self.client, answer)
        self._cut()

    def _cut(self) -> None:
        _hang_up(self.client)
        _hang_up(self.server)


def _drain(end: socket.socket) -> None:
    """Take everything that comes, until it ends."""
    while end.recv(1 << 20):
        pass


def _hang_up(end: socket.socket) -> None:
    # A bare close would leave the thread that reads from it where it is.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
