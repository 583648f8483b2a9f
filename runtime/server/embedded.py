"""The PostgreSQL server that pgweave brings along: `start`, `find`, `status`, `temporary`.

In: a directory, or none for the user's own. Out: a Server whose `dsn` connects over a Unix socket that only its owner
can open. Which account runs it and with which programs: `provision`. How: `postmaster`. Who stops it: `server_users`.

    with embedded.start(keep=False) as server:      # stopped when its last user, in any process, has left
        psycopg.connect(server.dsn)

PGWEAVE_DATA names another directory, PGSERVER_POSTGRES_VERSION another major version (16 or 18).
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pgweave.runtime.connect import connect
from pgweave.runtime.errors import ConnectionFailed
from pgweave.runtime.server.postmaster import RECOVERY_SECONDS, Cluster, EmbeddedError

if sys.platform != "win32":
    from pgweave.runtime.server import provision, server_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["EmbeddedError", "Server", "Status", "default_data_dir", "find", "start", "status", "temporary"]

VERSION = 18
TEMPORARY = "pgweave-temporary-"
SWEEP_SECONDS = 3600  # to make a directory takes far less


class Server:
    """A running server and our part in it. Leaving the `with` block, or the end of the process, gives that part back.

    dsn: for the superuser `postgres`, in the database `postgres`. started: did this call start it, or did it run?
    """

    def __init__(self, cluster: Cluster, client: int, *, started: bool) -> None:
        self.dsn = _dsn(cluster)
        self.data_dir = cluster.base
        self.started = started
        self.cluster = cluster  # PostgreSQL's own programs on this directory, for tests of outages and for repairs
        self._client: int | None = client
        self._owner = os.getpid()

    def release(self) -> None:
        """Give up our part. The last one out stops the server, unless it was started to be kept. Twice is once."""
        self._leave(stop=False)

    def stop(self) -> None:
        """Stop the server for everybody who uses it; what they have not committed is rolled back."""
        self._leave(stop=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def _leave(self, *, stop: bool) -> None:
        if os.getpid() != self._owner:
            return  # a forked child: the part, and the lock that stands for it, are its parent's
        atexit.unregister(self.release)
        with suppress(FileNotFoundError), server_users.locked(self.data_dir):  # the directory may have been deleted
            if stop:
                self.cluster.stop()
                (self.data_dir / "kept").unlink(missing_ok=True)
            if self._client is not None:
                client, self._client = self._client, None
                server_users.leave(self.cluster, client)


@dataclass(frozen=True, slots=True)
class Status:
    """What lies in a data directory. version: of the data, None before a first start. kept: it outlives its users."""

    data_dir: Path
    version: int | None
    pid: int | None
    kept: bool

    @property
    def running(self) -> bool:
        """Whether a server runs on it."""
        return self.pid is not None


def default_data_dir() -> Path:
    """PGWEAVE_DATA, else the user's state directory; root's is one that the server's account can reach. Absolute."""
    if chosen := os.environ.get("PGWEAVE_DATA"):
        return _absolute(Path(chosen))
    if os.geteuid() == 0:
        return _absolute(Path(f"/var/lib/pgweave/postgres{_version()}"))
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # as the XDG specification says
        state = Path("~/.local/state")
    return _absolute(state / f"pgweave/postgres{_version()}")


def start(data_dir: Path | None = None, *, keep: bool = True, progress: Callable[[str], None] | None = None) -> Server:
    """Start the server of this directory, or join it where it runs.

    keep: it goes on when we end, until Server.stop(), even if others had started it to be stopped. Otherwise it ends
    with its last user; but a server that was kept before us is kept after us.
    progress: hears what takes its time, in words for people. A first start takes a second or two.
    """
    _require_platform()
    base = _base(data_dir)
    provision.make_base(base)
    server = _enter(base, progress or (lambda _: None), keep=keep, may_start=True)
    assert server is not None
    return server


def find(data_dir: Path | None = None) -> Server | None:
    """Join the server of this directory if it runs. It then goes on at least until we leave."""
    _require_platform()
    base = _base(data_dir)
    with _explained(base):
        if not (base / "data").exists() or not (base / "lock").exists():
            return None
    return _enter(base, lambda _: None, keep=False, may_start=False)


