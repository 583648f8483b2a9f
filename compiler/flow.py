"""Static facts about one definition: its steps with stable ids, and who reads which name.

In comes a definition; out comes `Flow`, which checks and graph share. It knows the scopes of names and nothing of
drawing, rows or networkx (checks must start fast).

How names travel. `Names` says for each name which steps may have bound it last; None in the set stands for "whatever
it was before". That makes it two things at once: what a stretch of the program does to the names, and, from the start
of a scope on, where None means "nobody", what is known at a place. Branches of a JOIN start from copies and are merged
in their order, names that a branch changed only; of a RACE any branch may have won; a loop's names reach its next turn;
a called child has a scope of its own and sees nothing of its parent's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

from pgweave.compiler.reads import Reference, references
from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgweave.grammar.nodes import Definition, Node

ANY_NAME = "*"
"""Key in Names for what an opaque expression may have bound: nobody knows its names."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step:
    """One AST node at its place. Compared by identity, for equal steps at two places are two steps.

    id: `n` and the number of its row, from 1; a child's steps lead with the id of the call and `c`: `n3c1`.
    position: of its row among the rows of its own instance, from 0. children: as `nodes.children`.
    """

    node: Node
    id: str
    position: int
    children: tuple[Step, ...]

    def walk(self) -> Iterator[Step]:
        """Yield this step and all below it, parents first, in the order of the rows."""
        pending = [self]
        while pending:
            step = pending.pop()
            yield step
            pending += reversed(step.children)


Names: TypeAlias = "Mapping[str, frozenset[Step | None]]"
_UNCHANGED: frozenset[Step | None] = frozenset({None})


@dataclass(frozen=True, slots=True)
class Read:
    """One place where a step reads a name.

    binders: the steps that may have bound it last; None among them: on some path nobody did. visible: the names that
    earlier steps bind here.
    """

    step: Step
    reference: Reference
    binders: frozenset[Step | None]
    visible: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """One definition with what is known about it. reads: those that can be reached, in the order of the steps."""

    definition: Definition
    root: Step
    reads: tuple[Read, ...]


def trace(definition: Definition) -> Flow:
    """Find out who reads what in one definition."""
    root = steps(definition.node)
    order = {step: number for number, step in enumerate(root.walk())}
    reads = sorted(_Tracer(root).reads, key=lambda read: order[read.step])
    return Flow(definition, root, tuple(reads))


def steps(root: Node) -> Step:
    """Number the steps of a definition as lowering numbers its rows."""
    return _plant(root, "n", [0])


def _plant(node: Node, prefix: str, rows: list[int]) -> Step:
    """rows: how many rows the instance has so far. A called child takes three: THEN, its start and the wait."""
    position = rows[0]
    identifier = f"{prefix}{position + 1}"
    if isinstance(node, nodes.CallChild):
        rows[0] += 3
        return Step(node, identifier, position, (_plant(node.child, f"{identifier}c", [0]),))
    rows[0] += 1
    children = [_plant(child, prefix, rows) for child in nodes.children(node)]
    return Step(node, identifier, position, tuple(children))


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a step does to the names. then: when it ends; None: it never does. broke: when it breaks a loop; None: never."""

    then: Names | None
    broke: Names | None = None


class _Tracer:
    """Collects the reads of one instance and of the children it calls."""

    def __init__(self, root: Step) -> None:
        self.reads: list[Read] = []
        self._effects: dict[Step, _Effect] = {}
        for step in reversed(tuple(root.walk())):
            self._effects[step] = _effect(step, [self._effects[child] for child in step.children])
        self.read(root, {})

    def read(self, step: Step, names: Names | None) -> None:
        """Note what `step` and all below it read, where `names` are known; None: this place is never reached."""
        if names is not None:
            for reference in references(step.node):
                binders = names.get(reference.name) or names.get(ANY_NAME) or _UNCHANGED
                self.reads.append(Read(step, reference, binders, tuple(names)))
        match step.node:
            case nodes.Then():
                self._read_sequence(step.children, names)
            case nodes.If():
                yes, no, condition = step.children
                self._read_sequence((condition, yes), names)
                self.read(no, self._after(names, condition))
            case nodes.Loop():
                turn = _in_sequence([self._effects[child] for child in step.children]).then
                self._read_sequence(step.children, _merged([names, _composed(names, turn)]))
            case nodes.CallChild():
                self.read(step.children[0], {})
            case nodes.Opaque():
                unknown = None if names is None else {**names, ANY_NAME: frozenset({step})}
                self._read_sequence(step.children, unknown)
            case _:
                for child in step.children:
                    self.read(child, names)

    def _read_sequence(self, members: Iterable[Step], names: Names | None) -> None:
        for member in members:
            self.read(member, names)
            names = self._after(names, member)

    def _after(self, names: Names | None, step: Step) -> Names | None:
        return _composed(names, self._effects[step].then)


def _effect(step: Step, below: list[_Effect]) -> _Effect:
    """What `step` does to the names, its own binding included, given what its children do."""
    inner = _inner_effect(step, below)
    binding = step.node.binding
    if binding is None or inner.then is None:
        return inner
    return _Effect({**inner.then, binding.name: frozenset({step})}, inner.broke)


def _inner_effect(step: Step, below: list[_Effect]) -> _Effect:
    match step.node:
        case nodes.Then():
            return _in_sequence(below)
        case nodes.If():
            yes, no, condition = below
            return _in_sequence([condition, _one_of([yes, no])])
        case nodes.IfRows() | nodes.Race():
            return _one_of(below)
        case nodes.Join():
            # A later branch's change wins and what it left alone stays: the same as one branch after the other.
            return _Effect(_in_sequence(below).then, _one_of(below).broke)
        case nodes.Loop():
            return _repeated(_in_sequence(below), ends=step.node.condition is not None)
        case nodes.Break():
            return _Effect(None, {})
        case nodes.Opaque():
            inside = _in_sequence([_one_of([effect, _Effect({})]) for effect in below])
            return _Effect({**(inside.then or {}), ANY_NAME: frozenset({step})}, inside.broke)
        case _:
            return _Effect({})


def _composed(first: Names | None, second: Names | None) -> Names | None:
    """First the one, then the other; None when either is never passed."""
    if first is None or second is None:
        return None
    result = dict(first)
    for name, binders in second.items():
        result[name] = binders - _UNCHANGED | first.get(name, _UNCHANGED) if None in binders else binders
    return result


def _merged(paths: Iterable[Names | None]) -> Names | None:
    """One of several paths was taken; those that are never taken say nothing."""
    taken = [path for path in paths if path is not None]
    if not taken:
        return None
    names = dict.fromkeys(name for path in taken for name in path)
    return {name: frozenset().union(*(path.get(name, _UNCHANGED) for path in taken)) for name in names}


def _in_sequence(effects: Iterable[_Effect]) -> _Effect:
    def then(first: _Effect, second: _Effect) -> _Effect:
        return _Effect(_composed(first.then, second.then), _merged([first.broke, _composed(first.then, second.broke)]))

    return reduce(then, effects, _Effect({}))


def _one_of(effects: list[_Effect]) -> _Effect:
    return _Effect(_merged(effect.then for effect in effects), _merged(effect.broke for effect in effects))


def _repeated(turn: _Effect, *, ends: bool) -> _Effect:
    """A loop: any number of earlier turns, then one that ends by its condition, or breaks."""
    earlier = _merged([{}, turn.then])
    return _Effect(_merged([turn.then if ends else None, _composed(earlier, turn.broke)]))
