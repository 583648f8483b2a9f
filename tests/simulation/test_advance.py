"""`advance` against the reference interpreter, without a database: thousands of programs, each in a made-up world.

A world gives every leaf a result or a failure and a duration. The scheduler here does what a worker does: it asks
`advance`, begins what has been reached, lets time pass, records what has ended. The interpreter computes the same story
from the tree alone. They have to agree on how the program ends, on every leaf that was begun and on the names it saw.

PGWEAVE_EXAMPLES sets the number of random programs per property (default 1000, fewer in CI).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ast, interpreter, programs
from support.interpreter import Ending, Reached, interpret
from support.pace import examples

from pgweave.compiler import lower
from pgweave.grammar import nodes
from pgweave.runtime.worker import advance as machine
from pgweave.runtime.worker.advance import Progress, Run, advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgweave.grammar.nodes import Node
    from pgweave.runtime.worker.advance import Decision, Key

EXAMPLES = int(os.environ.get("PGWEAVE_EXAMPLES", examples(1000)))
HORIZON = 60.0  # what has not ended by then counts as never ending

RESULTS = (
    '{"rows":[],"row_count":0}',
    '{"rows":[{"a":null}],"row_count":1}',
    '{"rows":[{"a":"f","b":true}],"row_count":1}',
    '{"rows":[{"b":0.00}],"row_count":1}',
    "[]",
    '{"rows":[{"a":"yes","b":false}],"row_count":1}',
    '{"rows":[{"a":7},{"a":0}],"row_count":2}',
    '{"signal_name":"go","timed_out":true,"data":null}',
    '{"rows":[{}],"row_count":1}',
)

Place: TypeAlias = tuple[int, tuple[int, ...]]
"""A leaf, by its number in the program, and its iteration."""


@dataclass
class MadeUp:
    """Results and durations by chance, but always the same for the same leaf and turn."""

    program: Node
    seed: int
    failing: float = 0.06

    def __post_init__(self) -> None:
        # By identity: equal nodes stand at several places. races: those around a node, by number, and the side it is on.
        self.numbers: dict[int, int] = {}
        self.races: dict[int, tuple[tuple[int, int], ...]] = {id(self.program): ()}
        pending = [self.program]
        while pending:
            node = pending.pop()
            number = self.numbers[id(node)] = len(self.numbers)
            for side, child in enumerate(nodes.children(node)):
                around = ((number, side),) if isinstance(node, nodes.Race) else ()
                self.races[id(child)] = self.races[id(node)] + around
                pending.append(child)

    def place(self, reached: Reached) -> Place:
        return self.numbers[id(reached.node)], reached.iteration

    def leaf(self, reached: Reached) -> Ending | None:
        chance = Random(f"{self.seed} {self.place(reached)}")
        at = reached.at + chance.randint(1, 6)
        if at >= HORIZON or chance.random() < 0.03:
            return None
        if chance.random() < self.failing:
            return Ending(at, failure=f"no luck at {self.place(reached)}")
        return Ending(at, chance.choice(RESULTS))

    def decide(
        self,
        race: nodes.Race,
        iteration: tuple[int, ...],
        left: interpreter.Outcome | None,
        right: interpreter.Outcome | None,
    ) -> tuple[int, float] | None:
        return interpreter.first_to_end(left, right)


@dataclass
class Begun:
    """A leaf that the scheduler has begun, and how it will end."""

    reached: Reached
    ending: Ending | None


@dataclass
class Scheduler:
    """What a worker does, with a clock that jumps.

    forget: asked before every question to `advance`; True makes another worker take over, which knows only the runs.
    """

    world: MadeUp
    forget: Callable[[], bool] = lambda: False
    runs: dict[Key, Run] = field(default_factory=dict)
    begun: dict[Place, Begun] = field(default_factory=dict)
    in_flight: dict[Key, Begun] = field(default_factory=dict)
    decided: dict[Place, tuple[int, float]] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        definition = ast.definition(self.world.program)
        self.graph = lower.rows(definition)
        self.origin = dict(zip(self.graph.by_id, lower.origin(definition), strict=True))
        self.progress = Progress()

    def run(self) -> machine.Outcome | None:
        """The outcome, or None when nothing happens any more."""
        while True:
            if self.forget():
                self.progress = Progress()
            plan = advance(self.graph, self.runs, self.progress)
            if plan.outcome is not None:
                return plan.outcome
            self.carry_out(plan)
            if not plan.decisions and not self.let_time_pass():
                return None
            assert len(self.runs) <= 2 * len(self.graph.rows), "history grows"

    def carry_out(self, plan: machine.Plan) -> None:
        for decision in plan.decisions:
            self.record(decision)
        for todo in () if plan.decisions else plan.todo:
            if todo.key not in self.in_flight:
                self.begin(todo)

    def record(self, decision: Decision) -> None:
        for key in decision.forget:
            del self.runs[key]
        self.runs[decision.key] = Run("completed", decision.result)
        node = self.origin[decision.key[0]]
        if isinstance(node, nodes.Race):
            self.decided[self.world.numbers[id(node)], decision.key[1]] = (int(decision.result), self.now)

    def begin(self, todo: machine.Todo) -> None:
        reached = Reached(self.origin[todo.row.id], todo.iteration, self.now, dict(todo.names))
        assert self.world.place(reached) not in self.begun, "a leaf is begun twice"
        begun = Begun(reached, self.world.leaf(reached))
        self.begun[self.world.place(reached)] = begun
        self.in_flight[todo.key] = begun

    def let_time_pass(self) -> bool:
        """Jump to the next end of a leaf. A loser's is recorded like any other: a statement cannot be stopped for sure."""
        ends = [begun.ending.at for begun in self.in_flight.values() if begun.ending is not None]
        if not ends:
            return False
        self.now = min(ends)
        for key, begun in list(self.in_flight.items()):
            if begun.ending is not None and begun.ending.at == self.now:
                del self.in_flight[key]
                self.runs[key] = ended(begun.ending)
        return True


