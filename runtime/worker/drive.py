"""One lease on one instance, from claim to park or end.

In: a leased instance. It asks `advance` what is next, carries that out, and asks again, until the instance has ended,
everything in it waits, or the worker is to stop. A chain of steps runs on this very thread; branches run side by side
on the worker's step threads.
"""

from __future__ import annotations

import logging
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from pgweave.runtime.errors import Deferred, InstanceCancelled
from pgweave.runtime.worker import activities
from pgweave.runtime.worker.advance import Broke, Done, Failed, Progress, Run, Shown, advance, subtree, within
from pgweave.runtime.worker.classify import Meaning, Whose, meaning
from pgweave.runtime.worker.failpoints import failpoint
from pgweave.runtime.worker.sql_step import StepProblem
from pgweave.runtime.worker.step_threads import Branches
from pgweave.runtime.worker.store import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgweave.runtime.worker.advance import Decision, Iteration, Key, Outcome, Plan, Todo
    from pgweave.runtime.worker.sessions import Sessions
    from pgweave.runtime.worker.settings import Settings
    from pgweave.runtime.worker.step_threads import Threads
    from pgweave.runtime.worker.store import Lease, Loaded, Situation, Store

log = logging.getLogger("pgweave.worker")

MANY = 100  # steps in flight
RETRY_SECONDS = 2.0  # before a step that could not be done is tried again beside others
LOOK_SECONDS = 5e-6  # what it takes to look at one of them, measured with joins of 5,000 branches


class Host(Protocol):
    """What the work on a lease needs of its worker. `service.Worker` is one; so nothing here imports it.

    running: steps in flight, for people who watch: (instance id, node id) -> (iteration, when it began, monotonic).
    """

    store: Store
    sessions: Sessions
    settings: Settings
    emit: Callable[[str, str, str | None], None]
    running: dict[tuple[str, str], tuple[Iteration, float]]

    @property
    def steps(self) -> Threads:
        """Where branches run side by side."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new may be begun, because the worker is to stop."""

    def keeps(self, lease: Lease) -> bool:
        """Whether the lease was still ours when it was last renewed."""


