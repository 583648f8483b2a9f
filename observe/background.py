"""Workers of this process: one for each database, started when no other worker runs there, ended with the process.

A notebook's kernel is where most people's first workflow runs. Its worker is a thread; what happens to the kernel happens
to it: an interrupt does not reach it (Python gives that to the main thread), a restart ends it after its running steps
have finished, and after a kill another worker goes on from the rows.
"""

from __future__ import annotations

import atexit
import logging
import threading
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from pgweave.runtime.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("pgweave.worker")
# Without a handler Python would print a worker's warnings into whichever cell runs.
logging.getLogger("pgweave").addHandler(logging.NullHandler())

ALIVE = timedelta(seconds=15)  # a worker says every third of its lease, five seconds, that it is there
CONCURRENCY = 4  # instances at once; few, since the kernel needs the processor too


class Who(Enum):
    """Which worker runs the instances of a database."""

    THIS_PROCESS = "a worker of this process"
    ELSEWHERE = "a worker of another process"
    NONE = "no worker"
    UNKNOWN = "not known: this role neither sees workers nor may be one"


class _Background:
    """One worker on a thread of its own."""

    def __init__(self, dsn: str) -> None:
        from pgweave.runtime.worker.service import Settings, Worker  # lazy: start-up of `import pgweave`

        self.listeners: list[Callable[[], None]] = []
        self.worker = Worker(dsn, Settings(concurrency=CONCURRENCY), self._on_event)
        self.thread = threading.Thread(target=self._run, name="pgweave worker", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception:
            # A thread has no caller to raise to. `ensure_worker`, which watchers call now and then, starts another.
            log.exception("the worker of this process has ended")

    def _on_event(self, event: str, instance_id: str, node_id: str | None) -> None:
        for listener in tuple(self.listeners):
            listener()


_lock = threading.Lock()
_workers: dict[str, _Background] = {}


def ensure_worker(dsn: str) -> Who:
    """See to it that a worker runs on this database: start one unless there is one. Returns which.

    Only the owner of schema df sees which workers run. Any other role that may be a worker starts one anyway, since two
    share the work; a role that may not be one depends on workers elsewhere.
    """
    with _lock:
        if (own := _workers.get(dsn)) is not None and own.thread.is_alive():
            return Who.THIS_PROCESS
        with Client(dsn) as client:
            if _others(client):
                return Who.ELSEWHERE
            sees, may = client.worker_rights()
        if not may:
            return Who.NONE if sees else Who.UNKNOWN
        if not _workers:
            _at_exit(stop_all)
        _workers[dsn] = _Background(dsn)
        return Who.THIS_PROCESS


def who_works(dsn: str) -> Who:
    """Which worker runs on this database, as far as this role can see; nothing is started."""
    if (own := _workers.get(dsn)) is not None and own.thread.is_alive():
        return Who.THIS_PROCESS
    with Client(dsn) as client:
        sees, _ = client.worker_rights()
        if not sees:
            return Who.UNKNOWN
        return Who.ELSEWHERE if _others(client) else Who.NONE


def _others(client: Client) -> bool:
    sees, _ = client.worker_rights()
    return sees and any(client.now() - worker.seen_at < ALIVE for worker in client.workers())


def running_steps(dsn: str) -> set[tuple[str, str]]:
    """(instance id, node id) of the steps that this process' worker is running right now."""
    own = _workers.get(dsn)
    return set(own.worker.running) if own is not None else set()


def tell(dsn: str, listener: Callable[[], None]) -> None:
    """Call `listener`, from a thread of the worker, whenever this process' worker reports an event."""
    if (own := _workers.get(dsn)) is not None and listener not in own.listeners:
        own.listeners.append(listener)


def stop_all() -> None:
    """End every worker of this process; their running steps finish first."""
    with _lock:
        workers = list(_workers.values())
        _workers.clear()
    for background in workers:
        background.worker.stop()
    for background in workers:  # all at once rather than one after the other
        background.thread.join()


def _at_exit(function: Callable[[], None]) -> None:
    """Call it before Python waits for the threads of its pools, which would wait for the worker to stop giving them work."""
    # atexit runs too late, after Python has joined the threads of all executors; there is no public way to be
    # called earlier.
    register = getattr(threading, "_register_atexit", None)
    with suppress(RuntimeError):  # the end has begun already
        (register or atexit.register)(function)