def ended(ending: Ending) -> Run:
    if ending.failure is not None:
        return Run("failed", error={"message": ending.failure}, finished_at=ending.at)
    return Run("completed", ending.result, finished_at=ending.at)


def said(outcome: machine.Outcome | interpreter.Done | interpreter.Failed | None) -> object:
    """An outcome of either side, to be compared."""
    match outcome:
        case None:
            return "goes on"
        case machine.Done() | interpreter.Done():
            return "completed", outcome.result, dict(outcome.names)
        case machine.Failed() | interpreter.Failed():
            return "failed", outcome.message
        case machine.Broke():
            raise AssertionError("a break has left the program")


def agree(world: MadeUp, forget: Callable[[], bool] = lambda: False) -> Scheduler:
    """Run it both ways and compare all there is to compare."""
    scheduler = Scheduler(world, forget)
    outcome = scheduler.run()
    story = interpret(world.program, world)
    assert said(outcome) == said(story.outcome)
    mine = {at: (begun.reached.at, begun.reached.names) for at, begun in scheduler.begun.items()}
    theirs = {world.place(reached): (reached.at, dict(reached.names)) for reached in story.reached}
    assert mine == theirs
    return scheduler


# Every kind of block inside every other, in a loop, in worlds in which they come to different turns.


@pytest.mark.parametrize(("outer", "inner"), list(product(programs.BLOCKS, programs.BLOCKS)))
def test_every_block_means_the_same_inside_every_other_block(outer: str, inner: str) -> None:
    """Each pair is in a loop, is followed by a step, and is run in forty worlds: its own names, times and failures."""
    begun: list[Place] = []
    leaves = 0
    for seed in range(40):
        scheduler = agree(MadeUp(programs.nested(outer, inner), seed, failing=0.01))
        begun += scheduler.begun
        leaves = sum(row.kind.is_leaf and row.node_type != "BREAK" for row in scheduler.graph.rows)
    assert max(max(iteration, default=0) for _, iteration in begun) > 1, "no world led to a second turn"
    assert len({number for number, _ in begun}) >= leaves / 2, "most of the program was never reached"


