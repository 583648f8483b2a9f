"""How long steps wait: seconds from where one begins to where it ends, at best and at worst.

In: the steps of a definition, leaves first. Out: two times for each, until it ends and until it breaks the loop around
it; None for what never happens. Work counts as nothing, for nobody knows how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from pgweave.compiler.pictures import step_words
from pgweave.grammar import nodes
from pgweave.grammar.kinds import Wait

if TYPE_CHECKING:
    from pgweave.compiler.facts.flow import Step


@dataclass(frozen=True, slots=True)
class Waiting:
    """Seconds a step spends waiting, at best and at worst; the work itself counts as nothing."""

    best: float = 0
    worst: float = 0

    def __add__(self, other: Waiting) -> Waiting:
        """First the one, then the other."""
        return Waiting(self.best + other.best, self.worst + other.worst)

    def __or__(self, other: Waiting) -> Waiting:
        """Either the one or the other."""
        return Waiting(min(self.best, other.best), max(self.worst, other.worst))


Waits: TypeAlias = "tuple[Waiting | None, Waiting | None]"
"""Until the step ends, and until it breaks its loop."""


def waits(step: Step, below: list[Waits]) -> Waits:
    """How long until `step` ends, and until it breaks its loop; None: it never does."""
    node = step.node
    match node:
        # Before the cases by class, so that a new pause needs none of its own.
        case _ if node.kind.is_pause:
            seconds = getattr(node, node.kind.values[0].field)
            return Waiting(seconds, seconds), None
        case nodes.WaitSchedule():
            return Waiting(0, inf), None
        case nodes.Signal() | nodes.AwaitInstance():
            limit = step_words.timeout(node)
            return Waiting(0, inf if limit is None else limit), None
        case nodes.CallChild():
            child, limit = below[0][0], step_words.timeout(node)
            # A child that never ends is waited for without end, but for its timeout.
            best, worst = (inf, inf) if child is None else (child.best, child.worst)
            return Waiting(best, worst) if limit is None else Waiting(min(best, limit), min(worst, limit)), None
        case nodes.Break():
            return None, Waiting()
        case nodes.Then():
            return _sequence(*below)
        case nodes.If():
            yes, no, condition = below
            return _sequence(condition, _either([yes, no]))
        case nodes.IfRows():
            return _either(below)
        case nodes.Join():
            return _join(below)
        case nodes.Race():
            return _race(below)
        case nodes.Loop():
            return _loop(_sequence(*below), ends=node.condition is not None), None
        case nodes.Opaque():
            return Waiting(0, inf), None
        case leaf if leaf.kind.waits_for in {Wait.TIMER, Wait.SIGNAL, Wait.INSTANCE}:
            return Waiting(0, inf), None
        case _:
            return Waiting(), None


def _sequence(*parts: Waits) -> Waits:
    total: Waiting | None = Waiting()
    broke: Waiting | None = None
    for then, breaks in parts:
        # What stands behind a step that never ends is never reached, its breaks included.
        if total is None:
            break
        broke = _or(broke, None if breaks is None else total + breaks)
        total = None if then is None else total + then
    return total, broke


def _either(parts: list[Waits]) -> Waits:
    total: Waiting | None = None
    broke: Waiting | None = None
    for then, breaks in parts:
        total, broke = _or(total, then), _or(broke, breaks)
    return total, broke


def _or(one: Waiting | None, other: Waiting | None) -> Waiting | None:
    if one is None or other is None:
        return one or other
    return one | other


def _join(parts: list[Waits]) -> Waits:
    """All branches run to their end, also when one of them breaks the loop around."""
    # A branch that breaks has ended too; a branch that does neither keeps the JOIN from ever ending.
    ends = [then if then is not None else breaks for then, breaks in parts]
    if any(end is None for end in ends):
        return None, None
    known = [end for end in ends if end is not None]
    longest = Waiting(max(end.best for end in known), max(end.worst for end in known))
    breaks = any(broke is not None for _, broke in parts)
    return longest if all(then is not None for then, _ in parts) else None, longest if breaks else None


def _race(parts: list[Waits]) -> Waits:
    ends = [end for pair in parts for end in pair if end is not None]
    if not ends:
        return None, None
    # min of the worst: the race is over as soon as its quickest branch is.
    first = Waiting(min(end.best for end in ends), min(end.worst for end in ends))
    return (
        first if any(then is not None for then, _ in parts) else None,
        first if any(broke is not None for _, broke in parts) else None,
    )


def _loop(turn: Waits, *, ends: bool) -> Waiting | None:
    """At least one turn; how many more nobody knows."""
    then, broke = turn
    last = _or(then if ends else None, broke)
    if last is None:
        return None
    # A turn that waits for nothing adds nothing, however often it is repeated.
    again = then is not None and then.worst > 0
    return Waiting(last.best, inf if again else last.worst)
