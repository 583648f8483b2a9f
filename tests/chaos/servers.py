"""Two PostgreSQL servers for a chaos run: a primary and a streaming standby that can take its place.

Both are the embedded package's. The standby confirms every commit (synchronous_standby_names), so that a failover loses
nothing that was acknowledged. Where root may mount a tmpfs each data directory is one, which can be made full; where
libfaketime is installed the servers' clock can be stepped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING
from unittest.mock import patch

import psycopg

from pgweave.runtime.server import embedded, postmaster, provision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.runtime.server.postmaster import Cluster

FAKETIME = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
)
DISK_MB = 4096  # of each tmpfs: what is not written is not used
PATIENCE_SECONDS = 60.0

SETTINGS = """
max_connections = 150
superuser_reserved_connections = 10
wal_level = replica
max_wal_senders = 8
max_wal_size = 256MB
min_wal_size = 64MB
wal_keep_size = 64MB
wal_retrieve_retry_interval = 100ms
hot_standby = on
log_min_messages = log
log_checkpoints = off
# A run ends processes and never the machine, so what the kernel has is not lost.
fsync = off
"""


class Servers:
    """The primary of the moment and its standby. `dsn` changes with a failover; ask it again for every connection."""

    def __init__(self, base: Path, logs: Path) -> None:
        self._base = base
        self._logs = logs
        self._lock = RLock()
        self._numbers = iter(range(1, 1000))
        self._mounted: list[Path] = []
        self._clock = base / "clock"
        self.no_disk: str | None = None  # why the disk cannot be made full
        self.no_clock: str | None = None  # why the clock cannot be stepped
        self.primary = self._directory()
        self.standby: Cluster | None = None

    @property
    def dsn(self) -> str:
        """For the superuser, on the primary of the moment. Short time to connect: it may be away."""
        return f"host={self.primary.socket_dir} port=5432 user=postgres dbname=postgres connect_timeout=5"

    @property
    def socket(self) -> str:
        """Where the primary of the moment listens."""
        return str(self.primary.socket_dir / postmaster.SOCKET_NAME)

    def start(self) -> None:
        """Make and start both."""
        self._preload()
        self.primary.create(embedded.VERSION)
        with (self.primary.data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        self.primary.start()
        self.attach()

    def attach(self) -> None:
        """Make a standby of the primary, from a copy, and wait for it from now on with every commit."""
        with self._lock:
            standby = self._directory()
            copied = self.primary.run(
                "pg_basebackup", "-D", str(standby.data), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
                "-d", f"host={self.primary.socket_dir} user=postgres",
            )  # fmt: skip
            if copied.returncode:
                raise RuntimeError(f"no standby: {copied.stdout}")
            standby.start()
            self.standby = standby
            until = time.monotonic() + PATIENCE_SECONDS
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                while not connection.execute("select 1 from pg_stat_replication where state = 'streaming'").fetchone():
                    if time.monotonic() > until:
                        raise RuntimeError("the standby does not follow")
                    time.sleep(0.02)
                _wait_for_standby(connection, "*")

    def restart(self) -> None:
        """An immediate stop of the primary, as after a crash, and a start."""
        with self._lock:
            self.primary.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w")
            self.primary.start()

    def fail_over(self) -> None:
        """End the primary at once and promote the standby. Until `attach` there is none."""
        with self._lock:
            standby = self.standby
            assert standby is not None
            old, self.standby = self.primary, None
            old.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w")
            standby.run("pg_ctl", "promote", "-D", "data", "-w")
            self.primary = standby
            until = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    with psycopg.connect(self.dsn, autocommit=True) as connection:
                        _wait_for_standby(connection, "")
                        break
                except psycopg.Error:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)
            self._remove(old)

    def fill_disk(self) -> None:
        """Leave the primary next to no room."""
        with self._lock:
            used = shutil.disk_usage(self.primary.base).used
            _mount("-o", f"remount,size={used // 1024 + 64}k", str(self.primary.base))

    def free_disk(self) -> None:
        """Give the room back, and start the server again where it has died of it."""
        with self._lock:
            _mount("-o", f"remount,size={DISK_MB}m", str(self.primary.base))
            self.ensure()

    def ensure(self) -> None:
        """Start the primary if it does not run; wait until it takes connections."""
        with self._lock:
            until = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    psycopg.connect(self.dsn).close()
                except psycopg.Error:
                    if time.monotonic() > until:
                        raise
                    if self.primary.pid() is None:
                        self.primary.start()
                    time.sleep(0.05)
                else:
                    return

    def step_clock(self, seconds: int) -> None:
        """Set the clock of both servers so many seconds ahead of the machine's; every process sees it at once."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.chmod(0o644)
        fresh.rename(self._clock)

    def stop(self) -> None:
        """Stop and remove everything."""
        for cluster in (self.standby, self.primary):
            if cluster is not None:
                with suppress(postmaster.EmbeddedError):
                    cluster.run("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w")
                self._keep_log(cluster)
        for folder in self._mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)

    def _directory(self) -> Cluster:
        folder = self._base / str(next(self._numbers))
        folder.mkdir()
        if self.no_disk is None:
            try:
                _mount("-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", str(folder))
                self._mounted.append(folder)
            except (OSError, subprocess.CalledProcessError) as error:
                self.no_disk = (
                    f"no tmpfs can be mounted here: {str(getattr(error, 'stderr', error)).partition(chr(10))[0]}"
                )
        provision.make_base(folder)
        cluster = provision.provide(folder, embedded.VERSION, lambda said: None)
        if os.geteuid() == 0:
            # The server's account makes its directory here itself.
            os.chown(folder, cluster.uid, cluster.gid)
        return cluster

    def _keep_log(self, cluster: Cluster) -> None:
        for log in (cluster.log.with_suffix(".log.old"), cluster.log):
            if log.exists():
                with (self._logs / f"server{cluster.base.name}.log").open("ab") as kept:
                    kept.write(log.read_bytes())

    def _remove(self, cluster: Cluster) -> None:
        self._keep_log(cluster)
        if cluster.base in self._mounted:
            subprocess.run(["umount", "--lazy", str(cluster.base)], check=False)
            self._mounted.remove(cluster.base)
        shutil.rmtree(cluster.base, ignore_errors=True)

    def _preload(self) -> None:
        library = next((path for path in FAKETIME if path.exists()), None)
        if library is None:
            self.no_clock = "libfaketime is not installed; apt-get install libfaketime"
            return
        self.step_clock(0)
        _ENVIRONMENT.update({
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        })  # fmt: skip


_ENVIRONMENT: dict[str, str] = {}  # of the servers, beside what they always have


@contextmanager
def servers(logs: Path) -> Iterator[Servers]:
    """A primary and its standby, gone with their data afterwards. logs: the folder where their logs are left."""
    plain = postmaster.environment
    with ExitStack() as stack:
        _ENVIRONMENT.clear()
        stack.enter_context(patch.object(postmaster, "environment", lambda: plain() | _ENVIRONMENT))
        base = Path(tempfile.mkdtemp(prefix="pgweave-chaos-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        base.chmod(0o755)
        found = Servers(base, logs)
        stack.callback(found.stop)
        found.start()
        yield found


def _wait_for_standby(connection: psycopg.Connection[tuple[object, ...]], names: str) -> None:
    connection.execute(f"alter system set synchronous_standby_names = '{names}'".encode())
    connection.execute("select pg_reload_conf()")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)