@settings(max_examples=EXAMPLES, deadline=None)
@given(program=programs.runnable(), seed=st.integers(0, 2**32))
def test_the_scheduler_and_the_interpreter_tell_the_same_story(program: Node, seed: int) -> None:
    agree(MadeUp(program, seed))


@settings(max_examples=EXAMPLES, deadline=None)
@given(program=programs.runnable(), seed=st.integers(0, 2**32))
def test_a_worker_that_knows_only_the_runs_comes_to_the_same(program: Node, seed: int) -> None:
    """What a worker remembers between two questions saves time and decides nothing."""
    chance = Random(seed)
    agree(MadeUp(program, seed), forget=lambda: chance.random() < 0.5)


# Workers that die, and look late. What happens cannot be predicted then, but checked afterwards.


class Dead(Exception):
    """The worker is gone, between two effects."""


@dataclass
class Clumsy(Scheduler):
    """A worker that may die before any effect, and often looks when much has happened.

    A step in flight when its worker dies is rolled back or comes through, as the network has it.
    """

    chance: Random = field(default_factory=Random)
    ended: dict[Place, Begun] = field(default_factory=dict)

    def run(self) -> machine.Outcome | None:
        while True:
            try:
                return super().run()
            except Dead:
                self.progress = Progress()
                for key in [key for key in self.in_flight if self.chance.random() < 0.5]:
                    del self.in_flight[key]

    def perhaps_die(self) -> None:
        if self.chance.random() < 0.1:
            raise Dead

    def record(self, decision: Decision) -> None:
        self.perhaps_die()
        super().record(decision)

    def begin(self, todo: machine.Todo) -> None:
        self.perhaps_die()
        reached = Reached(self.origin[todo.row.id], todo.iteration, self.now, dict(todo.names))
        assert self.world.place(reached) not in self.ended, "a leaf that has been recorded is begun again"
        assert not self.is_lost(reached), "a leaf of a branch that has lost is begun"
        self.in_flight[todo.key] = Begun(reached, self.world.leaf(reached))

    def let_time_pass(self) -> bool:
        passed = False
        while True:
            before = dict(self.in_flight)
            if not super().let_time_pass():
                return passed
            passed = True
            for key in before.keys() - self.in_flight.keys():
                self.ended[self.world.place(before[key].reached)] = before[key]
            if self.chance.random() < 0.6:
                return True

    def is_lost(self, reached: Reached) -> bool:
        """Whether some race around this leaf has been decided for the other side."""
        return any(
            winner != side
            for race, side in self.world.races[id(reached.node)]
            for (number, iteration), (winner, _) in self.decided.items()
            if number == race and reached.iteration[: len(iteration)] == iteration
        )


@dataclass
class OnRecord:
    """The world as it was: what a scheduler has written down."""

    past: Clumsy

    def leaf(self, reached: Reached) -> Ending | None:
        begun = self.past.ended.get(self.past.world.place(reached))
        if begun is None:
            return None
        assert begun.reached.at >= reached.at, "a leaf was begun before it was its turn"
        assert begun.reached.names == dict(reached.names)
        return begun.ending

    def decide(
        self,
        race: nodes.Race,
        iteration: tuple[int, ...],
        left: interpreter.Outcome | None,
        right: interpreter.Outcome | None,
    ) -> tuple[int, float] | None:
        decided = self.past.decided.get((self.past.world.numbers[id(race)], iteration))
        if decided is not None:
            seen = [end if end is not None and end.at <= decided[1] else None for end in (left, right)]
            first = interpreter.first_to_end(*seen)
            assert first is not None
            assert first[0] == decided[0], "the branch that ended later has won"
        return decided


@settings(max_examples=EXAMPLES, deadline=None)
@given(program=programs.runnable(), seed=st.integers(0, 2**32))
def test_workers_that_die_anywhere_leave_a_story_that_makes_sense(program: Node, seed: int) -> None:
    past = Clumsy(MadeUp(program, seed), chance=Random(seed))
    outcome = past.run()
    story = interpret(program, OnRecord(past))
    assert said(outcome) == said(story.outcome)
    assert past.ended.keys() <= {past.world.place(reached) for reached in story.reached}
