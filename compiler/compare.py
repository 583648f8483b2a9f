"""What differs between two programs: in words, and as one graph that both pictures have grown together into.

In come two modules, old and new; out come the workflows that were added, removed or changed, and for each the steps.
Programs are compared as trees, so that a moved bracket is a difference and a moved line end is none: sequences are
aligned step by step, blocks part by part, and a step that was only wrapped into a block, or taken out of one, is found
again there. Nothing here knows files, revisions or colours.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from pgweave.compiler import graph
from pgweave.compiler.facts import flow
from pgweave.compiler.pictures import step_words
from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.graph import MultiGraph
    from pgweave.grammar.nodes import Definition, Module, Node
    from pgweave.grammar.span import Span

What: TypeAlias = Literal["added", "removed", "changed", "moved"]
SIMILAR = 0.5  # of 1: texts that have at least this much in common are one text, changed
MOST_PAIRS = 250_000  # of steps compared with each other in one stretch; a larger one is paired in order


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. old, new: where it is in either text; None: it is not there. said: a sentence without a stop."""

    what: What
    said: str
    old: Span | None = None
    new: Span | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One workflow of two modules. old, new: None when it is only in the other."""

    name: str
    old: Definition | None
    new: Definition | None
    changes: tuple[Change, ...]

    @property
    def what(self) -> What | None:
        """What became of the workflow as a whole; None: nothing."""
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        return "changed" if self.changes else None


@dataclass(frozen=True, slots=True)
class Merged:
    """Both programs as one graph. differences: id of a node or block -> what became of it."""

    graph: MultiGraph
    differences: dict[str, What]


def compare(old: Module, new: Module) -> tuple[Compared, ...]:
    """Compare every workflow, by its label; in the order of the new text, removed ones last."""
    before, after = _by_label(old), _by_label(new)
    # One workflow in each text is the same workflow, even if its label has changed.
    if len(before) == len(after) == 1:
        return (_compared(*before.values(), *after.values()),)
    # A label may occur twice in a file, so the key is (label, number): a second `nightly` is compared with the
    # second.
    labels = [*after, *(label for label in before if label not in after)]
    return tuple(_compared(before.get(label), after.get(label)) for label in labels)


def variables(old: Module, new: Module) -> tuple[Change, ...]:
    """What differs between the variables that two modules declare; the last declaration of a name counts."""
    before = {variable.name: variable for variable in old.variables}
    after = {variable.name: variable for variable in new.variables}
    changes = []
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            changes.append(Change("added", f"variable {name}", new=now.span))
        elif now is None and was is not None:
            changes.append(Change("removed", f"variable {name}", old=was.span))
        elif was is not None and now is not None and was.value != now.value:
            changes.append(Change("changed", f"variable {name}", was.span, now.span))
    return tuple(changes)


def merged(compared: Compared) -> Merged:
    """One graph with the steps of both, for a picture: what is gone stands before what came in its place."""
    if compared.old is None or compared.new is None:
        definition = compared.new or compared.old
        assert definition is not None
        what: What = "removed" if compared.new is None else "added"
        root = flow.steps(definition.node)
        drawn = graph.control_flow(definition, root)
        ids = [node for node, about in drawn.nodes(data=True) if about["part"] not in ("start", "end")]
        return Merged(drawn, dict.fromkeys([*ids, *drawn.graph["blocks"]], what))
    comparison = _Comparison()
    both = comparison.step(compared.old.node, compared.new.node)
    definition = replace(compared.new, node=both)
    root = flow.steps(both)
    drawn = graph.control_flow(definition, root)
    differences: dict[str, What] = {}
    for step in root.walk():
        found = comparison.marks.get(id(step.node))
        if found:
            differences |= dict.fromkeys(_elements(drawn, step), found)
    return Merged(drawn, differences)


def _elements(drawn: MultiGraph, step: Step) -> Iterator[str]:
    """Everything that is drawn for a step itself: its nodes and its frame."""
    # Those that graph.py gives to a step's further nodes, and to the block of a called child.
    suffixes = ("", "_merge", "_test", "_start", "_wait", "c")
    return (step.id + end for end in suffixes if step.id + end in drawn or step.id + end in drawn.graph["blocks"])


def _by_label(module: Module) -> dict[tuple[str | None, int], Definition]:
    """Definitions by label and, among those of one label or of none, by their number.

    The name of one without a label comes from its file's, which says nothing about the program.
    """
    counts: Counter[str | None] = Counter()
    found: dict[tuple[str | None, int], Definition] = {}
    for definition in module.definitions:
        label = definition.label.value if definition.label else None
        counts[label] += 1
        found[label, counts[label]] = definition
    return found


def _compared(old: Definition | None, new: Definition | None) -> Compared:
    if old is None or new is None:
        alone = new or old
        assert alone is not None
        return Compared(alone.name, old, new, ())
    comparison = _Comparison()
    comparison.step(old.node, new.node)
    return Compared(new.name, old, new, (*_settings(old, new), *comparison.changes))


def _settings(old: Definition, new: Definition) -> Iterator[Change]:
    settings = {
        "label": (old.label and old.label.value, new.label and new.label.value),
        "database": (old.database and old.database.value, new.database and new.database.value),
        "transaction mode": (old.transaction_mode, new.transaction_mode),
    }
    for what, (was, now) in settings.items():
        if was != now:
            yield Change("changed", f"{what}: {_shown(was)} -> {_shown(now)}", old.span, new.span)


def _shown(value: object) -> str:
    return "none" if value is None else f"`{value}`"


class _Keys:
    """A number for each step, the same for steps that are equal with all below them. Depth costs no stack."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._known: dict[int, tuple[Node, int]] = {}  # the step is kept, so that its id() stays its own

    def of(self, root: Node) -> int:
        """The number of a step."""
        # Children before parents, without recursion: a step stays on the stack until all below it are numbered.
        pending = [root]
        while pending:
            step = pending[-1]
            below = nodes.children(step)
            missing = [child for child in below if id(child) not in self._known]
            if id(step) in self._known or not missing:
                pending.pop()
                if id(step) not in self._known:
                    # The children's numbers stand for their whole subtrees, so that each key is short and a
                    # graph of n steps costs n.
                    key = (type(step), *_own(step), *(self._known[id(child)][1] for child in below))
                    self._known[id(step)] = step, self._numbers.setdefault(key, len(self._numbers))
            else:
                pending += missing
        return self._known[id(root)][1]