class Drive:
    """The work on one lease. One thread calls `run`; steps of branches run on others and only return their runs."""

    def __init__(self, worker: Host, lease: Lease) -> None:
        self.worker = worker
        self.store = worker.store
        self.lease = lease
        self.loaded: Loaded
        self.situation: Situation
        self.progress = Progress()
        self.branches: Branches[Run] = Branches(worker.steps, lease.role or "", worker.settings.branches, self._ending)
        self.in_flight: dict[Future[Run], Todo] = {}  # also those that wait for a thread
        self.shown: dict[str, Shown] = {}
        self.throttled_until: dict[Key, float] = {}  # loops: when their next turn may begin
        self.deferred_until: dict[Key, float] = {}  # steps that cannot be done now, beside others that can
        self.quarantine = ExitStack()

    def run(self) -> None:
        """Go on until the lease is done with.

        LeaseLost when another worker has it, Deferred when the work cannot be done now.
        """
        import psycopg

        try:
            with self.quarantine:
                if self.lease.suspect and not self.quarantine.enter_context(self.store.quarantine()):
                    raise Deferred("another suspect is being worked on")
                self._run()
        except (Deferred, psycopg.Error) as error:
            # The lease is about to be given back. Steps in flight may still end well, and another worker must not begin
            # the same steps while they run.
            self._drain(interrupt=False)
            if isinstance(error, psycopg.Error) and meaning(error, Whose.OWN) is Meaning.INSTANCE:
                self.give_up(
                    f"The database refuses what is to be written about this workflow: {error.diag.message_primary}"
                )
            elif self.store.cancelled([self.lease.instance_id]):
                # Whatever prevents the next step does not prevent the end.
                self._cancel()
            else:
                raise

    def give_up(self, message: str) -> None:
        """Fail the instance by name, whatever its graph and its results look like. A cancel that came first wins."""
        self._drain(interrupt=False)
        self.shown = {}  # what is to be shown may be what the database refuses
        self._finish("failed", None, {"message": message})

    def _run(self) -> None:
        self.loaded = self.store.load(self.lease)
        failpoint("after_load")
        if self.loaded.format > FORMAT:
            log.warning("instance %s was written by a newer pgweave", self.lease.instance_id)
            return
        if (problem := self._problem()) is not None:
            self._finish("failed", None, {"message": problem})
            return
        self.situation = self.store.settle(self.lease)
        failpoint("after_settle")
        try:
            while not self._turn():
                pass
        except InstanceCancelled:
            self._cancel()

    def _problem(self) -> str | None:
        """What makes the instance impossible to run at all."""
        if self.loaded.problem is not None:
            return f"Invalid durable function graph: {self.loaded.problem}"
        if self.lease.attempts > self.worker.settings.max_attempts:
            return f"poison: given up after {self.lease.attempts - 1} attempts without progress"
        return None

    def _end_without_role(self, plan: Plan) -> None:
        """The submitting role has been dropped. The nodes that were next say why nothing follows."""
        said = {"message": f"Instance {self.lease.instance_id}: submitted_by role no longer exists in pg_roles"}
        for todo in plan.todo:
            self.situation.runs[todo.key] = self.store.fail(self.lease, todo.key, said)
        self.shown |= advance(self.loaded.graph, self.situation.runs, self.progress, self._variables()).shown
        self._finish("failed", None, said)

    def _turn(self) -> bool:
        """One question to `advance` and what follows from it. True when the lease is done with."""
        if self.situation.cancel is not None:
            self._cancel()
            return True
        plan = advance(
            self.loaded.graph, self.situation.runs, self.progress, self._variables(), self.worker.settings.loop_seconds
        )
        self.shown |= plan.shown
        if plan.decisions:
            return self._decide(plan)
        if plan.outcome is not None:
            self._drain()
            self._end(plan.outcome)
            return True
        if self.lease.role is None:
            self._end_without_role(plan)
            return True
        if self._ending():
            self._drain(interrupt=False)
            self.store.release(self.lease)
            self.worker.emit("released", self.lease.instance_id, None)
            return True
        begun = {todo.key for todo in self.in_flight.values()}
        return self._go_on([todo for todo in plan.todo if todo.key not in begun])

    def _ending(self) -> bool:
        """Whether nothing new may begin under this lease."""
        return self.worker.stopping or not self.worker.keeps(self.lease)

    def _decide(self, plan: Plan) -> bool:
        """Record winners and turns. True when that turned the lease into a pause."""
        for decision in plan.decisions:
            self._drop(decision)
            failpoint("before_decide")
            self.store.decide(self.lease, decision)
            failpoint("after_decide")
            for key in decision.forget:
                self.situation.runs.pop(key, None)
            for key in decision.abandoned:
                self.situation.runs[key] = Run("cancelled")
            for node_id in decision.lost & self.shown.keys():
                if self.shown[node_id].status == "running":
                    self.shown[node_id] = Shown("cancelled")
            self.situation.runs[decision.key] = Run("completed", decision.result)
            if decision.pause_seconds:
                self.throttled_until[decision.key] = monotonic() + decision.pause_seconds
        return False

    def _is_throttled(self, todo: Todo) -> bool:
        """Whether a leaf belongs to a turn that must not begin yet."""
        return any(
            within(todo.key, subtree(self.loaded.graph, self.loaded.graph.by_id[loop]), iteration)
            for loop, iteration in self.throttled_until
        )

    def _startable(self, todo: list[Todo]) -> tuple[list[Todo], float | None]:
        """Leaves that may begin now, and in how many seconds the first of the others may (None: there are no others)."""
        now = monotonic()
        self.throttled_until = {key: until for key, until in self.throttled_until.items() if until > now}
        self.deferred_until = {key: until for key, until in self.deferred_until.items() if until > now}
        if not self.throttled_until and not self.deferred_until:
            return todo, None
        startable = [leaf for leaf in todo if leaf.key not in self.deferred_until and not self._is_throttled(leaf)]
        return startable, min([*self.throttled_until.values(), *self.deferred_until.values()]) - now

    def _drop(self, decision: Decision) -> None:
        """Interrupt the steps of a branch that is about to lose: none of them may begin once that is recorded."""
        keys = [todo.key for todo in self.in_flight.values()]
        tags = {(self.lease.instance_id, key) for key in keys if within(key, decision.lost, decision.key[1])}
        if tags:
            self.worker.sessions.interrupt(tags.__contains__, tags)

    def _go_on(self, todo: list[Todo]) -> bool:
        """Begin what has been reached; then wait for a step to end, or park. True when the lease is done with.

        `a ~> b`                   one step, on this thread; its run is known, ask `advance` again
        `a & b`                    two steps on the step threads; wait for the first to end
        `a | df.sleep(60)`         a wait to write down and a step to run; wait for the step or the due time
        `df.wait_for_signal('x')`  a wait to write down, nothing to run: park
        """
        todo, pause = self._startable(todo)
        waits, steps = activities.sort(todo)
        if waits:
            # Look at once, even when steps follow: a wait may be over as it begins (its signal is there already), and
            # while the steps run only the waits that we know of are looked after.
            self._begin_waits(waits)
        held = self.situation.more
        if waits or held:
            self.situation = self.store.settle(self.lease, decided=held)
            if held or self.situation.more:
                return False  # what has ended may decide a race; then nothing of its other side may begin
        if len(steps) == 1 and not self.in_flight and not waits and pause is None and not self._waiting():
            # The common case, a chain: run it here, without handing it to another thread.
            self._known({steps[0].key: self._step(steps[0])})
            return False
        for step in steps:
            self.in_flight[self.branches.submit(partial(self._step, step))] = step
        if self.in_flight:
            self._collect(pause)
            return False
        return False if waits else self._park(pause)

    def _park(self, delay_seconds: float | None = None) -> bool:
        """Give the lease back. False: something has happened meanwhile, and we have looked again."""
        failpoint("before_park")
        if self.store.park(self.lease, self.situation.wakes, self.shown, delay_seconds):
            failpoint("after_park")
            self.worker.emit("parked", self.lease.instance_id, None)
            return True
        self.situation = self.store.settle(self.lease)
        return False

    def _waiting(self) -> bool:
        return any(run.status == "waiting" for run in self.situation.runs.values())

    def _begin_waits(self, waits: list[Todo]) -> None:
        """Write the rows of waits just reached, and the failures of those that cannot even begin."""
        rows = []
        now = self.store.now() if any(todo.row.node_type == "WAIT_SCHEDULE" for todo in waits) else None
        for todo in waits:
            try:
                rows.append(activities.wait_row(todo, self._variables(), now))
            except StepProblem as problem:
                self.store.fail(self.lease, todo.key, problem.error)
        if rows:
            failpoint("before_wait")
            self.store.wait(self.lease, rows)
            failpoint("after_wait")
            for todo in waits:
                self.worker.emit("waiting", self.lease.instance_id, todo.row.id)

    def _collect(self, pause: float | None) -> None:
        """Wait until a step has ended, or a wait may have, or the pause is over (seconds; None: there is none)."""
        poll = self.worker.settings.poll_seconds if self._waiting() else None
        if poll is not None and self.situation.due_in is not None:
            poll = min(poll, self.situation.due_in)
        patience = min((seconds for seconds in (poll, pause) if seconds is not None), default=None)
        self.branches.start()
        done, _ = wait(self.in_flight, timeout=patience, return_when=FIRST_COMPLETED)
        if len(self.in_flight) > MANY:
            # To look at so many takes longer than a step does: take some more in before we do.
            done, _ = wait(self.in_flight, timeout=len(self.in_flight) * LOOK_SECONDS)
        ended = self._ends(done)
        if poll is None:
            self._known(ended)
        else:
            self.situation = self.store.settle(self.lease)

    def _ends(self, done: set[Future[Run]]) -> dict[Key, Run]:
        """What came of steps. One that cannot be done now waits beside the others; alone it defers the instance."""
        ended = {}
        for future in done:
            todo = self.in_flight.pop(future)
            try:
                ended[todo.key] = future.result()
            except Deferred as error:
                if error.suspect or not self.in_flight:
                    raise
                self.deferred_until[todo.key] = monotonic() + RETRY_SECONDS
        return ended

    def _known(self, ended: dict[Key, Run]) -> None:
        """Take in the ends of steps. One that was interrupted says that something else has happened: look."""
        if ended:
            self.quarantine.close()  # progress: the instance is not what kills workers, the next suspect may have its turn
        if any(run.status == "cancelled" for run in ended.values()):
            self.situation = self.store.settle(self.lease)
        else:
            self.situation.runs.update(ended)

    def _drain(self, *, interrupt: bool = True) -> None:
        """Wait for the steps in flight; those that wait for a thread will not begin. What is recorded stays.

        interrupt: they are not wanted any more.
        """
        for future in self.branches.drop():
            del self.in_flight[future]
        if not self.in_flight:
            return
        if interrupt:
            tags = {(self.lease.instance_id, todo.key) for todo in self.in_flight.values()}
            self.worker.sessions.interrupt(tags.__contains__, tags)
        wait(self.in_flight)
        self.in_flight.clear()

    def _step(self, todo: Todo) -> Run:
        """Run one step to its checkpoint."""
        shown = (self.lease.instance_id, todo.row.id)
        self.worker.running[shown] = (todo.iteration, monotonic())
        self.worker.emit("step", *shown)
        failpoint("before_step")
        failpoint("in_step", in_seconds=0.1)
        try:
            run = activities.execute(
                self.store, self.worker.sessions, self.lease, todo, self._variables(), self.worker.settings.http,
                self.worker.settings.max_result_bytes, typed=self.loaded.reads_rows,
            )  # fmt: skip
        finally:
            self.worker.running.pop(shown, None)
        failpoint("after_step")
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

    def _cancel(self) -> None:
        self._drain()
        self._finish("cancelled", None, None)

    def _finish(self, status: str, result: str | None, error: Mapping[str, object] | None) -> None:
        import psycopg

        failpoint("before_finish")
        try:
            self.store.finish(self.lease, status, result, error, self.shown)
        except psycopg.Error as refused:
            if meaning(refused, Whose.OWN) is not Meaning.INSTANCE:
                raise
            # The result, or what is to be shown, is nothing that PostgreSQL can store: the number 1e400000, say. It would
            # be refused every time, and the end, a cancel above all, must not depend on it.
            said = f"The result cannot be stored: {refused.diag.message_primary}"
            ended = "failed" if status == "completed" else status
            self.store.finish(self.lease, ended, None, error or {"message": said}, {})
        failpoint("after_finish")
        self.worker.emit("finished", self.lease.instance_id, None)
