"""Workers of this process: one for each database, started when nobody else works there, ended with the process.

A notebook's kernel is where most people's first workflow runs. Its worker is a thread; what happens to the kernel happens
to it: an interrupt does not reach it (Python gives that to the main thread), a restart ends it with its steps in hand
finished, and after a kill another worker goes on from the rows.
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
from pgweave.runtime.worker.service import Settings, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("pgweave.worker")
# What a worker says would else land in whichever cell runs; whoever wants to read it configures logging.
logging.getLogger("pgweave").addHandler(logging.NullHandler())

ALIVE = timedelta(seconds=15)  # a worker says every third of its lease, five seconds, that it is there
SETTINGS = Settings(concurrency=4)  # instances at once: a kernel has other things to do


class Who(Enum):
    """Who works off the instances of a database."""

    WE = "a worker of this process"
    OTHERS = "a worker elsewhere"
    NOBODY = "nobody"
    UNKNOWN = "others, if anybody: this role neither sees workers nor may be one"


class _Background:
    """One worker on a thread of its own."""

    def __init__(self, dsn: str) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.worker = Worker(dsn, SETTINGS, self._on_event)
        self.thread = threading.Thread(target=self._run, name="pgweave worker", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception:
            # Nobody is there to catch it. Whoever watches the instance sees that nothing happens, and asks again.
            log.exception("the worker of this process has ended")

    def _on_event(self, event: str, instance_id: str, node_id: str | None) -> None:
        for listener in tuple(self.listeners):
            listener()


_lock = threading.Lock()
_workers: dict[str, _Background] = {}


def ensure_worker(dsn: str) -> Who:
    """See to it that somebody works off the instances of this database: start a worker unless there is one.

    Only the owner of schema df sees who works. Another role that may work starts a worker all the same, since two share
    the work; one that may not has to rely on others.
    """
    with _lock:
        if (ours := _workers.get(dsn)) is not None and ours.thread.is_alive():
            return Who.WE
        with Client(dsn) as client:
            if _others(client):
                return Who.OTHERS
            sees, may = client.worker_rights()
        if not may:
            return Who.NOBODY if sees else Who.UNKNOWN
        if not _workers:
            _at_exit(stop_all)
        _workers[dsn] = _Background(dsn)
        return Who.WE


def who_works(dsn: str) -> Who:
    """Who works off the instances of this database, as far as this role can see; nothing is started."""
    if (ours := _workers.get(dsn)) is not None and ours.thread.is_alive():
        return Who.WE
    with Client(dsn) as client:
        sees, _ = client.worker_rights()
        if not sees:
            return Who.UNKNOWN
        return Who.OTHERS if _others(client) else Who.NOBODY


def _others(client: Client) -> bool:
    sees, _ = client.worker_rights()
    return sees and any(client.now() - worker.seen_at < ALIVE for worker in client.workers())


def steps_in_hand(dsn: str) -> set[tuple[str, str]]:
    """(instance id, node id) of what a worker of this process is doing right now."""
    ours = _workers.get(dsn)
    return set(ours.worker.running) if ours is not None else set()


def tell(dsn: str, listener: Callable[[], None]) -> None:
    """Call `listener`, from a thread of the worker, whenever a worker of this process has done something."""
    if (ours := _workers.get(dsn)) is not None and listener not in ours.listeners:
        ours.listeners.append(listener)


def stop_all() -> None:
    """End every worker of this process; what each has in hand is finished first."""
    with _lock:
        workers = list(_workers.values())
        _workers.clear()
    for background in workers:
        background.worker.stop()
    for background in workers:  # all at once rather than one after the other
        background.thread.join()


def _at_exit(function: Callable[[], None]) -> None:
    """Call it before Python waits for the threads of its pools, which do not end as long as the worker gives them work."""
    register = getattr(threading, "_register_atexit", None)
    with suppress(RuntimeError):  # the end has begun already
        (register or atexit.register)(function)
