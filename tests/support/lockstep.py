"""Workers in lockstep: the runtime's own code, on a real database, one effect at a time, in the order a test chooses.

Every statement that a worker sends is an effect, and so is every wait for its own threads. Each thread of a worker is
an actor that stops before its next effect; the test picks who goes on. So a test can let two workers overtake each
other anywhere, kill one between any two effects, or cut its connection before or after the server has done the work,
and the same choices lead to the same story each time. One connection serves all: only one actor ever runs.
"""

from __future__ import annotations

import threading
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from support.checker import SIGNALS, wrong

from pgweave.runtime.errors import StepInterrupted
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.worker import drive, sql_step
from pgweave.runtime.worker.service import Settings, Worker
from pgweave.runtime.worker.sessions import RoleSettings
from pgweave.runtime.worker.store import Lease, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pgweave.runtime.worker.sessions import Tag

T = TypeVar("T")

NAMES = {query: name for name, query in QUERIES.items()}
PATIENCE_SECONDS = 30


class Killed(BaseException):
    """SIGKILL, as it looks from inside: nothing of the worker's own runs any more."""


class Violation(BaseException):
    """The checker has found something. Not an Exception: those of an instance end in the log of the worker."""


class Fault(Enum):
    """What goes wrong around an effect."""

    NONE = "done"
    KILLED = "killed before it"
    KILLED_AFTER = "done, and killed before the answer"
    CUT = "connection lost before it"
    CUT_AFTER = "done, and the connection lost before the answer"


