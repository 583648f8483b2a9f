"""The faults of a chaos run and the plan that a seed draws of them.

Fast ones hit one worker, its process, its connections or its link, and come several times a second. Slow ones hit the
server or come from other sessions; one at a time, beside the fast ones. Each says which instances it hits: those that
the worker (or all of them) had leased when it began.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from random import Random
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from chaos import hostile
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.recovery import Recovery
    from chaos.servers import Servers
    from chaos.workers import Worker

FAST = {
    "terminate": 30, "terminate all": 4, "cancel": 24, "cut": 20, "silent link": 8, "kill -9": 7, "SIGSTOP": 7,
}  # fmt: skip
LONGEST = {"silent link": 3.0, "SIGSTOP": 4.5}  # seconds; the lease is three
TENANTS = {tenant.__name__.replace("_", " "): tenant for tenant in hostile.TENANTS}
SLOW = (
    "restart", "failover", "disk full", "clock step", "table locks", "connection exhaustion",
    *(f"tenant: {name}" for name in TENANTS),
)  # fmt: skip
STEPS = (20, 7, -7, -15)  # seconds, of the clock
LOCKED = ("df.queue", "df.runs", "df.inbox", "df.instances", "chaos.fx")
LATE_SECONDS = 8.0  # a slow fault that cannot come sooner is left out, if there was one of its kind
EXHAUSTING = 200  # connections that are asked for; far more than the server has
HELD = (
    "select split_part(worker, ':', 2), array_agg(instance_id::text) from df.queue as q where worker is not null"
    # One that waits for the next minute would say nothing of how soon work goes on.
    " and not exists (select from chaos.programs as p where p.instance_id = q.instance_id and p.shape = 'schedule')"
    " group by 1"
)


@dataclass(frozen=True)
class Fault:
    """at: seconds after the beginning. seconds: how long it lasts. worker: which one, of the fast ones."""

    at: float
    kind: str
    seconds: float = 0.0
    worker: int = 0


def plan(
    seed: int, seconds: float, per_second: float, workers: int, slow_every: float
) -> tuple[list[Fault], list[Fault]]:
    """The fast faults and the slow ones, in order. Worker 0 is never killed, so that its memory can be followed."""
    chance = Random(seed)
    fast, at = [], 0.0
    while (at := at + chance.expovariate(per_second)) < seconds:
        (kind,) = chance.choices([*FAST], [*FAST.values()])
        longest = LONGEST.get(kind, 0.0) * chance.choice((0.2, 0.2, 0.2, 1.0))
        first = 1 if kind == "kill -9" else 0
        fast.append(Fault(at, kind, chance.uniform(longest / 4, longest), chance.randrange(first, workers)))
    slow: list[Fault] = []
    kinds: list[str] = []
    at = slow_every / 2
    while at < seconds - slow_every / 2:
        if not kinds:
            kinds = chance.sample(SLOW, len(SLOW))  # all of them, before one comes again
        slow.append(Fault(at, kinds.pop(), chance.uniform(1.0, 2.5)))
        at += slow_every
    return fast, slow


@dataclass
class _Open:
    """A fast fault that has begun. pid: of the worker then. held: the instances that it had."""

    until: float
    kind: str
    worker: Worker
    pid: int
    held: frozenset[str]


@dataclass
class Injector:
    """Carries out a plan. log: (seconds, what) of everything that was done. counted: by kind. skipped: why not."""

    servers: Servers
    workers: list[Worker]
    recovery: Recovery
    seed: int
    log: list[tuple[float, str]]
    counted: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    clock_went_back: bool = False
    clock_is_behind_until: float = 0.0  # seconds after the beginning
    troubles: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._began = monotonic()
        self._chance = Random(self.seed + 1)
        if self.servers.no_disk is not None:
            self.skipped["disk full"] = self.servers.no_disk
        if self.servers.no_clock is not None:
            self.skipped["clock step"] = self.servers.no_clock

    def run(self, fast: list[Fault], slow: list[Fault]) -> None:
        """All of it, then nothing is out of order any more."""
        self._began = monotonic()
        beside = Thread(target=self._slowly, args=(slow,), name="slow faults", daemon=True)
        beside.start()
        open_ones: list[_Open] = []
        for fault in fast:
            self._end_those_due(open_ones, fault.at)
            self._sleep_until(fault.at)
            begun = self._begin(fault)
            if fault.seconds:
                open_ones.append(begun)
        self._end_those_due(open_ones, float("inf"))
        beside.join()

    @property
    def now(self) -> float:
        """Seconds since the first fault could come."""
        return monotonic() - self._began

    def note(self, what: str) -> None:
        """Write down what happens now."""
        with self._lock:
            self.log.append((round(self.now, 2), what))

    def _end_those_due(self, open_ones: list[_Open], at: float) -> None:
        for begun in sorted(open_ones, key=lambda begun: begun.until):
            if begun.until <= at:
                self._sleep_until(begun.until)
                self._end(begun)
                open_ones.remove(begun)

    def _sleep_until(self, at: float) -> None:
        Event().wait(max(0.0, self._began + at - monotonic()))

    def _begin(self, fault: Fault) -> _Open:
        in_hand = self.in_hand() or {}
        # The next one that has something, if the one that was drawn has nothing. Worker 0 is never killed.
        places = [(fault.worker + n) % len(self.workers) for n in range(len(self.workers))]
        candidates = [self.workers[place] for place in places if place or fault.kind != "kill -9"]
        worker = next((worker for worker in candidates if worker.pid in in_hand), candidates[0])
        pid = worker.pid
        held = in_hand.get(pid, frozenset())
        self.note(f"{fault.kind}: worker {worker.number} ({pid}), has {len(held)}")
        self._count(fault.kind)
        match fault.kind:
            case "terminate" | "terminate all" | "cancel":
                pids = worker.relay.pids()
                chosen = pids if fault.kind == "terminate all" else self._chance.sample(pids, min(1, len(pids)))
                self._ask(
                    f"select pg_{'cancel' if fault.kind == 'cancel' else 'terminate'}_backend(pid)"
                    " from pg_stat_activity where pid = any (%s)", chosen,
                )  # fmt: skip
            case "cut":
                worker.relay.cut()
            case "silent link":
                worker.relay.fall_silent()
            case "SIGSTOP":
                worker.stop()
            case _:
                worker.kill()
        if not fault.seconds:
            self.recovery.over(fault.kind, held)
        return _Open(fault.at + fault.seconds, fault.kind, worker, pid, held)

    def _end(self, begun: _Open) -> None:
        if begun.kind == "silent link":
            begun.worker.relay.speak_again()
        elif begun.worker.pid == begun.pid:
            begun.worker.go_on()
        self.note(f"{begun.kind} is over: worker {begun.worker.number} ({begun.pid})")
        self.recovery.over(begun.kind, begun.held)

    def _slowly(self, slow: list[Fault]) -> None:
        for fault in slow:
            self._sleep_until(fault.at)
            if fault.kind in self.skipped or (fault.kind in self.counted and self.now > fault.at + LATE_SECONDS):
                continue
            held = frozenset[str]().union(*(self.in_hand() or {}).values())
            self.note(f"{fault.kind}, {len(held)} instances in hand")
            try:
                with ExitStack() as stack:
                    self._hit(fault, stack)
                self.note(f"{fault.kind} is over")
                self.recovery.over(fault.kind, held)
                if self.servers.standby is None:
                    self._attach()
            except Exception as error:
                self.troubles.append(f"{fault.kind}: {type(error).__name__}: {error}")
                with suppress(Exception):
                    self.servers.ensure()
                continue
            self._count(fault.kind)

    def _attach(self) -> None:
        for attempt in range(3):
            try:
                self.servers.attach()
            except RuntimeError as error:  # the copy is made beside all that goes on
                self.note(f"no standby yet: {error}")
                if attempt == 2:
                    raise
            else:
                self.note("there is a standby again")
                return

    def _hit(self, fault: Fault, stack: ExitStack) -> None:
        """The stack undoes it."""
        lasts = Event()
        match fault.kind:
            case "restart":
                self.servers.restart()
            case "failover":
                self.servers.fail_over()
            case "disk full":
                stack.callback(self.servers.free_disk)
                self.servers.fill_disk()
                lasts.wait(fault.seconds)
            case "clock step":
                self.clock_went_back, self.clock_is_behind_until = True, float("inf")
                stack.callback(self._set_clock_right)
                self.servers.step_clock(self._chance.choice(STEPS))
                lasts.wait(2 * fault.seconds)
            case "table locks":
                table = self._chance.choice(LOCKED)
                with suppress(psycopg.Error), psycopg.connect(self.servers.dsn) as session:
                    session.execute(f"lock table {table} in access exclusive mode".encode())
                    lasts.wait(fault.seconds)
            case "connection exhaustion":
                for session in _exhaust(self.servers.dsn):
                    stack.callback(session.close)
                lasts.wait(fault.seconds)
            case tenant:
                over = Event()
                work = TENANTS[tenant.removeprefix("tenant: ")]
                beside = Thread(target=work, args=(self.servers.dsn, over, Random(self.seed + fault.at)), daemon=True)
                beside.start()
                beside.join(4 * fault.seconds)
                over.set()
                beside.join(60)

    def _set_clock_right(self) -> None:
        self.servers.step_clock(0)
        self.clock_is_behind_until = self.now + max(STEPS) + 1

    def in_hand(self) -> dict[int, frozenset[str]] | None:
        """The instances that each worker, by its process id, has leased. None: the server does not say."""
        try:
            with psycopg.connect(self.servers.dsn, autocommit=True) as session:
                session.execute("set statement_timeout = '500ms'")
                return {int(pid): frozenset(found) for pid, found in session.execute(HELD)}
        except psycopg.Error:
            return None

    def _ask(self, statement: str, *arguments: object) -> None:
        with suppress(psycopg.Error), psycopg.connect(self.servers.dsn, autocommit=True) as session:
            session.execute(statement.encode(), arguments)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.counted[kind] = self.counted.get(kind, 0) + 1


def _exhaust(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    for _ in range(EXHAUSTING):
        try:
            yield psycopg.connect(make_conninfo(dsn, user=hostile.ROLE))
        except psycopg.OperationalError:
            return
