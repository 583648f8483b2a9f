"""What a run is at one moment: plain values that the functions of this room read and put into words.

A step is known by its path (numbers of children from the root, as in grammar/editing/places.py; the steps of a called child stand
below the call), so that pictures, the designer and the text can all show the same.

    rows ── ordinal, pre-order ──> step ──┬── path ──> block of the designer
                                          ├── id ────> box of the picture
                                          └── span ──> caret in the text
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from pgweave.grammar import nodes
from pgweave.grammar.kinds import KINDS
from pgweave.grammar.render import render

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.editing.places import Path
    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Source
    from pgweave.runtime.client import Instance, NodeState, PresentState
    from pgweave.workflow import WorkflowSource

STATES = ("pending", "running", "waiting", "completed", "failed", "skipped")
MARKS = {
    "pending": "○", "running": "▶", "waiting": "…", "completed": "✓", "failed": "✗", "cancelled": "⊘", "skipped": "⊘",
}  # fmt: skip
"""One character for each state of a step or an instance."""


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


WaitKind: TypeAlias = Literal["signal", "sleep", "schedule", "instance", "worker"]


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that an instance waits for.

    path: of the step that waits. instance_id: whose step it is; a signal has to be sent there. name: of the signal, or
    the id of the instance that is awaited. until: when it is over at the latest; None: never. what: in words.
    """

    path: Path
    instance_id: str
    kind: WaitKind
    name: str | None
    until: datetime | None
    what: str

    @property
    def sentence(self) -> str:
        """What is waited for, as a sentence."""
        return f"Waits for {self.what}."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an instance failed.

    path: of the step where it began, in the program of `source`. finding: what happened, with its place; notes lead
    through the calls of the children in between. sql: what ran, with values in place. instance_id: where it ran.
    """

    path: Path
    instance_id: str
    finding: Diagnostic
    source: Source
    sql: str | None

    @property
    def title(self) -> str:
        """What the server said, in one sentence."""
        return self.finding.title

    def text(self, *, colour: bool = False) -> str:
        """As `pgweave run` shows it: with the lines of the program and a caret."""
        return render(self.finding, self.source, colour=colour)

    def explanation(self, *, colour: bool = False) -> str:
        """The same with the SQL that ran."""
        return self.text(colour=colour) + (f"\n\nThis ran:\n{self.sql}" if self.sql is not None else "")


@dataclass(frozen=True)
class RunState:
    """One instance at one moment of the database's time.

    workflow: what was started; when that is not known, rebuilt from the rows (`past.program`). family: the instance and
    everything its steps started, parents first. steps: every step of the program, parents first. boxes: state of each
    box of the picture, by its id in `workflow.graph`. rows: of each instance of the family by its id, in pre-order.
    """

    workflow: WorkflowSource
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

        A cancelled instance has its status at once, but has ended only when a worker has recorded its steps.
        """
        return self.instance.ended and self.instance.completed_at is not None

    @property
    def idle(self) -> bool:
        """Whether no step is running, and the instance and each of its unfinished children waits for something."""
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


def state_of(
    instance: Instance,
    row: NodeState,
    present: Mapping[tuple[str, str], PresentState],
    running: Collection[tuple[str, str]],
) -> str:
    """One of STATES: what the database infers, with what this process' worker and the row itself add to it."""
    # Rows say "running" only for steps that take long; the worker of this process knows at once.
    if (instance.id, row.id) in running and row.run_status is None and not instance.ended:
        return "running"
    found = present.get((instance.id, row.id))
    if found is None:
        return "pending"
    # The row has the latest run, which may be of an earlier turn than the present one.
    waits = row.run_status == "waiting" and tuple(row.iteration or ()) == tuple(found.iteration)
    return "waiting" if found.state == "running" and waits else found.state