def status(data_dir: Path | None = None) -> Status:
    """Look at a directory without joining, waiting or changing anything."""
    _require_platform()
    base = _base(data_dir)
    if not base.exists():
        return Status(base, None, None, kept=False)
    with _explained(base):
        return Status(base, provision.data_version(base), provision.locate(base).pid(), kept=(base / "kept").exists())


@contextmanager
def temporary(*, progress: Callable[[str], None] | None = None) -> Iterator[Server]:
    """Run a server on a directory of its own, both gone afterwards. What a killed process left behind goes first."""
    _require_platform()
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        _sweep(folder)
    base = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    try:
        server = start(base, keep=False, progress=progress)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _enter(base: Path, say: Callable[[str], None], *, keep: bool, may_start: bool) -> Server | None:
    """Join the server of `base`, starting it if need be. None: it does not run and must not be started."""
    version = _version()
    with _explained(base), server_users.locked(base, say):
        cluster = provision.provide(base, version, say)
        if not may_start and not cluster.is_running():
            return None
        client = server_users.join(base)

        def launch() -> None:
            (base / "kept").unlink(missing_ok=True)
            if provision.data_version(base) is None:
                say(f"creating a PostgreSQL {version} database in {base}")
                cluster.create(version)
            say(f"starting PostgreSQL {version}")
            if not keep:
                server_users.spawn(cluster)
            cluster.start()

        try:
            started = _bring_up(cluster, launch)
            if keep:
                with suppress(FileExistsError):
                    (base / "kept").touch(exist_ok=False)  # not through a link: root may be a guest in this directory
        except BaseException:
            server_users.leave(cluster, client)
            raise
        server = Server(cluster, client, started=started)
    if not keep:
        atexit.register(server.release)
    return server


def _bring_up(cluster: Cluster, launch: Callable[[], None]) -> bool:
    """Wait until the server takes connections, launching it where it does not run. True if it had to be.

    One that was just killed, recovers or shuts down refuses at first; the last of these has to be launched again.
    """
    cluster.settle()
    started = not cluster.is_running()
    if started:
        launch()
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            connect(_dsn(cluster)).close()
        except ConnectionFailed as error:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"PostgreSQL runs on {cluster.base}, but takes no connections. {error}",
                    f"Its log: {cluster.log}. If it is shutting down, end the programs that still use it.",
                ) from error
        else:
            return started
        if cluster.is_running():
            time.sleep(0.05)
        else:
            launch()
            started = True


def _sweep(folder: Path) -> None:
    """Remove a temporary server that its process could not: it was killed, and perhaps its keeper too.

    Data tells of a client that once joined; without any it may be a directory that is just being made, unless it is old.
    """
    with suppress(OSError, EmbeddedError):
        found = folder.stat()
        settled = (folder / "data").exists() or time.time() - found.st_mtime > SWEEP_SECONDS
        if found.st_uid == os.geteuid() and settled and server_users.is_abandoned(folder):
            if (server := find(folder)) is not None:
                server.release()
            shutil.rmtree(folder)


def _dsn(cluster: Cluster) -> str:
    """As a URI with everything in it, so that no PGPORT or PGUSER of the environment has a say."""
    return f"postgresql://postgres@/postgres?host={quote(os.fsencode(cluster.socket_dir), safe='/')}&port=5432"


def _base(data_dir: Path | None) -> Path:
    return default_data_dir() if data_dir is None else _absolute(data_dir)


def _absolute(path: Path) -> Path:
    """One spelling for one directory: the locks lie in it, and its name is part of the server's command line."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links; no home
        raise EmbeddedError(
            f"Cannot tell where the database belongs: {error}", "Say it: PGWEAVE_DATA=/some/where"
        ) from error


def _version() -> int:
    wanted = os.environ.get("PGSERVER_POSTGRES_VERSION", str(VERSION))
    return int(wanted) if wanted.isdecimal() else 0


def _require_platform() -> None:
    if sys.platform != "linux":
        raise EmbeddedError(
            f"The embedded server runs on Linux only; this is {sys.platform}.",
            "Use a server of your own: --dsn, or PGWEAVE_DSN.",
        )


@contextmanager
def _explained(base: Path) -> Iterator[None]:
    """What the file system refuses, in words for people."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(
            f"Cannot keep a database in {base}: {error.strerror or error}.",
            "Make room or give us access, or choose another directory: PGWEAVE_DATA=/some/where",
        ) from error
