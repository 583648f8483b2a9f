"""What an instance is doing, step by step of its program: the rows of the database laid over the AST.

In: a client, an instance and, if it is at hand, the workflow that was started. Out: a Snapshot.

Nothing is kept here, and nothing waits here: whoever watches asks for one Snapshot after the other.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pgweave.compiler.facts import flow
from pgweave.grammar import nodes
from pgweave.grammar.kinds import KINDS
from pgweave.observe import failures, past, sentences
from pgweave.observe.picture_bundles import of_run
from pgweave.observe.run_state import RunState, StepState, state_of
from pgweave.workflow import WorkflowSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.editing.places import Path
    from pgweave.observe.run_state import Failure, Wait
    from pgweave.runtime.client import Client, Instance, NodeState, PresentState


class Snapshot(RunState):
    """A run at one moment with what there is to say about it. The fields are those of `RunState`."""

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
        return of_run(self)


class Observer:
    """Takes snapshots of one instance. Asking again costs less than the first time.

    workflow: what was started, if known. kind: the class of a workflow that is rebuilt from the rows.
    """

    def __init__(
        self,
        client: Client,
        instance_id: str,
        workflow: WorkflowSource | None = None,
        kind: type[WorkflowSource] = WorkflowSource,
    ) -> None:
        self._client = client
        self._instance_id = instance_id
        self._given = workflow
        self._kind = kind
        self._workflow: WorkflowSource | None = None
        self._known: object = None
        # The instance and, from the first look on, everything that its steps started.
        self.ids: tuple[str, ...] = (instance_id,)

    def changed(self, running: Collection[tuple[str, str]] = ()) -> bool:
        """Whether anything has changed since this was asked the last time; one small statement. running: as for `look`."""
        before, self._known = self._known, (self._client.pulse(*self.ids), frozenset(running))
        return before != self._known

    def look(self, running: Collection[tuple[str, str]] = ()) -> Snapshot:
        """Look now. running: (instance id, node id) of running steps, from a worker in this process: rows lag behind."""
        # In this order: what has ended when we look at it does not change while we look at its nodes.
        family = self._client.family(self._instance_id)
        if not family:
            self._client.instance(self._instance_id)  # says that there is none
        ids = tuple(instance.id for instance in family)
        self.ids = ids
        # Before the runs: a step that ends in between would else be completed without a time and a result.
        present = {(state.instance_id, state.node_id): state for state in self._client.states(*ids)}
        rows: dict[str, list[NodeState]] = {identifier: [] for identifier in ids}
        # One statement for all instances of the family, in pre-order within each.
        for state in self._client.nodes(*ids):
            rows[state.instance_id].append(state)
        now = self._client.now()
        if self._workflow is None:
            self._workflow = self._program(family[0], rows[self._instance_id])
        view = _View(family, rows, present, set(running), now)
        steps = tuple(view.steps(flow.steps(self._workflow.definition.node)))
        frozen = {identifier: tuple(states) for identifier, states in rows.items()}
        return Snapshot(self._workflow, tuple(family), steps, view.boxes, now, frozen)

    def _program(self, root: Instance, states: list[NodeState]) -> WorkflowSource:
        if self._given is not None and past.runs(self._given, states):
            return self._given
        return past.program(root, states, self._kind)


def take(
    client: Client,
    instance_id: str,
    workflow: WorkflowSource | None = None,
    *,
    kind: type[WorkflowSource] = WorkflowSource,
    running: Collection[tuple[str, str]] = (),
) -> Snapshot:
    """One look at one instance.

    workflow: what was started, so that places are those of its text; checked against the rows. kind: the class of a
    workflow that is rebuilt from the rows. running: as for `Observer.look`.
    """
    return Observer(client, instance_id, workflow, kind).look(running)


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
        # over: whether the instance around the step has ended; what it has not reached then is skipped.
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
        # A call is three rows: THEN, the SQL that starts the child, the wait for it (lower._call_child).
        start = self.rows[instance.id][step.position + 1]
        started = self.children.get((instance.id, start.id))
        # In a loop each turn starts a child: the last one is this turn's, unless the turn has not come to the
        # start yet.
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