def _own(node: Node) -> Iterator[object]:
    """What a step says itself, its sub-steps and places aside."""
    for name in _FIELDS[type(node)]:
        value = getattr(node, name)
        if not _holds_steps(value):
            yield name, repr(value)


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(one.name for one in fields(kind) if one.compare) for kind in get_args(nodes.Node)
}


@dataclass(slots=True)
class _Comparison:
    """Walks two trees at once. Each method returns one step that holds both; `marks` says what became of it, by id()."""

    changes: list[Change] = field(default_factory=list)
    marks: dict[int, What] = field(default_factory=dict)
    kept: list[Node] = field(default_factory=list)  # keeps id() of marked steps their own
    keys: _Keys = field(default_factory=_Keys)

    def step(self, old: Node, new: Node) -> Node:
        """Compare two steps that stand at the same place."""
        # The only place where equality is asked: everything below is skipped, whatever its size.
        if self.keys.of(old) == self.keys.of(new):
            return new
        before, after = _sequence(old), _sequence(new)
        # Also where only one side is a sequence: `a` against `a ~> b` is an added step, not another kind of
        # step.
        if len(before) > 1 or len(after) > 1:
            return self.sequence(before, after)
        if type(old) is type(new):
            return self.parts(old, new)
        inside = self.wrapped(old, new)
        # In the picture the removed step stands before the one that replaced it.
        return inside or _chain([self.mark(old, "removed"), self.mark(new, "added")])

    def named(self, old: _Link, new: _Link) -> None:
        """Names on sequences that end here, which the steps in them do not show."""
        if old.names != new.names:
            was, now = (", ".join(names) or None for names in (old.names, new.names))
            said = f"name of a sequence: {_shown(was)} -> {_shown(now)}"
            self.changes.append(Change("changed", said, old.node.span, new.node.span))

    def sequence(self, old: Sequence[_Link], new: Sequence[_Link]) -> Node:
        """Align two sequences; what has nothing to stand beside was removed or added."""
        both: list[Node] = []
        before: Node | None = None
        links = {id(link.node): link for link in (*old, *new)}
        for was, now in self.aligned([link.node for link in old], [link.node for link in new]):
            if was is not None and now is not None:
                both.append(self.step(was, now))
                self.named(links[id(was)], links[id(now)])
            elif was is not None:
                both.append(self.mark(was, "removed", after=before))
            elif now is not None:
                both.append(self.mark(now, "added", after=before))
            # A removed step is said to have stood after what is before it in the new text, the only text at
            # hand.
            before = now or before
        return _chain(both)

    def mark(self, node: Node, what: What, after: Node | None = None) -> Node:
        """Note a whole step with all below it. after: what stands before it in the new sequence."""
        where = f", after {_short(after)}" if after else ""
        span = {"old": node.span} if what == "removed" else {"new": node.span}
        self.changes.append(Change(what, f"{_named(node)}{where}{_size(node)}", **span))
        self.paint(node, what)
        return node

    def paint(self, node: Node, what: What) -> None:
        pending = [node]
        while pending:
            step = pending.pop()
            self.marks[id(step)] = what
            self.kept.append(step)
            pending += nodes.children(step)

    def parts(self, old: Node, new: Node) -> Node:
        """Compare two steps of one kind: what they say, then what they hold."""
        differing = list(_fields(old, new))
        if differing:
            self.changes.append(Change("changed", f"{_named(new)}: {', '.join(differing)}", old.span, new.span))
        both = self.held(old, new)
        if differing:
            self.marks[id(both)] = "changed"
            self.kept.append(both)
        return both

    def held(self, old: Node, new: Node) -> Node:
        """The new step with both sides' steps in it."""
        match old, new:
            case nodes.If(), nodes.If():
                return replace(
                    new,
                    condition=self.step(old.condition, new.condition),
                    then_branch=self.step(old.then_branch, new.then_branch),
                    else_branch=self.step(old.else_branch, new.else_branch),
                )
            case nodes.IfRows(), nodes.IfRows():
                return replace(
                    new,
                    then_branch=self.step(old.then_branch, new.then_branch),
                    else_branch=self.step(old.else_branch, new.else_branch),
                )
            case nodes.Join(), nodes.Join():
                return replace(new, branches=self.branches(old.branches, new.branches))
            case nodes.Race(), nodes.Race():
                return replace(new, left=self.step(old.left, new.left), right=self.step(old.right, new.right))
            case nodes.Loop(), nodes.Loop():
                return replace(new, body=self.step(old.body, new.body), condition=self.condition(old, new))
            case nodes.CallChild(), nodes.CallChild():
                return replace(new, child=self.step(old.child, new.child))
            case _:
                return replace(new)  # a copy: a mark must not colour an equal step elsewhere

    def condition(self, old: nodes.Loop, new: nodes.Loop) -> Node | None:
        if old.condition is not None and new.condition is not None:
            return self.step(old.condition, new.condition)
        if new.condition is not None:
            return self.mark(new.condition, "added")
        if old.condition is not None:
            self.mark(old.condition, "removed")
        return None

    def branches(self, old: Sequence[Node], new: Sequence[Node]) -> tuple[Node, ...]:
        both = []
        for was, now in self.aligned(old, new):
            if was is not None and now is not None:
                both.append(self.step(was, now))
            elif was is not None:
                both.append(self.mark(was, "removed"))
            elif now is not None:
                both.append(self.mark(now, "added"))
        return tuple(both)

    def wrapped(self, old: Node, new: Node) -> Node | None:
        """Find one of two steps in the other: it was put into a block, or taken out of one."""
        inner = _find(old, new)
        if inner is not None:
            self.changes.append(Change("moved", f"{_named(old)} into {_named(new)}", old.span, inner.span))
            self.beside(inner, new, "added")
            # From the outside in: the block is added, and the step in it is painted over as moved.
            self.paint(new, "added")
            self.paint(inner, "moved")
            self.parts(old, inner)
            return new
        inner = _find(new, old)
        if inner is not None:
            self.changes.append(Change("moved", f"{_named(new)} out of {_named(old)}", inner.span, new.span))
            self.beside(inner, old, "removed")
            both = self.parts(inner, new)
            self.paint(both, "moved")
            return both
        return None

    def beside(self, inner: Node, block: Node, what: What) -> None:
        """Note what came or went together with the block around a step."""
        step = block
        while step is not inner:
            below = nodes.children(step)
            # The way from the block down to the step; all other children came or went with the block.
            onward = next(child for child in below if _holds(child, inner))
            for child in below:
                if child is not onward:
                    span = {"old": child.span} if what == "removed" else {"new": child.span}
                    self.changes.append(Change(what, f"{_named(child)} in {_named(block)}{_size(child)}", **span))
            step = onward

    def aligned(self, old: Sequence[Node], new: Sequence[Node]) -> Iterator[tuple[Node | None, Node | None]]:
        """Pair two sequences: equal steps first, then between them those that have most in common."""
        before, after = ([self.keys.of(step) for step in steps] for steps in (old, new))
        for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag == "equal":
                yield from zip(old[start:end], new[new_start:new_end], strict=True)
            else:
                yield from _paired(old[start:end], new[new_start:new_end])


