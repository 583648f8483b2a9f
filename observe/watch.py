"""Watching instances from a notebook: one thread and one session for each database, asleep while nothing happens.

In: a run, and whoever wants to hear of it. Out: a Snapshot whenever something has changed. A change is found by asking
(`Observer.changed`, one small statement), ten times a second at first, then less and less often. What ends a rest sooner:
a notification of the database (a start, a signal, an end), a step of our own worker, the due time of a sleep.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from pgweave.observe import background
from pgweave.observe.snapshot import Observer
from pgweave.runtime.client import Client
from pgweave.runtime.errors import InstanceNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.observe.snapshot import Snapshot
    from pgweave.workflow import Workflow

log = logging.getLogger("pgweave.notebooks")

SHORTEST_SECONDS = 0.1  # between two looks while things happen; more often than anybody can see
LONGEST_SECONDS = 2.0  # between two questions when nothing has happened for long
HIDDEN_SECONDS = 10.0  # the same while nobody can see the picture
WORKER_SECONDS = 10.0  # between two looks for who works: another worker may have gone
SLOWER = 1.4  # the factor by which the pause grows whenever nothing has happened
SHARE = 10  # after a look comes a pause of at least so many times as long as the look took


@dataclass(eq=False)
class Subject:
    """One run that is watched. show: hears every change, on the watching thread. works: see to it that somebody works."""

    instance_id: str
    workflow: Workflow | None
    show: Callable[[Snapshot], None]
    works: bool = False
    visible: bool = True
    ended: bool = False
    observer: Observer | None = field(default=None, repr=False)
    due_at: float = inf  # on our clock: when the next wait of it ends


_lock = threading.Lock()
_watchers: dict[str, Watcher] = {}


def watch(dsn: str, subject: Subject) -> Watcher:
    """Watch one more run of this database, until it has ended."""
    with _lock:
        watcher = _watchers.get(dsn)
        if watcher is None:
            watcher = _watchers[dsn] = Watcher(dsn)
            watcher.subjects.append(subject)
            watcher.start()
        else:
            watcher.subjects.append(subject)
            watcher.wake()
    return watcher


class Watcher(threading.Thread):
    """Watches the runs of one database; ends when there are none left."""

    def __init__(self, dsn: str) -> None:
        super().__init__(name="pgweave watch", daemon=True)
        self.dsn = dsn
        self.subjects: list[Subject] = []
        self.questions = 0  # how often the database was asked, for tests and the curious
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._sought_worker_at = 0.0

    def wake(self) -> None:
        """Ask again at once; from any thread."""
        with suppress(OSError):  # full: it will wake anyway; closed: it has ended
            self._mouth.send(b"!")

    def run(self) -> None:
        """Watch until every run has ended."""
        while not self._is_done():
            try:
                with Client(self.dsn) as client:
                    self._watch(client)
            except Exception as error:  # the server is away: it may come back
                log.warning("cannot watch: %s", error)
                for subject in self.subjects:
                    subject.observer = None
                self._rest([self._ear], LONGEST_SECONDS)
        self._ear.close()
        self._mouth.close()

    def _is_done(self) -> bool:
        with _lock:  # nobody adds a run to a watcher that is about to end
            if self.subjects:
                return False
            del _watchers[self.dsn]
            return True

    def _watch(self, client: Client) -> None:
        said = client.listen()
        pause = SHORTEST_SECONDS
        while self.subjects:
            self._seek_worker()
            began = monotonic()
            changed = sum(self._ask(client, subject) for subject in tuple(self.subjects)) > 0
            least = max(SHORTEST_SECONDS, (monotonic() - began) * SHARE)
            longest = LONGEST_SECONDS if any(subject.visible for subject in self.subjects) else HIDDEN_SECONDS
            pause = least if changed else min(pause * SLOWER, longest)
            if not self.subjects:
                return
            due = min((subject.due_at for subject in self.subjects), default=inf) - monotonic()
            if self._rest([said, self._ear], max(least, min(pause, due if due > 0 else pause)), least):
                client.heard()
                pause = SHORTEST_SECONDS

    def _rest(self, ears: list[int | socket.socket], seconds: float, least: float = 0.0) -> bool:
        """Sleep: for `least` in any case, then until somebody rings. Returns whether somebody did."""
        began = monotonic()
        rung, _, _ = select.select(ears, [], [], seconds)
        if rung and (rest := least - (monotonic() - began)) > 0:
            threading.Event().wait(rest)
        with suppress(OSError):
            while self._ear.recv(4096):
                pass
        return bool(rung)

    def _ask(self, client: Client, subject: Subject) -> bool:
        """Ask about one run, and tell of it if something has changed."""
        subject.observer = observer = subject.observer or Observer(client, subject.instance_id, subject.workflow)
        in_hand = {key for key in background.steps_in_hand(self.dsn) if key[0] in observer.ids}
        self.questions += 1
        if not observer.changed(in_hand):
            return False
        try:
            snapshot = observer.look(in_hand)
        except InstanceNotFound:  # it was removed; its retention is over
            self._drop(subject)
            return True
        ends = [(wait.until - snapshot.taken_at).total_seconds() for wait in snapshot.waits if wait.until is not None]
        subject.due_at = monotonic() + min(ends, default=inf)
        try:
            subject.show(snapshot)
        except Exception:
            log.exception("cannot show %s", subject.instance_id)
        if snapshot.ended:
            self._drop(subject)
        return True

    def _drop(self, subject: Subject) -> None:
        subject.ended = True
        with suppress(ValueError):  # somebody has just lost interest in it
            self.subjects.remove(subject)

    def forget(self, subject: Subject) -> None:
        """Watch a run no more; from any thread."""
        with suppress(ValueError):
            self.subjects.remove(subject)
        self.wake()

    def _seek_worker(self) -> None:
        if monotonic() - self._sought_worker_at < WORKER_SECONDS or not any(one.works for one in self.subjects):
            return
        self._sought_worker_at = monotonic()
        background.ensure_worker(self.dsn)
        background.tell(self.dsn, self.wake)
