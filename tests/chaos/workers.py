"""The worker processes of a chaos run, each behind a relay of its own. One that is killed is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos.relay import Relay, Relays

LEASE_SECONDS = 3.0
OPTIONS = (
    "--lease-seconds", str(LEASE_SECONDS), "--poll-seconds", "0.5", "--concurrency", "5", "--http-allow", "127.0.0.1",
)  # fmt: skip
PATIENCE_SECONDS = 60
CANNOT_CONNECT = 2  # exit code; the last words say so


@dataclass
class Worker:
    """One place for a worker. killed: by us, and not replaced yet."""

    number: int
    relay: Relay
    log: Path
    process: subprocess.Popen[bytes] | None = None
    killed: bool = False
    rss: list[tuple[float, float]] = field(default_factory=list)  # (when, MB) of the process of now
    refused: int = 0  # starts that met no server; whoever runs workers starts them again
    _lock: RLock = field(default_factory=RLock)

    def spawn(self) -> None:
        dsn = f"host={self.relay.folder} port=5432 user=chaos_worker dbname=postgres"
        self.rss, self.killed = [], False
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pgweave", "worker", "--dsn", dsn, *OPTIONS],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: no last word. `look_after` replaces it."""
        assert self.process is not None
        with self._lock:
            self.process.kill()
            self.process.wait()
            self.killed = True

    def stop(self) -> None:
        with suppress(ProcessLookupError):  # it is just being replaced
            os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> int:
        """As a service manager does it; the exit code."""
        assert self.process is not None
        self.go_on()
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -signal.SIGKILL

    def look_after(self) -> str | None:
        """Note its memory, or replace it if it has ended. What is to be said if nobody killed it."""
        assert self.process is not None
        with self._lock:
            if (code := self.process.poll()) is not None:
                killed, words = self.killed, self.last_words()
                self.spawn()
                if killed:
                    return None
                if code == CANNOT_CONNECT and "Cannot connect to PostgreSQL" in words.splitlines()[-2:][0]:
                    self.refused += 1
                    return None
                return f"worker {self.number} ended with {code}: {words}"
        with suppress(OSError, StopIteration):
            status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            line = next(line for line in status if line.startswith("VmRSS:"))
            self.rss.append((time.monotonic(), int(line.split()[1]) / 1024))
        return None

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


def workers(count: int, relays: Relays, folder: Path) -> list[Worker]:
    """So many workers, started."""
    made = [Worker(n, relays.relay(), folder / f"worker{n}.log") for n in range(count)]
    for worker in made:
        worker.spawn()
    return made