class Actor:
    """A thread of a worker. It runs from one effect to the next, and only while the test lets it."""

    _local = threading.local()

    def __init__(self, stage: Stage, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.effect = "begin"
        self.may_go_on: Callable[[], bool] = lambda: True
        self.ended = False
        self._stage = stage
        self._work = work
        self._fault = Fault.NONE
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        Actor._local.actor = self
        self._go.acquire()
        try:
            if self._fault is not Fault.KILLED:
                self._work()
        except Killed:
            pass
        except BaseException as failure:
            self._failure = failure
        self.ended = True
        self._back.release()

    def step(self, fault: Fault = Fault.NONE) -> None:
        """Let it carry out the effect before which it stands, and go on to the next."""
        self._fault = fault
        self._go.release()
        assert self._back.acquire(timeout=PATIENCE_SECONDS), f"{self.name} does not come back from {self.effect}"
        if isinstance(self._failure, Violation):
            raise AssertionError(str(self._failure))
        if self._failure is not None:
            raise self._failure

    @classmethod
    def point(cls, effect: str, carry_out: Callable[[], T], may_go_on: Callable[[], bool] = lambda: True) -> T:
        """Called by the actor's own thread: stop here, and go on as the test says."""
        actor: Actor | None = getattr(cls._local, "actor", None)
        if actor is None:  # the test itself
            return carry_out()
        actor.effect, actor.may_go_on = effect, may_go_on
        actor._back.release()
        actor._go.acquire()
        match actor._fault:
            case Fault.KILLED:
                raise Killed
            case Fault.CUT:
                raise psycopg.OperationalError("the connection is lost")
            case _:
                pass
        result = carry_out()
        match actor._fault:
            case Fault.KILLED_AFTER:
                raise Killed
            case Fault.CUT_AFTER:
                raise psycopg.OperationalError("the connection is lost")
            case _:
                return result


class Session:
    """A connection on which every statement is an effect."""

    def __init__(self, stage: Stage, tag: Tag | None = None) -> None:
        self._stage = stage
        self._tag = tag

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self._stage.connection.info

    @property
    def pgconn(self) -> psycopg.pq.abc.PGconn:
        """For statements to be described. That changes nothing, so it is no effect."""
        return self._stage.connection.pgconn

    def execute(self, query: bytes, arguments: Sequence[object] = (), *, binary: bool = False) -> psycopg.Cursor[Any]:
        name = NAMES.get(query, "a step by itself")

        def carry_out() -> psycopg.Cursor[Any]:
            if self._tag is not None and self._tag in self._stage.interrupted:
                raise StepInterrupted
            cursor = self._stage.connection.execute(query, arguments, binary=binary)
            self._stage.heard(name, arguments, cursor)
            return cursor

        return Actor.point(name, carry_out)


class Sessions:
    """What `pgweave.runtime.worker.sessions` does, on the one connection. A cancel comes before the statement or not at all."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @contextmanager
    def borrow(self, role: str, database: str | None, tag: Tag) -> Iterator[Session]:
        yield Session(self._stage, tag)

    def settings(self, session: Session) -> RoleSettings:
        return RoleSettings()

    def interrupt(self, matches: Callable[[Tag], bool], expected: set[Tag] | None = None) -> None:
        self._stage.interrupted |= expected or set()

    def is_interrupted(self, tag: Tag) -> bool:
        return tag in self._stage.interrupted

    def may_defer(self, tag: Tag, *, internal: bool = False) -> bool:
        return True

    def forget(self, instance_id: str) -> None:
        self._stage.interrupted = {tag for tag in self._stage.interrupted if tag[0] != instance_id}

    def foreign(self, role: str) -> bool:
        return False

    def elsewhere(self, database: str | None) -> bool:
        return False


class Threads:
    """The step threads of one worker, as actors."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self._worker = worker

    def begin(self, role: str, work: Callable[[], None], *, first: bool) -> bool:
        self._worker.begin("step", work)
        return True


def wait(futures: Iterable[Future[Any]], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> Any:  # noqa: ANN401
    """concurrent.futures.wait as an effect. With a timeout it may always go on: time is up when the test says so."""
    watched = set(futures)
    enough = any if return_when == FIRST_COMPLETED else all

    def ended() -> tuple[set[Future[Any]], set[Future[Any]]]:
        done = {future for future in watched if future.done()}
        return done, watched - done

    return Actor.point(
        "wait for its threads", ended, lambda: timeout is not None or enough(future.done() for future in watched)
    )


class SimulatedWorker:
    """One worker: the thread that claimed, one thread per leased instance, one per step in hand."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self.stage = stage
        self.worker = Worker("", settings)
        self.worker.store = Store(stage.lend)
        # A lock of its own session's; here one session serves all.
        self.worker.store.quarantine = lambda: nullcontext(True)  # type: ignore[method-assign, assignment, return-value]
        self.worker.sessions = Sessions(stage)  # type: ignore[assignment]
        self.worker.steps = Threads(self)  # type: ignore[assignment]
        self.actors: list[Actor] = []

    def begin(self, name: str, work: Callable[[], None]) -> None:
        self.actors.append(Actor(self.stage, name, work))

    def claim(self, limit: int = 1) -> list[Lease]:
        """What the worker's loop does when it is rung for."""
        leases = self.worker.store.claim(self.worker.name, limit, self.worker.settings.lease_seconds)
        for lease in leases:
            self.stage.tokens[lease.instance_id] = lease.token
            self.worker._leases[lease.instance_id] = lease
            self.begin("instance", lambda lease=lease: self.worker._instance(lease))  # type: ignore[misc]
        return leases

    def renew(self) -> None:
        """What the worker does three times within each lease."""
        leases = list(self.worker._leases.values())
        held = self.worker.store.renew(leases, self.worker._long_steps(), self.worker.settings.lease_seconds)
        self.worker._lost.update(lease.token for lease in leases if lease.token not in held)

    def ready(self) -> list[Actor]:
        """Who could go on."""
        self.actors = [actor for actor in self.actors if not actor.ended]
        return [actor for actor in self.actors if actor.may_go_on()]

    def kill(self, fault: Fault = Fault.KILLED) -> None:
        """End it. What it has sent may still be carried out: KILLED_AFTER."""
        for actor in self.actors:
            if not actor.ended and actor.may_go_on() and actor.effect in QUERIES:
                actor.step(fault)
            if not actor.ended:
                actor.step(Fault.KILLED)
        self.actors = []


@dataclass(frozen=True, slots=True)
class Heard:
    """A statement that the server has carried out: its name in queries.sql, what it was given and what it answered."""

    query: str
    arguments: tuple[Any, ...]
    answer: Any


class Stage:
    """The database, the clock and everything that has been heard there."""

    def __init__(self, connection: psycopg.Connection[Any], listen: Callable[[Heard], None]) -> None:
        self.connection = connection
        self.interrupted: set[Tag] = set()
        self.tokens: dict[str, Any] = {}
        self._listen = listen

    @contextmanager
    def lend(self) -> Iterator[Any]:
        yield Session(self)

    def heard(self, query: str, arguments: Sequence[object], cursor: psycopg.Cursor[Any]) -> None:
        if found := wrong(self.connection, SIGNALS):
            raise Violation(f"after {query} {arguments}: {found}")
        row = cursor.fetchone() if cursor.description else None
        if row is not None:
            cursor.scroll(0, mode="absolute")
        self._listen(Heard(query, tuple(arguments), row))

    @contextmanager
    def open(self) -> Iterator[None]:
        """While the stage is open, waits of the runtime are effects and its pauses take no time."""
        saved = drive.wait, sql_step.sleep  # type: ignore[attr-defined]
        drive.wait, sql_step.sleep = wait, lambda seconds: None  # type: ignore[attr-defined, assignment]
        try:
            yield
        finally:
            drive.wait, sql_step.sleep = saved  # type: ignore[attr-defined]
