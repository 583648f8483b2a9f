"""What an instance is doing, step by step of its program: the rows of the database laid over the AST.

In: a client, an instance and, if it is at hand, the workflow that was started. Out: a Snapshot. A step is known by its
path (numbers of children from the root, as in grammar.places; the steps of a called child stand below the call), so that
pictures, the designer and the text can all show the same.

    rows ── ordinal, pre-order ──> step ──┬── path ──> block of the designer
                                          ├── id ────> box of the picture
                                          └── span ──> caret in the text

Nothing is kept here, and nothing waits here: whoever watches asks for one Snapshot after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pgweave.compiler.facts import flow
from pgweave.grammar import nodes
from pgweave.grammar.kinds import KINDS
from pgweave.observe import failures, past, sentences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.editing.places import Path
    from pgweave.grammar.nodes import Node
    from pgweave.observe.failures import Failure
    from pgweave.observe.sentences import Wait
    from pgweave.runtime.client import Client, Instance, NodeState, PresentState
    from pgweave.workflow import Workflow

STATES = ("pending", "running", "waiting", "completed", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of the program. state: one of STATES.

    id: of its box in the picture. instance: whose rows it is made of; None: a child that has not been started.
    run: the row that tells most, with the latest run; of a call the wait, or the start before that. iteration: turns of
    the loops around it. seconds: how long it took, or has taken so far. started: instances that its SQL started.
    """

    path: Path
    id: str
    node: Node = field(repr=False)
    state: str
    instance: Instance | None = field(default=None, repr=False)
    run: NodeState | None = field(default=None, repr=False)
    iteration: tuple[int, ...] = ()
    seconds: float | None = None
    started: tuple[str, ...] = ()

    @property
    def ran(self) -> str | None:
        """The SQL that ran, with its values in place."""
        return self.run.ran if self.run is not None else None

    @property
    def result(self) -> str | None:
        """JSON text of what it came to; only steps that hold no others have a result of their own."""
        return self.run.result if self.run is not None and KINDS[self.run.node_type].is_leaf else None

    @property
    def message(self) -> str | None:
        """Why it failed, in one sentence."""
        if self.run is None:
            return None
        return str((self.run.run_error or {}).get("message") or self.run.error or "") or None


@dataclass(frozen=True)
class Snapshot:
    """One instance at one moment of the database's time.

    workflow: what was started; when that is not known, rebuilt from the rows (`past.program`). family: the instance and
    everything its steps started, parents first. steps: every step of the program, parents first. boxes: state of each
    box of the picture, by its id in `workflow.graph`.
    """

    workflow: Workflow
    family: tuple[Instance, ...]
    steps: tuple[StepState, ...] = field(repr=False)
    boxes: Mapping[int | str, str] = field(repr=False)
    taken_at: datetime
    rows: Mapping[str, tuple[NodeState, ...]] = field(repr=False)

    @property
    def instance(self) -> Instance:
        """The instance that was asked for."""
        return self.family[0]

    @property
    def status(self) -> str:
        """pending, running, completed, failed or cancelled."""
        return self.instance.status

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more. A child may outlive its parent; it is not waited for.

        A request to cancel counts at once, but what became of the steps is written down by a worker.
        """
        return self.instance.ended and self.instance.completed_at is not None

    @property
    def rests(self) -> bool:
        """Whether no step is in hand and something is waited for, by it and by each of its children that go on."""
        going = [instance for instance in self.family if not instance.ended]
        waiting = all(any(row.run_status == "waiting" for row in self.rows[instance.id]) for instance in going)
        return waiting and not any(step.state == "running" and not nodes.children(step.node) for step in self.steps)

    @property
    def seconds(self) -> float:
        """From its start to its end, or until now."""
        return ((self.instance.completed_at or self.taken_at) - self.instance.created_at).total_seconds()

    @cached_property
    def by_path(self) -> Mapping[Path, StepState]:
        """Steps by path."""
        return {step.path: step for step in self.steps}

    @cached_property
    def waits(self) -> tuple[Wait, ...]:
        """What it waits for, and what would release it."""
        return sentences.waits(self)

    @cached_property
    def failure(self) -> Failure | None:
        """Why it failed, with a place in the text; None unless it failed."""
        return failures.find(self)

    @property
    def sentence(self) -> str:
        """How things stand, in one sentence."""
        return sentences.sentence(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture of this moment, which does not change any more."""
        from pgweave.observe.live import picture

        return picture(self)


class Observer:
    """Takes snapshots of one instance. Asking again costs less than the first time."""

    def __init__(self, client: Client, instance_id: str, workflow: Workflow | None = None) -> None:
        self._client = client
        self._instance_id = instance_id
        self._given = workflow
        self._workflow: Workflow | None = None
        self._known: object = None
        self.ids: tuple[str, ...] = (
            instance_id,
        )  # the instance and, once it was looked at, all that its steps started

    def changed(self, running: Collection[tuple[str, str]] = ()) -> bool:
        """Whether anything has changed since this was asked the last time; one small statement. running: as for `look`."""
        before, self._known = self._known, (self._client.pulse(*self.ids), frozenset(running))
        return before != self._known

    def look(self, running: Collection[tuple[str, str]] = ()) -> Snapshot:
        """Look now. running: (instance id, node id) of steps in hand, from a worker in this process: rows lag behind."""
        # In this order: what has ended when we look at it does not change while we look at its nodes.
        family = self._client.family(self._instance_id)
        if not family:
            self._client.instance(self._instance_id)  # says that there is none
        ids = tuple(instance.id for instance in family)
        self.ids = ids
        rows: dict[str, list[NodeState]] = {identifier: [] for identifier in ids}
        for state in self._client.nodes(*ids):
            rows[state.instance_id].append(state)
        present = {(state.instance_id, state.node_id): state for state in self._client.states(*ids)}
        now = self._client.now()
        if self._workflow is None:
            self._workflow = self._program(family[0], rows[self._instance_id])
        view = _View(family, rows, present, set(running), now)
        steps = tuple(view.steps(flow.steps(self._workflow.definition.node)))
        frozen = {identifier: tuple(states) for identifier, states in rows.items()}
        return Snapshot(self._workflow, tuple(family), steps, view.boxes, now, frozen)

    def _program(self, root: Instance, states: list[NodeState]) -> Workflow:
        if self._given is not None and past.runs(self._given, states):
            return self._given
        return past.program(root, states)