@dataclass(frozen=True, slots=True)
class _Link:
    """One step of a sequence. names: those of the sequences that end with it."""

    node: Node
    names: tuple[str, ...]


def _find(wanted: Node, inside: Node) -> Node | None:
    """The step below `inside` that is `wanted`, perhaps with another word; the first of those that are most like it."""
    # The most similar and not the first: `wait for approval` may occur in several branches.
    found, most = None, 0.0
    pending = list(reversed(nodes.children(inside)))
    while pending:
        step = pending.pop()
        likeness = _likeness(wanted, step) if type(step) is type(wanted) else 0.0
        if likeness > max(most, SIMILAR):
            found, most = step, likeness
        pending += reversed(nodes.children(step))
    return found


def _holds(outer: Node, wanted: Node) -> bool:
    pending = [outer]
    while pending:
        step = pending.pop()
        if step is wanted:
            return True
        pending += nodes.children(step)
    return False


def _sequence(node: Node) -> list[_Link]:
    """The steps of a chain of `~>`, from left to right."""
    found: list[_Link] = []
    pending: list[tuple[Node, tuple[str, ...]]] = [(node, ())]
    while pending:
        step, names = pending.pop()
        if isinstance(step, nodes.Then):
            own = (step.binding.name,) if step.binding else ()
            # The stack is read from its end, so first comes before second. A name of the chain is a name of its
            # last step.
            pending += ((step.second, (*names, *own)), (step.first, ()))
        else:
            found.append(_Link(step, names))
    return found


