"""A relay between one worker and the server of the moment, whose links can be cut or go silent.

Listens on a Unix socket in a folder of its own; each new connection goes to whatever server `target` names then. Knows
the server process of each connection, so that those of one worker can be ended. One thread for all relays.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SOCKET_NAME = ".s.PGSQL.5432"
STARTUP_BYTES = 8192  # in which the server says the number of its process


class Link:
    """One connection through a relay. pid: the server's process, once it has said so."""

    def __init__(self, client: asyncio.Transport, relay: Relay) -> None:
        self.client, self.relay = client, relay
        self.server: asyncio.Transport | None = None
        self.silent = relay.silent
        self.pid: int | None = None
        self.waiting = bytearray()  # what came before the server was there
        self.start = bytearray()

    def from_client(self, data: bytes) -> None:
        if self.silent:
            return
        if self.server is None:
            self.waiting += data
        else:
            self.server.write(data)

    def from_server(self, data: bytes) -> None:
        if self.pid is None and len(self.start) < STARTUP_BYTES:
            self.start += data
            self.pid = backend_pid(bytes(self.start))
        if not self.silent:
            self.client.write(data)

    def close(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                end.abort() if self.relay.abrupt else end.close()
        self.relay.links.discard(self)


class _End(asyncio.Protocol):
    """One end of a link. Slow readers are not waited for: a run moves little data."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received, self._lost = received, lost

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()


class _Accepted(asyncio.Protocol):
    """The worker's end of a link, which begins the other one."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._link: Link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = Link(cast("asyncio.Transport", transport), self._relay)
        self._relay.links.add(self._link)
        if not self._link.silent:
            # Kept, or it could be collected before it is done.
            self._connecting = asyncio.ensure_future(self._relay.connect(self._link))

    def data_received(self, data: bytes) -> None:
        self._link.from_client(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.close()


class Relay:
    """The road of one worker. All methods may be called from any thread."""

    def __init__(self, relays: Relays, folder: Path) -> None:
        self._relays = relays
        self.folder = folder
        self.links: set[Link] = set()
        self.silent = False
        self.abrupt = False

    def pids(self) -> list[int]:
        """The server's processes for this worker's connections."""
        return sorted(link.pid for link in list(self.links) if link.pid is not None)

    def cut(self) -> None:
        """Cut every connection: both ends see it at once."""
        self._relays.call(self._cut())

    def fall_silent(self) -> None:
        """From now on everything that is sent is taken and never arrives, on open connections and on new ones."""
        self._relays.call(self._set_silent(silent=True))

    def speak_again(self) -> None:
        """New connections work; the silent ones, which have lost something, are cut."""
        self._relays.call(self._set_silent(silent=False))

    async def _cut(self) -> None:
        self.abrupt = True
        for link in list(self.links):
            link.close()
        self.abrupt = False

    async def _set_silent(self, *, silent: bool) -> None:
        self.silent = silent
        for link in list(self.links):
            if silent:
                link.silent = True
            elif link.silent:
                link.close()

    async def connect(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            server, _ = await loop.create_unix_connection(
                lambda: _End(link.from_server, link.close), self._relays.target()
            )
        except OSError:
            link.close()
            return
        link.server = server
        if link not in self.links:
            link.server.abort()
            return
        link.server.write(bytes(link.waiting))
        link.waiting.clear()


class Relays:
    """The thread that relays. target: path of the socket of the server of the moment."""

    def __init__(self, target: Callable[[], str]) -> None:
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._folders: list[tempfile.TemporaryDirectory[str]] = []
        self._listening: list[asyncio.Server] = []
        self._relays: list[Relay] = []
        ready = Event()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(ready.set)
            self._loop.run_forever()

        self._thread = Thread(target=run, name="relays", daemon=True)
        self._thread.start()
        ready.wait()

    def relay(self) -> Relay:
        """A new relay, listening."""
        folder = tempfile.TemporaryDirectory(prefix="pgweave-relay-")
        self._folders.append(folder)
        made = Relay(self, Path(folder.name))

        async def listen() -> None:
            self._listening.append(
                await self._loop.create_unix_server(lambda: _Accepted(made), str(made.folder / SOCKET_NAME))
            )
            self._relays.append(made)

        self.call(listen())
        return made

    def call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End every connection, and the thread."""
        self.call(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for folder in self._folders:
            with suppress(OSError):
                folder.cleanup()

    async def _hang_up(self) -> None:
        for server in self._listening:
            server.close()
        for relay in self._relays:
            for link in list(relay.links):
                link.close()
        await asyncio.sleep(0.1)  # for the transports to close their sockets


def backend_pid(answer: bytes) -> int | None:
    """The number of the server's process in what it says first: messages of a letter, a length and a body."""
    place = 0
    while place + 9 <= len(answer):
        length = int.from_bytes(answer[place + 1 : place + 5], "big")
        if answer[place : place + 1] == b"K":
            return int.from_bytes(answer[place + 5 : place + 9], "big")
        place += 1 + length
    return None
