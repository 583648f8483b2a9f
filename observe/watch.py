"""Watching instances from a notebook: one thread and one session for each database, asleep while nothing happens.

In: a run and a callback. Out: a Snapshot whenever something has changed. A change is found by asking
(`Observer.changed`, one small statement), ten times a second at first, then less and less often. A pause ends early on
a notification of the database (a start, a signal, an end), a step of this process' worker, or the due time of a sleep.
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
    from pgweave.workflow import WorkflowSource

log = logging.getLogger("pgweave.notebooks")

SHORTEST_SECONDS = 0.1  # between two looks while things happen; the eye sees no more
LONGEST_SECONDS = 2.0  # between two questions when nothing has happened for long
HIDDEN_SECONDS = 10.0  # the same while no picture is in view
WORKER_SECONDS = 10.0  # between two checks that a worker runs: another process' worker may have ended
SLOWER = 1.4  # the factor by which the pause grows whenever nothing has happened
SHARE = 10  # after a look comes a pause of at least so many times as long as the look took


@dataclass(eq=False)
class Subject:
    """One run that is watched. show: called with every change, on the watching thread. works: see to it that a worker runs."""

    instance_id: str
    workflow: WorkflowSource | None
    show: Callable[[Snapshot], None]
    works: bool = False
    visible: bool = True
    ended: bool = False
    observer: Observer | None = field(default=None, repr=False)
    due_at: float = inf  # by `monotonic()`: when its next wait ends


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
        self.questions = 0  # how often the database was asked; tests read it
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._worker_checked_at = 0.0

    def wake(self) -> None:
        """Ask again at once; from any thread."""
        with suppress(OSError):  # full: a wake-up is pending anyway; closed: it has ended
            self._wake_sender.send(b"!")

    def run(self) -> None:
        """Watch until every run has ended."""
        while not self._is_done():
            try:
                with Client(self.dsn) as client:
                    self._watch(client)
            except Exception as error:  # the server is unreachable: it may come back
                log.warning("cannot watch: %s", error)
                for subject in self.subjects:
                    subject.observer = None
                self.pause([self._wake_receiver], LONGEST_SECONDS)
        self._wake_receiver.close()
        self._wake_sender.close()

    def _is_done(self) -> bool:
        with _lock:  # no run is added to a watcher that is about to end
            if self.subjects:
                return False
            # Under the lock that `watch` takes: else a run could be added to a thread that has just decided to
            # end.
            del _watchers[self.dsn]
            return True

    def _watch(self, client: Client) -> None:
        said = client.listen()
        pause = SHORTEST_SECONDS
        while self.subjects:
            self._ensure_worker()
            began = monotonic()
            # sum and not any: every subject is asked, whatever the first one says. tuple: _ask may drop one.
            changed = sum(self._ask(client, subject) for subject in tuple(self.subjects)) > 0
            # A slow server is asked less: at most a tenth of the time is spent asking.
            least = max(SHORTEST_SECONDS, (monotonic() - began) * SHARE)
            longest = LONGEST_SECONDS if any(subject.visible for subject in self.subjects) else HIDDEN_SECONDS
            pause = least if changed else min(pause * SLOWER, longest)
            if not self.subjects:
                return
            # A sleep that ends is no notification: nobody would look at its time.
            due = min((subject.due_at for subject in self.subjects), default=inf) - monotonic()
            if self.pause([said, self._wake_receiver], max(least, min(pause, due if due > 0 else pause)), least):
                client.heard()
                pause = SHORTEST_SECONDS

    def pause(self, sockets: list[int | socket.socket], seconds: float, least: float = 0.0) -> bool:
        """Sleep `seconds`, or at least `least` and then until a socket is readable. Returns whether one was."""
        began = monotonic()
        # The database's session and the socket of `wake`: whichever speaks first.
        woken, _, _ = select.select(sockets, [], [], seconds)
        if woken and (left := least - (monotonic() - began)) > 0:
            threading.Event().wait(left)
        with suppress(OSError):
            while self._wake_receiver.recv(4096):
                pass
        return bool(woken)

    def _ask(self, client: Client, subject: Subject) -> bool:
        """Ask about one run, and call back if something has changed."""
        subject.observer = observer = subject.observer or Observer(client, subject.instance_id, subject.workflow)
        running = {key for key in background.running_steps(self.dsn) if key[0] in observer.ids}
        self.questions += 1
        if not observer.changed(running):
            return False
        try:
            snapshot = observer.look(running)
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
        with suppress(ValueError):  # `forget` was faster
            self.subjects.remove(subject)

    def forget(self, subject: Subject) -> None:
        """Stop watching a run; from any thread."""
        with suppress(ValueError):
            self.subjects.remove(subject)
        self.wake()

    def _ensure_worker(self) -> None:
        if monotonic() - self._worker_checked_at < WORKER_SECONDS or not any(one.works for one in self.subjects):
            return
        self._worker_checked_at = monotonic()
        background.ensure_worker(self.dsn)
        background.tell(self.dsn, self.wake)