def _chain(steps: Sequence[Node]) -> Node:
    both = steps[0]
    for step in steps[1:]:
        both = nodes.Then(first=both, second=step, span=both.span | step.span)
    return both


def _paired(old: Sequence[Node], new: Sequence[Node]) -> Iterator[tuple[Node | None, Node | None]]:
    """Pair the steps of a stretch in which none is equal: the alignment of the highest likeness in all (Needleman-Wunsch)."""
    if not old or not new or len(old) * len(new) > MOST_PAIRS:
        # Too many pairs to compare: the n-th with the n-th. If one side is empty there is nothing to pair.
        shared = min(len(old), len(new)) if len(old) * len(new) > MOST_PAIRS else 0
        yield from zip(old[:shared], new[:shared], strict=True)
        yield from ((step, None) for step in old[shared:])
        yield from ((None, step) for step in new[shared:])
        return
    likeness = [[_likeness(was, now) for now in new] for was in old]
    best = _best(likeness)
    row = column = 0
    while row < len(old) and column < len(new):
        here = likeness[row][column]
        # The way back through the table: equal floats, as they come from the same sums.
        if here and best[row][column] == best[row + 1][column + 1] + here:
            yield old[row], new[column]
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            yield old[row], None
            row += 1
        else:
            yield None, new[column]
            column += 1
    yield from ((step, None) for step in old[row:])
    yield from ((None, step) for step in new[column:])


def _best(likeness: list[list[float]]) -> list[list[float]]:
    """For each place the highest likeness in all that can be had from there to the end; one row and column more."""
    height, width = len(likeness), len(likeness[0])
    best = [[0.0] * (width + 1) for _ in range(height + 1)]
    for row in reversed(range(height)):
        for column in reversed(range(width)):
            here = likeness[row][column]
            paired = best[row + 1][column + 1] + here if here else 0.0
            best[row][column] = max(paired, best[row + 1][column], best[row][column + 1])
    return best


