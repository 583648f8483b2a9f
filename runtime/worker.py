"""The worker: lease an instance, ask `advance` what is next, carry it out, write it down, park when all of it waits.

In: rows that df.start wrote. Out: rows of df.runs, one per finished step, each in the step's own transaction. The
worker decides nothing about the language and remembers nothing that matters: kill it anywhere and another one goes
on from the rows. Threads and blocking psycopg, because a step is one round trip and most of a worker's life is waiting
for the database.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from pgweave.runtime import activities
from pgweave.runtime.advance import Broke, Done, Failed, Plan, Progress, Run, advance
from pgweave.runtime.connect import connect
from pgweave.runtime.errors import ConnectionFailed, InstanceCancelled, LeaseLost
from pgweave.runtime.migrate import require
from pgweave.runtime.queries import QUERIES
from pgweave.runtime.sessions import Sessions
from pgweave.runtime.store import FORMAT, Lease, Loaded, Situation, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgweave.runtime.advance import Key, Outcome, Shown, Todo

log = logging.getLogger("pgweave.worker")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one worker behaves. Durations in seconds.

    concurrency: instances at once. lease_seconds: how long a dead worker's instances stay untouched; a live one renews
    three times within it. poll_seconds: how soon work is found whose notification was lost. max_attempts: leases
    without progress after which an instance is given up. max_result_bytes: of one step.
    """

    concurrency: int = 8
    lease_seconds: float = 15.0
    poll_seconds: float = 1.0
    max_attempts: int = 10
    max_result_bytes: int = 1_000_000


class Worker:
    """Works off the instances of one database. `run` blocks until `stop`; both may be called from any thread.

    on_event: told what happens as (event, instance id, node id or None): "claimed", "step", "checkpointed", "waiting",
    "parked", "finished". Tests wait for these and the command line draws them; it must return quickly.
    """

    def __init__(
        self,
        dsn: str,
        settings: Settings | None = None,
        on_event: Callable[[str, str, str | None], None] = lambda event, instance, node: None,
    ) -> None:
        self.dsn = dsn
        self.settings = settings or Settings()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.emit = on_event
        self.running: set[tuple[str, str]] = set()  # (instance id, node id) of steps in flight, for people who watch
        self._stop = Event()  # begin nothing new
        self._closed = Event()  # nothing is in hand any more
        self._bell = Event()
        self._leases: dict[str, Lease] = {}
        self._lost: set[Any] = set()
        self._lock = Lock()

    def stop(self) -> None:
        """Finish the steps in hand, give the leases back, return from `run`."""
        self._stop.set()
        self._bell.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stop.is_set()

    def run(self, *, once: bool = False) -> None:
        """Work until stopped. once: until nothing is due any more.

        Errors about the schema are raised at once; a database that goes away later is waited for.
        """
        import psycopg
        from psycopg_pool import PoolTimeout

        with connect(self.dsn, application_name="pgweave worker") as connection:
            require(connection)
            own_role = connection.execute(QUERIES["who_am_i"]).fetchone()
        assert own_role is not None
        helpers = [Thread(target=work, daemon=True, name=work.__name__) for work in (self._listen, self._renew)]
        with self._pool() as store, Sessions(self.dsn, own_role[0], self.settings.concurrency * 2) as sessions:
            self.store, self.sessions = store, sessions
            for helper in helpers:
                helper.start()
            try:
                with (
                    ThreadPoolExecutor(self.settings.concurrency, "instance") as instances,
                    ThreadPoolExecutor(self.settings.concurrency * 2, "step") as self.steps,
                ):
                    self._work(instances, once=once)
            finally:
                self._closed.set()
                with suppress(psycopg.Error, PoolTimeout):
                    store.ring()  # our own listener would else sleep on for a while
                for helper in helpers:
                    helper.join()

    @contextmanager
    def _pool(self) -> Iterator[Store]:
        from psycopg_pool import ConnectionPool

        with ConnectionPool(
            self.dsn,
            kwargs={"autocommit": True, "application_name": "pgweave worker"},
            min_size=1,
            max_size=self.settings.concurrency + 2,
            num_workers=1,
            check=ConnectionPool.check_connection,
        ) as pool:
            yield Store(pool.connection)

    def _work(self, instances: ThreadPoolExecutor, *, once: bool) -> None:
        """Claim as much as there is room for; sleep until rung for, or for the poll interval."""
        import psycopg

        pending: set[Future[None]] = set()
        pause = self.settings.poll_seconds
        while not self.stopping:
            self._bell.clear()
            pending = {future for future in pending if not future.done()}
            free = self.settings.concurrency - len(pending)
            try:
                leases = self.store.claim(self.name, free, self.settings.lease_seconds) if free else []
                pause = self.settings.poll_seconds
            except psycopg.Error as error:
                log.warning("cannot claim: %s", type(error).__name__)
                leases, pause = [], min(pause * 2, 30.0)
            for lease in leases:
                with self._lock:
                    self._leases[lease.instance_id] = lease
                pending.add(instances.submit(self._instance, lease))
            if once and not pending and not leases:
                return
            if len(leases) < free or not free:
                self._bell.wait(pause)

    def _instance(self, lease: Lease) -> None:
        """One leased instance, whatever happens to it: a bad one must never stop the loop."""
        import psycopg

        self.emit("claimed", lease.instance_id, None)
        try:
            _Instance(self, lease).drive()
        except LeaseLost:
            log.warning("lease lost: instance %s", lease.instance_id)
        except (psycopg.Error, ConnectionFailed) as error:
            # The lease runs out by itself; then somebody, perhaps we, goes on from the rows.
            log.warning("database trouble: instance %s: %s", lease.instance_id, type(error).__name__)
        except Exception:
            log.exception("internal error: instance %s", lease.instance_id)
        finally:
            with self._lock:
                self._leases.pop(lease.instance_id, None)
            self._bell.set()

    def _listen(self) -> None:
        """Turn notifications into a ring of the bell. Deaf for a while is harmless: the loop polls."""
        import psycopg

        while not self._closed.is_set():
            try:
                with connect(self.dsn, application_name="pgweave listener") as connection:
                    connection.execute(QUERIES["listen"])
                    self._bell.set()
                    while not self._closed.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._bell.set()
            except (psycopg.Error, ConnectionFailed):
                self._closed.wait(self.settings.poll_seconds)

    def _renew(self) -> None:
        """Keep the leases of everything in hand, and show long steps as running."""
        import psycopg

        while not self._closed.wait(self.settings.lease_seconds / 3):
            with self._lock:
                leases = list(self._leases.values())
            if not leases:
                continue
            try:
                held = self.store.renew(leases, list(self.running), self.settings.lease_seconds)
            except psycopg.Error as error:
                log.warning("cannot renew: %s", type(error).__name__)
                continue
            self._lost.update(lease.token for lease in leases if lease.token not in held)

    def holds(self, lease: Lease) -> bool:
        """False once a renewal was refused: nothing new may be begun for it."""
        return lease.token not in self._lost


