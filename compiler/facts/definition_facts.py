"""Static facts about one definition, computed once and shared by all checks.

In comes a definition; out comes `Facts`: who reads which name, what each step may result in, whether it can end and
how long it waits, how many rows it makes, and what PostgreSQL's parser says about its SQL. Every fact is something the
text shows; where it does not, the answer is "not known", so that no check has to guess.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from pgweave.compiler.facts import flow, sqltext, sqltree, written
from pgweave.compiler.facts.outcomes import (
    AWAITED,
    HTTP,
    SCHEDULED,
    SIGNAL,
    SLEPT,
    Form,
    Result,
    awaited,
)
from pgweave.compiler.facts.sqltree import Rows
from pgweave.compiler.facts.waits import waits
from pgweave.grammar import nodes
from pgweave.grammar.kinds import Wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgweave.compiler.facts.flow import Flow, Read, Step
    from pgweave.compiler.facts.sqltext import Statement
    from pgweave.compiler.facts.sqltree import Columns
    from pgweave.compiler.facts.waits import Waiting, Waits
    from pgweave.compiler.facts.written import Row
    from pgweave.grammar.nodes import Binding, Definition, Node


_ANSWERS: dict[type, Columns] = {
    nodes.Signal: SIGNAL,
    nodes.Http: HTTP,
    nodes.HttpMultipart: HTTP,
    nodes.AwaitInstance: AWAITED,
    nodes.Sleep: SLEPT,
    nodes.WaitSchedule: SCHEDULED,
}
"""Columns of the object that a leaf answers with."""


class Facts:
    """What is known about one definition. Later facts are computed when they are first asked for."""

    def __init__(self, definition: Definition, *, parser: bool = True) -> None:
        self.definition = definition
        self.flow: Flow = flow.trace(definition)
        self.parser = parser and sqltext.available()
        # By text and not by step: steps that were copied share their tree.
        self._statements: dict[str, Statement | None] = {}
        self._rows: dict[str, Rows] = {}
        self._results: dict[Step, tuple[Result, ...]] = {}
        self._binders: dict[frozenset[Step | None], list[Step]] = {}
        self._bound: dict[frozenset[Step | None], tuple[Result, ...]] = {}

    @property
    def root(self) -> Step:
        """The first step of the definition, with all below it."""
        return self.flow.root

    # The tree

    @cached_property
    def _of_kind(self) -> dict[type, list[Step]]:
        found: dict[type, list[Step]] = defaultdict(list)
        for step in self.root.walk():
            found[type(step.node)].append(step)
        return found

    def of(self, *kinds: type[Node]) -> Iterator[Step]:
        """Every step of these kinds; those of one kind in the order of the rows."""
        for kind in kinds:
            yield from self._of_kind.get(kind, ())

    @cached_property
    def parents(self) -> dict[Step, Step]:
        """Which step each is in; the root is in none."""
        return {child: step for step in self.root.walk() for child in step.children}

    def around(self, step: Step) -> Iterator[Step]:
        """The steps around `step`, innermost first."""
        parents = self.parents
        while (outer := parents.get(step)) is not None:
            yield outer
            step = outer

    @cached_property
    def order(self) -> dict[Step, int]:
        """Place of each step among the rows; sets of steps have an order of their own in every run."""
        return {step: number for number, step in enumerate(self.root.walk())}

    @cached_property
    def node_count(self) -> int:
        """Rows that lowering makes; children count three here and their own instance's rows there."""
        return sum(3 if isinstance(step.node, nodes.CallChild) else 1 for step in self.root.walk())

    @cached_property
    def depth(self) -> int:
        """Levels below the root."""
        deepest, pending = 0, [(self.root, 0)]
        while pending:
            step, level = pending.pop()
            deepest = max(deepest, level + isinstance(step.node, nodes.CallChild))
            pending += [(child, level + 1) for child in step.children]
        return deepest

    @cached_property
    def operator_rows(self) -> tuple[Row, ...]:
        """Operators as they were written, see `written`."""
        return tuple(written.rows(self.root))

    # Order

    def ends(self, step: Step) -> bool:
        """Whether what stands behind the step is ever reached."""
        return step not in self.flow.endless

    @cached_property
    def unreached(self) -> frozenset[Step]:
        """Steps that control never comes to: the first of each stretch stands for all behind and below it."""
        found: set[Step] = set()
        for step in self.root.walk():
            first = _first_endless(step, self.flow.endless)
            found.update(first)
        return frozenset(found)

    def followed(self, step: Step) -> bool:
        """Whether anything of the same instance runs after the step and may depend on its result."""
        for outer in self.around(step):
            match outer.node:
                case nodes.Then() if outer.children[0] is step:
                    return True
                case nodes.If() if outer.children[2] is step:
                    return True
                # In a loop the next turn follows, and may read the name.
                case nodes.Loop():
                    return True
                case nodes.CallChild():
                    return False
                case _:
                    step = outer
        return False

    def preceded(self, step: Step) -> Step | None:
        """A step that always or sometimes runs before this one in the same instance; None when there is none."""
        for outer in self.around(step):
            match outer.node:
                case nodes.Then() if outer.children[1] is step:
                    return outer.children[0]
                case nodes.If() if outer.children[2] is not step:
                    return outer.children[2]
                case nodes.Loop() if len(outer.children) > 1 and outer.children[1] is step:
                    return outer.children[0]
                case nodes.CallChild():
                    return None
                case _:
                    step = outer
        return None

    # Names

    @cached_property
    def bindings(self) -> dict[str, list[tuple[Binding, Step]]]:
        """Every binding by its name, in the order of the text."""
        found: dict[str, list[tuple[Binding, Step]]] = defaultdict(list)
        for step in self.root.walk():
            if step.node.binding is not None:
                found[step.node.binding.name].append((step.node.binding, step))
        return {name: sorted(bound, key=lambda pair: pair[0].span) for name, bound in found.items()}

    @cached_property
    def readers(self) -> dict[Step, list[Read]]:
        """For each step that binds a name the places that may read what it bound."""
        found: dict[Step, list[Read]] = defaultdict(list)
        for read in self.flow.reads:
            for binder in self.binders(read):
                found[binder].append(read)
        return found

    def binders(self, read: Read) -> list[Step]:
        """The steps that may have bound a name that is read, in the order of the rows."""
        found = self._binders.get(read.binders)  # many readings share one set
        if found is None:
            found = sorted((step for step in read.binders if step is not None), key=self.order.__getitem__)
            self._binders[read.binders] = found
        return found

    def looks_at(self, step: Step) -> list[Read]:
        """Every reading of what a step results in: under its own name, or that of a step around it that passes it on."""
        found = list(self.readers.get(step, ()))
        for outer in self.around(step):
            if isinstance(outer.node, nodes.CallChild | nodes.Opaque):
                break
            # The array of a JOIN contains this result, though it is none of the JOIN's own results.
            if isinstance(outer.node, nodes.Join) or any(result.step is step for result in self.results(outer)):
                found += self.readers.get(outer, ())
        return found

    def decides(self, step: Step) -> bool:
        """Whether the step's result is the truth of a condition."""
        for outer in self.around(step):
            match outer.node:
                case nodes.If() if outer.children[2] is step:
                    return True
                case nodes.Loop() if outer.children[1:] == (step,):
                    return True
                # The condition `a ~> b` is true if b is: what decides is the last step.
                case nodes.Then() if outer.children[1] is step:
                    step = outer
                case _:
                    return False
        return False

    def names_before(self, step: Step) -> tuple[frozenset[str], frozenset[str]]:
        """Names that are bound where `step` begins: on every path, and on some."""
        known = flow.names_before(self.root, step)
        some = frozenset(name for name in known if name != flow.ANY_NAME)
        return frozenset(name for name in some if None not in known[name]), some

    # Results

    def results(self, step: Step) -> tuple[Result, ...]:
        """Everything a step may result in; empty for one that never ends."""
        if step not in self._results:
            self._results[step] = ()  # a step that reads its own result, in a loop, knows nothing by that
            found = tuple(self._result(step))
            self._results[step] = found if len(found) < 2 else tuple(dict.fromkeys(found))
        return self._results[step]

    def _result(self, step: Step) -> Iterable[Result]:
        node = step.node
        match node:
            case nodes.Sql():
                return (Result(Form.ROWS, step, self._columns(step)),)
            case nodes.Then():
                return self.results(step.children[1])
            case nodes.If() | nodes.IfRows():
                return (*self.results(step.children[0]), *self.results(step.children[1]))
            case nodes.Race():
                return (found for child in step.children for found in self.results(child))
            case nodes.Join():
                return (Result(Form.ARRAY, step, None),) if self.ends(step) else ()
            case nodes.Loop():
                broken = (Result(Form.UNKNOWN, step, None),) if self._breaks(step) else ()
                # Without a condition only a break ends the loop, and what the body results in is lost.
                return (*self.results(step.children[0]), *broken) if node.condition is not None else broken
            case nodes.CallChild():
                return (awaited(step, node),)
            case nodes.Break():
                return ()
            case _ if type(node) in _ANSWERS:
                return (Result(Form.OBJECT, step, _ANSWERS[type(node)]),)
            case _:
                return (Result(Form.UNKNOWN, step, None),)

    def _columns(self, step: Step) -> Columns:
        statement = self.statement(step)
        if statement is None or statement.problem is not None or statement.count != 1:
            return None
        stars = [found for found in statement.placeholders if found.star]
        sources = {_written(statement, star): self._row_set(step, star.name) for star in stars}
        return sqltree.columns(statement, sources)

    def _row_set(self, step: Step, name: str) -> Columns:
        """Columns of `$name.*` in `step`, where all that may have bound the name agree."""
        binders = {binder for read in self.reads_of(step) if read.reference.name == name for binder in read.binders}
        # A set of one: every path gives the same columns.
        found = {one.columns for binder in binders if binder for one in self.results(binder)}
        return found.pop() if len(found) == 1 and None not in binders else None

    @cached_property
    def _reads(self) -> dict[Step, list[Read]]:
        found: dict[Step, list[Read]] = defaultdict(list)
        for read in self.flow.reads:
            found[read.step].append(read)
        return found

    def reads_of(self, step: Step) -> list[Read]:
        """The names a step reads."""
        return self._reads.get(step, [])

    @cached_property
    def readings(self) -> tuple[tuple[Read, tuple[Result, ...]], ...]:
        """Every reading of a name, with what it may stand for; nothing where that is not known on all its paths."""
        return tuple((read, self.bound(read)) for read in self.flow.reads)

    def bound(self, read: Read) -> tuple[Result, ...]:
        """What one reading may stand for; nothing where that is not known on all its paths."""
        if read.binders not in self._bound:
            self._bound[read.binders] = self._results_of(self.binders(read))
        return self._bound[read.binders]

    def _results_of(self, binders: list[Step]) -> tuple[Result, ...]:
        found: list[Result] = []
        for binder in binders:
            results = self.results(binder)
            # One binder of whom nothing is known is enough: a check that speaks of the others only would be
            # wrong on that path.
            if not results or isinstance(binder.node, nodes.Opaque):
                return ()
            found += results
        return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))

    # SQL

    def statement(self, step: Step) -> Statement | None:
        """What PostgreSQL's parser says about a SQL step; None without the parser, and for other steps."""
        if not self.parser or not isinstance(step.node, nodes.Sql):
            return None
        text = step.node.query.value
        if text not in self._statements:
            self._statements[text] = sqltext.examine(text)
        return self._statements[text]

    def rows(self, result: Result) -> Rows:
        """How many rows a result has."""
        statement = self.statement(result.step)
        if statement is None or statement.problem:
            return Rows.UNKNOWN
        if statement.text not in self._rows:
            self._rows[statement.text] = sqltree.rows(statement)
        return self._rows[statement.text]

    # Time

    @cached_property
    def _waits(self) -> dict[Step, Waits]:
        found: dict[Step, Waits] = {}
        for step in reversed(tuple(self.root.walk())):
            found[step] = waits(step, [found[child] for child in step.children])
        return found

    def waiting(self, step: Step) -> Waiting | None:
        """How long a step waits; None when it never ends."""
        return self._waits[step][0]

    def pauses(self, step: Step) -> bool:
        """Whether the step, or one below it in the same instance, waits for anything at all."""
        for below in _in_instance(step):
            match below.node:
                # df.sleep(0) is over at once: it does not slow a loop down.
                case nodes.Sleep(seconds=0):
                    pass
                case nodes.CallChild() | nodes.Opaque():
                    return True
                case leaf if leaf.kind.waits_for in {Wait.TIMER, Wait.SIGNAL, Wait.INSTANCE}:
                    return True
                case _:
                    pass
        return False

    def _breaks(self, loop: Step) -> bool:
        """Whether a break of this very loop is in it."""
        pending = list(loop.children)
        while pending:
            step = pending.pop()
            match step.node:
                case nodes.Break():
                    return True
                # A break in an inner loop leaves that one.
                case nodes.Loop() | nodes.CallChild():
                    continue
                case nodes.Opaque():
                    return True
                case _:
                    pending += step.children
        return False


def _in_instance(step: Step) -> Iterator[Step]:
    pending = [step]
    while pending:
        current = pending.pop()
        yield current
        if not isinstance(current.node, nodes.CallChild):
            pending += reversed(current.children)


def _written(statement: Statement, placeholder: object) -> str:
    span = placeholder.span  # type: ignore[attr-defined]
    return statement.text[span.start : span.end]


def _first_endless(step: Step, endless: frozenset[Step]) -> list[Step]:
    """What stands directly behind a step of this one that never ends."""
    match step.node:
        case nodes.Then():
            first, second = step.children
            return [second] if first in endless else []
        case nodes.If():
            yes, no, condition = step.children
            return [yes, no] if condition in endless else []
        case nodes.Loop() if len(step.children) == 2:
            body, condition = step.children
            return [condition] if body in endless else []
        case _:
            return []
