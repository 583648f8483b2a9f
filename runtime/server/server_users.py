"""Which processes use a server; the last one to leave stops it.

    base/
      lock       held (flock) by the process that starts, stops or counts
      clients    every process that uses the server holds a shared flock on it
      kept       exists while the server is meant to outlive its clients

Who still uses the server is asked of the kernel: it drops a process's flock however that process ends, kill -9
included. So nothing is stale after a crash, and no list of process ids has to survive their reuse.

The last client to leave stops the server. For those that cannot leave (SIGTERM, SIGKILL, a closed terminal, a
restarted notebook kernel) the one who started it also starts this module as a process: the keeper. It sleeps until
the last client is gone and then leaves as one more client; so pgweave installs no signal handler in the programs that use it.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pgweave.runtime.server.postmaster import Cluster, EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_SECONDS = 60  # a first start on a slow disk takes a few


@contextmanager
def locked(base: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold base/lock: one process at a time starts, stops or counts. `say` hears of it when that takes a while."""
    fd = _open(base / "lock")
    try:
        began, told = time.monotonic(), False
        while not _try(fd):
            waited = time.monotonic() - began
            if waited > LOCK_SECONDS:
                raise EmbeddedError(
                    f"Another process has been starting or stopping the server in {base} for {LOCK_SECONDS} s.",
                    f"End the process that holds {base / 'lock'} and try again.",
                )
            if waited > 0.5 and not told:
                told = True
                say("waiting for another process that starts or stops the server")
            time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def join(base: Path) -> int:
    """Become a client: a descriptor that says so for as long as it is open. Caller holds `lock`."""
    fd = _open(base / "clients")
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def leave(cluster: Cluster, client: int) -> bool:
    """Stop being a client; the last one stops the server, unless it is kept. Was this the last? Caller holds `lock`."""
    try:
        last = _try(client)
        if last and not (cluster.base / "kept").exists():
            cluster.stop()
        return last
    finally:
        os.close(client)


def is_abandoned(base: Path) -> bool:
    """Whether no process uses it, and none is about to start or stop something."""
    lock, clients = _open(base / "lock"), _open(base / "clients")
    try:
        return _try(lock) and _try(clients)
    finally:
        os.close(clients)
        os.close(lock)


def keep(cluster: Cluster) -> None:
    """Wait until no client is left, however they ended, then leave as the last of them."""
    last = False
    while not last:
        client = _open(cluster.base / "clients")
        fcntl.flock(client, fcntl.LOCK_EX)  # sleeps until every other client is gone
        fcntl.flock(client, fcntl.LOCK_SH)  # a newcomer holds `lock` while it joins: do not keep it out
        with locked(cluster.base):
            last = leave(cluster, client)


def spawn(cluster: Cluster) -> None:
    """Start `keep` as a process that no signal to this one reaches; the caller has joined.

    The shell detaches it, so that it never becomes a zombie of this process. It finds pgweave on the same path. Where Python
    cannot be run there is no keeper. Measured: 60 ms of processor beside the server's own start, 12 MB.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return
    path = os.pathsep.join(folder for folder in sys.path if Path(folder).is_absolute())
    arguments = (cluster.base, cluster.programs, cluster.uid, cluster.gid)
    detach = '"$@" </dev/null >/dev/null 2>&1 &'
    subprocess.run(  # noqa: S603 (our own arguments)
        ["/bin/sh", "-c", detach, "sh", sys.executable, "-P", "-m", __name__, *map(str, arguments)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        check=False,
    )


def make_files(base: Path) -> None:
    """Make the files that the locks are on, for the owner of the directory: root may be a guest in it.

    Only a start makes them, so a keeper that is late cannot put them back into a directory that is being deleted.
    """
    owner = base.stat()
    for name in ("lock", "clients"):
        with suppress(FileExistsError):
            fd = os.open(base / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if owner.st_uid != os.geteuid():
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.close(fd)


def _try(fd: int) -> bool:
    """Take the lock alone if no other process has it. Whether that worked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW)


if __name__ == "__main__":
    with suppress(FileNotFoundError):  # the directory has been deleted
        keep(Cluster(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