class _Instance:
    """One lease on one instance, from claim to park or end."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.worker = worker
        self.store = worker.store
        self.lease = lease
        self.loaded: Loaded
        self.situation: Situation
        self.progress = Progress()
        self.in_flight: dict[Future[Run], Todo] = {}
        self.shown: dict[str, Shown] = {}
        self.abandoned: set[Key] = set()

    def drive(self) -> None:
        """Go on until the instance has ended, waits, or the worker is to stop."""
        self.loaded = self.store.load(self.lease)
        if self.loaded.format > FORMAT:
            log.warning("instance %s was written by a newer pgweave", self.lease.instance_id)
            return
        if (problem := self._problem()) is not None:
            self._finish("failed", None, {"message": problem})
            return
        self.situation = self.store.settle(self.lease)
        try:
            while not self._turn():
                pass
        except InstanceCancelled:
            self._drain()
            self._finish("cancelled", None, None)

    def _problem(self) -> str | None:
        """What makes the instance impossible to run at all."""
        if self.lease.role is None:
            return f"Instance {self.lease.instance_id}: submitted_by role no longer exists in pg_roles"
        if self.lease.attempts > self.worker.settings.max_attempts:
            return f"poison: given up after {self.lease.attempts - 1} attempts without progress"
        return None

    def _turn(self) -> bool:
        """One question to `advance` and what follows from it. True when the lease is done with."""
        if self.situation.cancel is not None:
            self._drain()
            self._finish("cancelled", None, None)
            return True
        plan = advance(self.loaded.graph, self.situation.runs, self.progress)
        self.shown |= plan.shown
        self.abandoned |= set(plan.abandoned)
        if plan.decisions:
            self._decide(plan)
            return False
        if plan.outcome is not None:
            self._drain()
            self._end(plan.outcome)
            return True
        if self.worker.stopping or not self.worker.holds(self.lease):
            self._drain()
            self.store.release(self.lease)
            return True
        begun = {todo.key for todo in self.in_flight.values()}
        return self._go_on([todo for todo in plan.todo if todo.key not in begun])

    def _decide(self, plan: Plan) -> None:
        for decision in plan.decisions:
            self.store.decide(self.lease, decision)
            for key in decision.forget:
                self.situation.runs.pop(key, None)
            self.situation.runs[decision.key] = Run("completed", decision.result)

    def _go_on(self, todo: list[Todo]) -> bool:
        """Begin what has been reached; then wait for a step to end, or park."""
        waits, steps = activities.sort(todo)
        failures = self._begin_waits(waits)
        if len(steps) == 1 and not self.in_flight and not waits and not self._waiting():
            # The common case, a chain: run it here, without handing it to another thread.
            self.situation.runs[steps[0].key] = self._step(steps[0])
            return False
        for step in steps:
            self.in_flight[self.worker.steps.submit(self._step, step)] = step
        if self.in_flight:
            self._collect()
            return False
        if waits or failures:
            self.situation = self.store.settle(self.lease)
            return False
        if self.store.park(self.lease, self.situation.wakes, self.shown, self.abandoned):
            self.worker.emit("parked", self.lease.instance_id, None)
            return True
        self.situation = self.store.settle(self.lease)
        return False

    def _waiting(self) -> bool:
        return any(run.status == "waiting" and key not in self.abandoned for key, run in self.situation.runs.items())

    def _begin_waits(self, waits: list[Todo]) -> bool:
        """Write the rows of waits just reached. True when one could not even begin."""
        rows, failures = [], False
        now = self.store.now() if any(todo.row.node_type == "WAIT_SCHEDULE" for todo in waits) else None
        for todo in waits:
            try:
                rows.append(activities.wait_row(todo, self._variables(), now))
            except activities.StepProblem as problem:
                self.store.fail(self.lease, todo.key, problem.error)
                failures = True
        if rows:
            self.store.wait(self.lease, rows)
            for todo in waits:
                self.worker.emit("waiting", self.lease.instance_id, todo.row.id)
        return failures

    def _collect(self) -> None:
        """Wait until a step has ended, or a wait may have."""
        pause = self.worker.settings.poll_seconds if self._waiting() else None
        if pause is not None and self.situation.due_in is not None:
            pause = min(pause, self.situation.due_in)
        done, _ = wait(self.in_flight, timeout=pause, return_when=FIRST_COMPLETED)
        ended = {self.in_flight.pop(future).key: future.result() for future in done}
        if ended and pause is None:
            self.situation.runs.update(ended)
        else:
            self.situation = self.store.settle(self.lease)

    def _drain(self) -> None:
        """Let steps in hand come to their end; what they record is theirs."""
        if self.in_flight:
            wait(self.in_flight)
            self.in_flight.clear()

    def _step(self, todo: Todo) -> Run:
        """Run one SQL step to its checkpoint, on a session of the submitter."""
        assert self.lease.role is not None
        shown = (self.lease.instance_id, todo.row.id)
        self.worker.running.add(shown)
        self.worker.emit("step", *shown)
        try:
            run = activities.execute(
                self.store,
                self.worker.sessions,
                self.lease,
                todo,
                self._variables(),
                self.worker.settings.max_result_bytes,
            )
        finally:
            self.worker.running.discard(shown)
        self.worker.emit("checkpointed", *shown)
        return run

    def _variables(self) -> dict[str, str]:
        return {
            **self.loaded.variables,
            "sys_instance_id": self.lease.instance_id,
            "sys_label": self.loaded.label or "",
        }

    def _end(self, outcome: Outcome) -> None:
        match outcome:
            case Done():
                self._finish("completed", outcome.result, None)
            case Failed():
                self._finish("failed", None, dict(outcome.error))
            case Broke():
                raise AssertionError("advance turns a stray break into a failure")

    def _finish(self, status: str, result: str | None, error: dict[str, object] | None) -> None:
        self.store.finish(self.lease, status, result, error, self.shown)
        self.worker.emit("finished", self.lease.instance_id, None)


@contextmanager
def working(
    dsn: str,
    settings: Settings | None = None,
    on_event: Callable[[str, str, str | None], None] = lambda event, instance, node: None,
) -> Iterator[Worker]:
    """A worker on a thread of its own for as long as the block lasts; it ends with its steps in hand finished."""
    worker = Worker(dsn, settings, on_event)
    with ThreadPoolExecutor(1, "worker") as thread:
        running = thread.submit(worker.run)
        try:
            yield worker
        finally:
            worker.stop()
            running.result()
