"""The reference interpreter: what a program means, said a second time and as plainly as possible.

In: the AST of a program and a World that says what each leaf comes to and when. Out: how the program ends, and every
leaf that is reached, with the names it sees. It walks the tree from left to right and computes times instead of waiting
for them; it knows no rows, no checkpoints, no workers and nothing of `pgweave.runtime`, whose behaviour it is there to
judge.

Two worlds are of use: one that makes results and durations up (then this predicts what a scheduler must come to), and
one that looks them up in the record of what a runtime did (then this says whether that was right).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.nodes import Node

Iteration: TypeAlias = tuple[int, ...]
"""Turns of the enclosing loops, outermost first, from 1."""

Names: TypeAlias = "Mapping[str, str]"
"""Results by name, as JSON text."""


@dataclass(frozen=True, slots=True)
class Done:
    """It has a result, as JSON text. names: everything that is bound from here on."""

    result: str
    names: Names
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It has failed."""

    message: str
    at: float


@dataclass(frozen=True, slots=True)
class Broke:
    """A df.break looks for its loop."""

    value: str
    names: Names
    at: float


Outcome: TypeAlias = Done | Failed | Broke


@dataclass(frozen=True, slots=True)
class Ending:
    """What the world says of a leaf: result (JSON text) or failure (message), and when."""

    at: float
    result: str = "null"
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """A leaf that is begun, the earliest time at which it may be, and the names it sees."""

    node: Node
    iteration: Iteration
    at: float
    names: Names


@dataclass(frozen=True, slots=True)
class Story:
    """All that happens. outcome: None while the program waits for something that the world does not give."""

    outcome: Done | Failed | None
    reached: tuple[Reached, ...]


class World(Protocol):
    """Everything outside of the program."""

    def leaf(self, reached: Reached) -> Ending | None:
        """What a leaf comes to; None when it does not end."""

    def decide(
        self, race: nodes.Race, iteration: Iteration, left: Outcome | None, right: Outcome | None
    ) -> tuple[int, float] | None:
        """Which branch of a race wins (0 or 1) and until when steps of the other begin; None when it is not decided."""


def first_to_end(left: Outcome | None, right: Outcome | None) -> tuple[int, float] | None:
    """The rule of races: whoever ends first, however it ends; the left one if they end together."""
    ends = [(end.at, side) for side, end in enumerate((left, right)) if end is not None]
    return None if not ends else (min(ends)[1], min(ends)[0])


def interpret(program: Node, world: World) -> Story:
    """Tell the story of a program that begins at time 0."""
    outcome, reached = _Teller(world).tell(program, (), {}, 0.0)
    if isinstance(outcome, Broke):
        outcome = Failed(
            "df.break() was called outside of a loop. df.break() may only be used inside df.loop().", outcome.at
        )
    return Story(outcome, tuple(reached))


Told: TypeAlias = tuple[Outcome | None, list[Reached]]


