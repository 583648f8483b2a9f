"""How soon work goes on after each fault: seen from outside, by the marks that steps leave and by instances that end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

LOOK_SECONDS = 0.02
LONG_SECONDS = 5.0
LATE_IDS = 200  # an identity number may be committed after a higher one

PROGRESS = """
select 'f' || f.id, p.instance_id from chaos.fx as f join chaos.programs as p using (tag) where f.id > %(marks)s
union all select 'a' || a.id, a.instance_id from chaos.audit as a where a.id > %(changes)s
"""

# Nothing more is to be expected of these: they have ended, or wait for something that is still to come.
SETTLED = """
select i.id from df.instances as i left join df.queue as q on q.instance_id = i.id
where i.id = any (%s) and (i.completed_at is not null or q.token is null and q.ready_at > df.clock()
      and exists (select from df.runs as r where r.instance_id = i.id and r.status = 'waiting'))
"""


@dataclass
class Waiting:
    """A fault that is over and whose instances have not moved yet. since: of `monotonic`. looked: at least once."""

    kind: str
    instances: frozenset[str]
    since: float
    looked: bool = False


@dataclass
class Recovery:
    """seconds: by kind of fault, from its end until one of the instances it hit moved. unseen: how many were open at the end."""

    dsn: Callable[[], str]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    _waiting: list[Waiting] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._marks = self._changes = 0
        self._known: set[str] = set()
        self._thread = Thread(target=self._run, name="recovery", daemon=True)

    def start(self, note: Callable[[str], None]) -> None:
        """note: hears of those that took long."""
        self._note = note
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def over(self, kind: str, instances: Collection[str]) -> None:
        """A fault has ended that hit these instances."""
        if instances:
            with self._lock:
                self._waiting.append(Waiting(kind, frozenset(instances), monotonic()))

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(psycopg.Error), psycopg.connect(self.dsn(), autocommit=True) as connection:
                while not self._stop.wait(LOOK_SECONDS):
                    self._look(connection)
            self._stop.wait(LOOK_SECONDS)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        asked = monotonic()
        rows = connection.execute(PROGRESS, {"marks": self._marks - LATE_IDS, "changes": self._changes - LATE_IDS})
        found = {str(key): str(instance) for key, instance in rows}
        moved = {instance for key, instance in found.items() if key not in self._known}
        self._known = set(found)
        for key in found:
            number = int(key[1:])
            if key[0] == "f":
                self._marks = max(self._marks, number)
            else:
                self._changes = max(self._changes, number)
        with self._lock:
            waiting = [fault for fault in self._waiting if fault.since < asked]
        ids = sorted({instance for fault in waiting for instance in fault.instances})
        settled = {str(row[0]) for row in connection.execute(SETTLED, [ids])} if ids else set()
        for fault in waiting:
            self._judge(fault, moved, settled)

    def _judge(self, fault: Waiting, moved: set[str], settled: set[str]) -> None:
        if not fault.looked and not fault.instances & moved:
            # What had ended, or was parked, before the fault was over says nothing.
            fault.looked, fault.instances = True, fault.instances - settled
            if not fault.instances:
                self._forget(fault)
        elif fault.instances & (moved | settled):
            self._forget(fault)
            took = monotonic() - fault.since
            self.seconds.setdefault(fault.kind, []).append(took)
            if took > LONG_SECONDS:
                self._note(
                    f"only now, {took:.1f} s after {fault.kind}, one of these goes on: {' '.join(fault.instances)}"
                )

    def _forget(self, fault: Waiting) -> None:
        with self._lock:
            self._waiting.remove(fault)