def _likeness(old: Node, new: Node) -> float:
    """From 0, nothing in common, to 1."""
    if type(old) is not type(new):
        # A wrapped step is still that step.
        return 0.6 if _find(old, new) is not None or _find(new, old) is not None else 0.0
    # A step that kept its name is the same step, even if its SQL is all new.
    if old.binding is not None and old.binding == new.binding:
        return 0.9
    if not nodes.children(old):
        ratio = SequenceMatcher(None, _text(old), _text(new), autojunk=False).ratio()
        return ratio if ratio >= SIMILAR else 0.0
    shared = Counter(map(_text, _leaves(old))) & Counter(map(_text, _leaves(new)))
    most = max(len(_leaves(old)), len(_leaves(new)))
    # 0.3: two blocks of one kind in the same place are still more alike than two steps of different kinds.
    return max(0.3, shared.total() / most)


def _leaves(node: Node) -> list[Node]:
    found, pending = [], [node]
    while pending:
        step = pending.pop()
        below = nodes.children(step)
        pending += below
        if not below:
            found.append(step)
    return found


def _text(node: Node) -> str:
    said = step_words.describe(node)
    return f"{said.verb} {said.full or said.detail}"


def _fields(old: Node, new: Node) -> Iterator[str]:
    """What two steps of one kind say differently, their sub-steps aside."""
    for name in _FIELDS[type(new)]:
        was, now = getattr(old, name), getattr(new, name)
        if _holds_steps(was) or _holds_steps(now) or was == now:
            continue
        if name == "query":
            yield f"its SQL{_edited(was.value, now.value)}"
        elif name == "options":
            yield from _options(old, new)
        else:
            yield f"{name.replace('_', ' ').replace('binding', 'name')} {_plain(was)} -> {_plain(now)}"


def _edited(old: str, new: str) -> str:
    """The one stretch in which two texts differ, as words, where it is short enough to be said."""
    before, after = old.split(), new.split()
    start = next((i for i, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
    if start is None:
        start = min(len(before), len(after))
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    was, now = (" ".join(words_[start : len(words_) - end]) for words_ in (before, after))
    # was == now: only white space differs.
    if max(len(was), len(now)) > step_words.DETAIL_WIDTH or was == now:
        return ""
    return f", `{was}` -> `{now}`" if was and now else f", with `{now}`" if now else f", without `{was}`"


def _options(old: Node, new: Node) -> Iterator[str]:
    assert isinstance(old, nodes.CallChild)
    assert isinstance(new, nodes.CallChild)
    names = dict.fromkeys(option.name for node in (old, new) for option in node.options or ())
    for name in names:
        was, now = old.option(name), new.option(name)
        if was != now:
            yield f"option {name} {_plain(was and was.value)} -> {_plain(now and now.value)}"


def _holds_steps(value: object) -> bool:
    many = value if isinstance(value, tuple) else (value,)
    return any(isinstance(one, nodes.Sql | nodes.Then) or hasattr(one, "binding") for one in many)


def _plain(value: object) -> str:
    if isinstance(value, nodes.Text):
        value = value.value
    if isinstance(value, nodes.Binding):
        value = value.name
    text = "none" if value is None else str(value)
    line = step_words.first_line(text) or text
    return line if len(line) <= step_words.DETAIL_WIDTH else line[: step_words.DETAIL_WIDTH - 3] + "..."


def _named(node: Node) -> str:
    """A step as people call it: `SQL: SELECT 1, as x`."""
    if isinstance(node, nodes.Then):
        steps = _sequence(node)
        return f"{len(steps)} steps from {_named(steps[0].node)}"
    said = step_words.describe(node).label
    return f"{said}, as {node.binding.name}" if node.binding else said


def _short(node: Node) -> str:
    """A step in a word, where that is enough to find it."""
    return f"`{node.binding.name}`" if node.binding else _named(node)


def _size(node: Node) -> str:
    count = len(_leaves(node))
    return f" ({count} steps)" if count > 1 and not isinstance(node, nodes.Then) else ""