def take(
    client: Client,
    instance_id: str,
    workflow: Workflow | None = None,
    *,
    running: Collection[tuple[str, str]] = (),
) -> Snapshot:
    """One look at one instance. workflow: what was started, so that places are those of its text; checked against the rows."""
    return Observer(client, instance_id, workflow).look(running)


def state_of(
    instance: Instance,
    row: NodeState,
    present: Mapping[tuple[str, str], PresentState],
    running: Collection[tuple[str, str]],
) -> str:
    """One of STATES: what the database infers, and what a worker of ours or the run itself adds to it."""
    if (instance.id, row.id) in running and row.run_status is None and not instance.ended:
        return "running"
    found = present.get((instance.id, row.id))
    if found is None:
        return "pending"
    waits = row.run_status == "waiting" and tuple(row.iteration or ()) == tuple(found.iteration)
    return "waiting" if found.state == "running" and waits else found.state


class _View:
    def __init__(
        self,
        family: list[Instance],
        rows: Mapping[str, list[NodeState]],
        present: Mapping[tuple[str, str], PresentState],
        running: set[tuple[str, str]],
        now: datetime,
    ) -> None:
        self.family, self.rows, self.present, self.running, self.now = family, rows, present, running, now
        self.boxes: dict[int | str, str] = {}
        self.children: dict[tuple[str | None, str | None], list[Instance]] = {}
        for instance in family[1:]:
            self.children.setdefault((instance.parent_instance_id, instance.parent_node_id), []).append(instance)

    def steps(self, root: Step) -> Iterator[StepState]:
        """Every step from the root on, parents first."""
        pending: list[tuple[Step, Path, Instance | None, bool]] = [(root, (), self.family[0], self.family[0].ended)]
        while pending:
            step, path, instance, over = pending.pop()
            called = isinstance(step.node, nodes.CallChild)
            inner = self.child(step, instance) if called else instance
            if inner is not None:
                over = inner.ended
            yield self.step(step, path, instance, over=over)
            pending += [
                (child, (*path, number), inner, over) for number, child in reversed(list(enumerate(step.children)))
            ]

    def child(self, step: Step, instance: Instance | None) -> Instance | None:
        """The instance that a call has started, of a loop the one of the present turn."""
        if instance is None:
            return None
        start = self.rows[instance.id][step.position + 1]
        started = self.children.get((instance.id, start.id))
        return started[-1] if started and self.state(instance, start) in {"running", "completed"} else None

    def step(self, step: Step, path: Path, instance: Instance | None, *, over: bool) -> StepState:
        """One step, and the boxes that stand for it."""
        if instance is None:
            state = "skipped" if over else "pending"
            self.draw(step, dict.fromkeys(("", "_start", "_wait"), state))
            return StepState(path, step.id, step.node, state)
        row = self.rows[instance.id][step.position]
        state = self.state(instance, row)
        drawn, run = {"": state}, row
        if isinstance(step.node, nodes.CallChild):
            start, wait = self.rows[instance.id][step.position + 1 : step.position + 3]
            run = start if wait.run_status is None else wait
            drawn = {"": state, "_start": self.state(instance, start), "_wait": self.state(instance, wait)}
        self.draw(step, drawn)
        present = self.present.get((instance.id, row.id))
        started = tuple(child.id for child in self.children.get((instance.id, row.id), ()))
        turn = tuple(present.iteration) if present is not None else ()
        return StepState(path, step.id, step.node, state, instance, run, turn, self.seconds(state, run), started)

    def draw(self, step: Step, drawn: Mapping[str, str]) -> None:
        """What stands for a step in the picture. Where branches meet nothing has happened until all have."""
        state = drawn[""]
        match step.node:
            case nodes.CallChild():
                self.boxes |= {step.id + suffix: of for suffix, of in drawn.items()}
            case nodes.Join() | nodes.Race():
                self.boxes |= {step.id: state, f"{step.id}_merge": "pending" if state == "running" else state}
            case nodes.Loop():
                self.boxes |= {step.id: state, f"{step.id}_test": "pending" if state == "running" else state}
            case _:
                self.boxes[step.id] = state

    def state(self, instance: Instance, row: NodeState) -> str:
        return state_of(instance, row, self.present, self.running)

    def seconds(self, state: str, run: NodeState) -> float | None:
        if run.started_at is None or state in {"pending", "skipped"} or not KINDS[run.node_type].is_leaf:
            return None
        return max(0.0, ((run.finished_at or self.now) - run.started_at).total_seconds())