@dataclass(frozen=True, slots=True)
class _Teller:
    world: World

    def tell(self, node: Node, iteration: Iteration, names: Names, at: float) -> Told:
        outcome, reached = self.unnamed(node, iteration, names, at)
        if isinstance(outcome, Done) and node.binding is not None:
            outcome = Done(outcome.result, {**outcome.names, node.binding.name: outcome.result}, outcome.at)
        return outcome, reached

    def unnamed(self, node: Node, iteration: Iteration, names: Names, at: float) -> Told:
        match node:
            case nodes.Then():
                return self.sequence(node, iteration, names, at)
            case nodes.If():
                return self.if_(node, iteration, names, at)
            case nodes.IfRows():
                return self.if_rows(node, iteration, names, at)
            case nodes.Join():
                return self.join(node, iteration, names, at)
            case nodes.Race():
                return self.race(node, iteration, names, at)
            case nodes.Loop():
                return self.loop(node, iteration, names, at)
            case nodes.Break():
                return self.break_(node, names, at), []
            case nodes.CallChild() | nodes.Opaque():
                raise NotImplementedError("its rows hold more leaves than the AST has nodes")
            case _:
                assert node.kind.is_leaf, f"no case for {node.kind.name}"
                return self.leaf(node, iteration, names, at)

    def break_(self, node: nodes.Break, names: Names, at: float) -> Outcome:
        try:
            value = _break_value(node, names)
        except LookupError as problem:
            return Failed(str(problem.args[0]), at)
        return Broke(value, names if node.binding is None else {**names, node.binding.name: value}, at)

    def leaf(self, node: Node, iteration: Iteration, names: Names, at: float) -> Told:
        reached = Reached(node, iteration, at, names)
        ending = self.world.leaf(reached)
        if ending is None:
            return None, [reached]
        if ending.failure is not None:
            return Failed(ending.failure, ending.at), [reached]
        return Done(ending.result, names, ending.at), [reached]

    def sequence(self, node: nodes.Then, iteration: Iteration, names: Names, at: float) -> Told:
        first, before = self.tell(node.first, iteration, names, at)
        if not isinstance(first, Done):
            return first, before
        second, after = self.tell(node.second, iteration, first.names, first.at)
        return second, before + after

    def if_(self, node: nodes.If, iteration: Iteration, names: Names, at: float) -> Told:
        tested, before = self.tell(node.condition, iteration, names, at)
        if not isinstance(tested, Done):
            return tested, before
        branch = node.then_branch if truth(tested.result) else node.else_branch
        taken, after = self.tell(branch, iteration, tested.names, tested.at)
        return taken, before + after

    def if_rows(self, node: nodes.IfRows, iteration: Iteration, names: Names, at: float) -> Told:
        name = node.result_name.value
        if name not in names:
            return Failed(f"df.if_rows: result '{name}' not found", at), []
        value = json.loads(names[name])
        if not isinstance(value, dict) or not _is_number(value.get("row_count")):
            return Failed(f"df.if_rows: result '{name}' is not a SQL result (missing row_count)", at), []
        return self.tell(node.then_branch if value["row_count"] > 0 else node.else_branch, iteration, names, at)

    def join(self, node: nodes.Join, iteration: Iteration, names: Names, at: float) -> Told:
        told = [self.tell(branch, iteration, names, at) for branch in node.branches]
        reached = [leaf for _, leaves in told for leaf in leaves]
        ends = [end for end, _ in told if end is not None]
        if len(ends) < len(told):
            return None, reached
        last = max(end.at for end in ends)
        results, merged = [], dict(names)
        for number, end in enumerate(ends, start=1):
            if isinstance(end, Failed):
                return Failed(f"JOIN branch {number} failed: {end.message}", last), reached
            # What a branch has changed, and nothing that it only inherited.
            merged |= {name: value for name, value in end.names.items() if names.get(name) != value}
            if isinstance(end, Broke):
                return Broke(end.value, merged, last), reached
            results.append(end.result)
        return Done(f"[{','.join(results)}]", merged, last), reached

    def race(self, node: nodes.Race, iteration: Iteration, names: Names, at: float) -> Told:
        sides = (self.tell(node.left, iteration, names, at), self.tell(node.right, iteration, names, at))
        decided = self.world.decide(node, iteration, sides[0][0], sides[1][0])
        if decided is None:
            return None, sides[0][1] + sides[1][1]
        winner, when = decided
        end, reached = sides[winner]
        assert end is not None, f"a branch has won that has not ended: {node}"
        # Nothing of the loser is begun any more once the race is decided.
        reached = reached + [leaf for leaf in sides[1 - winner][1] if leaf.at < when]
        if isinstance(end, Failed):
            end = Failed(f"RACE {('left', 'right')[winner]} branch failed: {end.message}", end.at)
        return end, reached

    def loop(self, node: nodes.Loop, iteration: Iteration, names: Names, at: float) -> Told:
        reached: list[Reached] = []
        turn = 0
        while True:
            turn += 1
            body, leaves = self.tell(node.body, (*iteration, turn), names, at)
            reached += leaves
            if isinstance(body, Broke):
                return Done(body.value, body.names, body.at), reached
            if not isinstance(body, Done):
                return body, reached
            names, at = body.names, body.at
            if node.condition is None:
                continue
            tested, leaves = self.tell(node.condition, (*iteration, turn), names, at)
            reached += leaves
            if isinstance(tested, Broke):
                return Done(tested.value, tested.names, tested.at), reached
            if not isinstance(tested, Done):
                return tested, reached
            names, at = tested.names, tested.at
            if not truth(tested.result):
                return Done(body.result, names, at), reached


def truth(result: str) -> bool:
    """Whether a condition holds: the first column of the first row, or the value itself."""
    value = json.loads(result)
    if isinstance(value, dict) and isinstance(value.get("rows"), list):
        if not value["rows"]:
            return False
        first = value["rows"][0]
        if isinstance(first, dict) and first:
            value = next(iter(first.values()))
    if isinstance(value, str):
        return _text_truth(value.strip().lower())
    return bool(value)  # booleans, numbers, arrays, objects and null hold in Python as they do here


def _text_truth(word: str) -> bool:
    if word in {"true", "t", "yes"}:
        return True
    if word in {"", "false", "f", "no"}:
        return False
    try:
        return float(word) != 0
    except ValueError:
        return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _break_value(node: nodes.Break, names: Names) -> str:
    """JSON stays what it is; any other text becomes a JSON string; nothing becomes null."""
    if node.value is None:
        return "null"
    text = _filled(node.value.value, names)
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return json.dumps(text, ensure_ascii=False)
    return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is JSON for Python only")


def _filled(text: str, names: Names) -> str:
    """A text that is nothing but `$name` stands for that value, unquoted. LookupError when there is none.

    Other places of a name in a text are not needed to judge control flow; `values` has tests of its own.
    """
    name = text.removeprefix("$")
    if name == text or name not in names:
        return text
    value = json.loads(names[name], parse_float=Decimal)
    if not isinstance(value, dict) or not isinstance(value.get("rows"), list):
        return names[name]
    if not value["rows"]:
        raise LookupError(f"${name} has no rows — query returned zero results")
    first = next(iter(value["rows"][0].values()), None)
    if first is None:
        raise LookupError(f"${name} is NULL — first column of first row is NULL")
    return str(first) if isinstance(first, str | Decimal) else json.dumps(first)
