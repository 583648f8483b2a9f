"""Ends connections that have gone silent, so that no thread of a worker waits for an answer that will never come.

TCP notices a host that is gone. It does not notice a proxy or a load balancer that acknowledges everything and forwards
nothing. The worker would keep the lease over its other connections, and the instance would stand still for ever.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    import psycopg

    Connection = psycopg.Connection[Any]

LOOK_SECONDS = 1.0


class Watchdog:
    """Knows which connections wait for an answer, and until when. It sends nothing: its own line may be the silent one."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Connection, float]] = {}  # by the id of the connection
        self._lock = Lock()

    @contextmanager
    def expects_answer(self, connection: Connection, seconds: float) -> Iterator[None]:
        """The block waits for an answer. When it still does after so many seconds, its connection is ended."""
        with self._lock:
            self._waiting[id(connection)] = (connection, monotonic() + seconds)
        try:
            yield
        finally:
            # Under the lock: the connection must not be ended once it is used for something else.
            with self._lock:
                del self._waiting[id(connection)]

    def run(self, until: Event) -> None:
        """Look once a second, on a thread of its own."""
        while not until.wait(LOOK_SECONDS):
            now = monotonic()
            with self._lock:
                for connection, deadline in self._waiting.values():
                    if now > deadline:
                        hang_up(connection)


def hang_up(connection: Connection) -> None:
    """End the connection from another thread: whoever waits for it gets an OperationalError at once.

    `connection.close()` would free what the waiting thread still uses; to shut down the socket is safe.
    """
    with suppress(OSError, ValueError):  # it has just ended by itself
        fd = os.dup(connection.fileno())
        with socket.socket(fileno=fd) as line:
            line.shutdown(socket.SHUT_RDWR)
