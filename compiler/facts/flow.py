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

from pgweave.compiler.facts.reads import Reference, references
from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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

    binders: the steps that may have bound it last; None among them: on some path nobody did. first: the same on the
    first turn of the loops around it. visible: the names that earlier steps bind here; only where nobody binds this one.
    """

    step: Step
    reference: Reference
    binders: frozenset[Step | None]
    first: frozenset[Step | None]
    visible: tuple[str, ...] = ()

    @property
    def undefined(self) -> bool:
        """Whether no step binds the name, on any path."""
        return self.binders == _UNCHANGED


@dataclass(frozen=True, slots=True)
class Flow:
    """One definition with what is known about it.

    reads: those that can be reached, in the order of the steps. endless: the steps that never come to an end, whatever
    happens in them; a step that always leaves its loop by a break is one of them.
    """

    definition: Definition
    root: Step
    reads: tuple[Read, ...]
    endless: frozenset[Step]


def trace(definition: Definition) -> Flow:
    """Find out who reads what in one definition."""
    root = steps(definition.node)
    order = {step: number for number, step in enumerate(root.walk())}
    tracer = _Tracer(root)
    tracer.read(root, _Scope())
    reads = sorted(tracer.reads, key=lambda read: order[read.step])
    return Flow(definition, root, tuple(reads), tracer.endless)


def names_before(root: Step, step: Step) -> Mapping[str, frozenset[Step | None]]:
    """What is known about names where `step` begins: who may have bound each; None among them: on some path nobody.

    Empty where the place is never reached. Walks the whole definition: for one step that somebody asks about.
    """
    tracer = _Tracer(root, step)
    tracer.read(root, _Scope())
    return tracer.found


def steps(root: Node) -> Step:
    """Number the steps of a definition as lowering numbers its rows."""
    return _plant(root, "n", [0])


def _plant(node: Node, prefix: str, rows: list[int]) -> Step:
    """rows: how many rows the instance has so far. A called child takes three: THEN, its start and the wait."""
    position = rows[0]
    identifier = f"{prefix}{position + 1}"
    if isinstance(node, nodes.CallChild):
        # The numbers of lowering, see lower._call_child: a row that a worker reports has to be the step that is
        # drawn.
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


class _Scope:
    """What is known about names at the place that is being read: changed on the way in, changed back on the way out.

    Copies would cost the square of the program's size. first: as if every loop around were in its first turn.
    """

    __slots__ = ("first", "names")

    def __init__(self) -> None:
        self.names: dict[str, frozenset[Step | None]] = {}
        self.first: dict[str, frozenset[Step | None]] = {}

    def enter(self, changes: Names, *, next_turn: bool = False) -> _Undo:
        """Apply what a step does to the names; next_turn: it may have, in an earlier turn. Returns what to leave with."""
        undo: _Undo = []
        for name, binders in changes.items():
            before, first = self.names.get(name), self.first.get(name)
            undo.append((name, before, first))
            if next_turn:
                # Added and not replaced: in the first turn nothing of an earlier one is there.
                self.names[name] = (before or _UNCHANGED) | (binders - _UNCHANGED)
                continue
            self.names[name] = _bound(before, binders)
            self.first[name] = _bound(first, binders)
        return undo

    def leave(self, undo: _Undo) -> None:
        """Put everything back as it was before `enter`."""
        for name, before, first in reversed(undo):
            _restore(self.names, name, before)
            _restore(self.first, name, first)

    def binders(self, name: str) -> tuple[frozenset[Step | None], frozenset[Step | None]]:
        """Who may have bound `name`: in any turn, and in the first."""
        # A name that nobody binds may still come from an opaque expression before it.
        binders = self.names.get(name) or self.names.get(ANY_NAME) or _UNCHANGED
        return binders, self.first.get(name) or self.first.get(ANY_NAME) or _UNCHANGED


_Undo: TypeAlias = "list[tuple[str, frozenset[Step | None] | None, frozenset[Step | None] | None]]"


def _bound(before: frozenset[Step | None] | None, after: frozenset[Step | None]) -> frozenset[Step | None]:
    # None in `after` means "or what it was before": 'a' |=> 'x' in one arm of an if leaves {that step, None}
    # for x.
    return after if None not in after else after - _UNCHANGED | (before or _UNCHANGED)


def _restore(names: dict[str, frozenset[Step | None]], name: str, before: frozenset[Step | None] | None) -> None:
    if before is None:
        names.pop(name, None)
    else:
        names[name] = before


class _Tracer:
    """Collects the reads of one instance and of the children it calls. wanted: a step whose scope is to be found."""

    def __init__(self, root: Step, wanted: Step | None = None) -> None:
        self.reads: list[Read] = []
        self.wanted = wanted
        self.found: dict[str, frozenset[Step | None]] = {}
        self._effects: dict[Step, _Effect] = {}
        # Children before parents, as each effect is made of those below it.
        for step in reversed(tuple(root.walk())):
            self._effects[step] = _effect(step, [self._effects[child] for child in step.children])
        self.endless = frozenset(step for step, effect in self._effects.items() if effect.then is None)

    def read(self, step: Step, scope: _Scope) -> None:
        """Note what `step` and all below it read; the scope is the same afterwards."""
        if step is self.wanted:
            self.found = dict(scope.names)
        for reference in references(step.node):
            binders, first = scope.binders(reference.name)
            # For "did you mean": asked only where the name is bound by nobody, since copying the names of each
            # reading would cost the square of the program's size.
            visible = tuple(scope.names) if binders == _UNCHANGED else ()
            self.reads.append(Read(step, reference, binders, first, visible))
        match step.node:
            case nodes.Then():
                self._read_sequence(step.children, scope)
            case nodes.If():
                yes, no, condition = step.children
                self.read(condition, scope)
                after = self._effects[condition].then
                if after is not None:
                    undo = scope.enter(after)
                    self.read(yes, scope)
                    self.read(no, scope)
                    scope.leave(undo)
            case nodes.Loop():
                # What one whole turn does to the names. None if no turn ever ends; then there is no second one
                # to read its names.
                turn = _in_sequence([self._effects[child] for child in step.children]).then
                undo = scope.enter(turn or {}, next_turn=True)
                self._read_sequence(step.children, scope)
                scope.leave(undo)
            case nodes.CallChild():
                self.read(step.children[0], _Scope())
            case nodes.Opaque():
                undo = scope.enter({ANY_NAME: frozenset({step})})
                self._read_sequence(step.children, scope)
                scope.leave(undo)
            case _:
                for child in step.children:
                    self.read(child, scope)

    def _read_sequence(self, members: Sequence[Step], scope: _Scope) -> None:
        undone: list[_Undo] = []
        for number, member in enumerate(members):
            if number:
                after = self._effects[members[number - 1]].then
                if after is None:  # nothing behind it is ever reached
                    break
                undone.append(scope.enter(after))
            self.read(member, scope)
        for undo in reversed(undone):
            scope.leave(undo)


def _effect(step: Step, below: list[_Effect]) -> _Effect:
    """What `step` does to the names, its own binding included, given what its children do."""
    inner = _inner_effect(step, below)
    binding = step.node.binding
    if binding is not None and isinstance(step.node, nodes.Break):
        return _Effect(None, {binding.name: frozenset({step})})  # the name is bound, and leaves the loop with it
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
    # {}: no earlier turn at all.
    earlier = _merged([{}, turn.then])
    return _Effect(_merged([turn.then if ends else None, _composed(earlier, turn.broke)]))
