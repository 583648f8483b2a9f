"""Steps by place: which step, in which workflow, what stands around it and how it is written.

Tools keep a step by its path (numbers of children from the root, in the order of nodes.children) or find it by
where it is in the text. edits.py changes programs at such places.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pgweave.grammar import nodes
from pgweave.grammar.nodes import children
from pgweave.grammar.reading.extraction import Form, form_of
from pgweave.grammar.reading.lexer import OP, PUNCT, STRING, lex
from pgweave.grammar.span import Span
from pgweave.grammar.writing.printer import is_primary, opaque_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Definition, Module, Node
    from pgweave.grammar.reading.lexer import Token

Path = tuple[int, ...]

# What may stand bare to the left of an operator; everything but a primary needs parentheses on its right.
LEFT = {
    "~>": {"~>", "named"}, "&": {"&"}, "|": {"|"}, "|=>": {"named"}, "?>": set[str](), "@>": {"@>"},
}  # fmt: skip

_SYMBOLS: dict[type, str] = {nodes.Then: "~>", nodes.Join: "&", nodes.Race: "|", nodes.If: "if", nodes.Loop: "@>"}


@dataclass(frozen=True, slots=True)
class Place:
    """One step of one workflow of a module. index: of the workflow; path: from its root; parent: the step above."""

    module: Module = field(compare=False, repr=False)
    index: int
    path: Path
    node: Node = field(compare=False, repr=False)
    parent: Place | None = field(default=None, compare=False, repr=False)

    @property
    def definition(self) -> Definition:
        """The workflow."""
        return self.module.definitions[self.index]

    @property
    def text(self) -> str:
        """The whole text."""
        return self.module.source.text

    def child(self, number: int) -> Place:
        """A step just below this one."""
        return Place(self.module, self.index, (*self.path, number), children(self.node)[number], self)

    @property
    def children(self) -> tuple[Place, ...]:
        """The steps just below this one."""
        return tuple(
            Place(self.module, self.index, (*self.path, number), node, self)
            for number, node in enumerate(children(self.node))
        )

    @property
    def outer(self) -> Span:
        """All of the step as it is written, with its parentheses and its name."""
        return self.node.parens or self.bare

    @property
    def bare(self) -> Span:
        """The step without its parentheses, with its name."""
        return literal(self.text, self.node.span)

    @property
    def unnamed(self) -> Span:
        """The step without its name: for `('a') |=> 'x'` and `df.as('a', 'x')` it is `'a'`."""
        binding = self.node.binding
        if isinstance(self.node, nodes.Opaque):
            return opaque_span(self.text, self.node)
        if binding is None or binding.target is None:
            return self.bare
        return without_names(self.text, binding.target)

    @property
    def shape(self) -> str:
        """What it is to the operators around it: primary, named, other, if, or its operator."""
        node = self.node
        if node.binding is not None and node.binding.operator is not None:
            return "named"
        return "primary" if node.binding is not None and node.binding.target is not None else self.unnamed_shape

    @property
    def unnamed_shape(self) -> str:
        """The same of the step without its name."""
        symbol = _SYMBOLS.get(type(self.node))
        if symbol is not None and self.has_operator:
            return symbol
        return "primary" if symbol is not None or is_primary(self.unnamed.of(self.text)) else "other"

    @property
    def has_operator(self) -> bool:
        """Whether the step is written with an operator rather than as a call or as JSON."""
        return self.operator is not None

    @property
    def operator(self) -> Span | None:
        """The operator that it is written with; of an if the `?>`."""
        if isinstance(self.node, nodes.Loop):
            start = self.unnamed.start
            return Span(start, start + 2) if self.text.startswith("@>", start) else None
        if not isinstance(self.node, nodes.Then | nodes.If | nodes.Join | nodes.Race) or len(self.children) > 3:
            return None
        # By their places, for the children of an if are in another order: its branches, then its condition.
        # Not node.operator: that of an if is its `!>`, and the first operator is wanted here.
        first, second = sorted(below.outer for below in self.children)[:2]
        between = lex(self.text[first.end : second.start]).tokens
        if len(between) != 1 or between[0].kind != OP:
            return None  # a call (a comma is between its arguments), or JSON
        return Span(first.end + between[0].start, first.end + between[0].end)

    @property
    def surroundings(self) -> str:
        """What it is an operand of: "" for an argument or a statement, `~>` and so on to the left of that, else right."""
        parent = self.parent
        if parent is None or not parent.has_operator:
            return "right" if parent is not None and isinstance(parent.node, nodes.Opaque) else ""
        if isinstance(parent.node, nodes.Loop):
            return "right"
        first = min(below.outer for below in parent.children)
        if self.outer != first:
            return "right"
        return "?>" if isinstance(parent.node, nodes.If) else parent.unnamed_shape


def root_place(module: Module, index: int = 0) -> Place:
    """The first step of all of one workflow."""
    return Place(module, index, (), module.definitions[index].node)


def step_place(module: Module, index: int, path: Path) -> Place:
    """The step that this path leads to. IndexError if it leads nowhere."""
    place = root_place(module, index)
    for number in path:
        place = place.child(number)
    return place


def places(module: Module) -> Iterator[Place]:
    """Every step of a module, each before the steps below it."""
    for index in range(len(module.definitions)):
        pending = [root_place(module, index)]
        while pending:
            place = pending.pop()
            yield place
            pending.extend(reversed(place.children))


def place_of(module: Module, node: Node) -> Place:
    """The place of this very node of the module. LookupError if it is not one of them."""
    for place in places(module):
        if place.node is node:
            return place
    raise LookupError("this step is not one of the module")


def place_at(module: Module, start: int, end: int | None = None) -> Place | None:
    """The smallest step around the character at `start`, or all of start..end; None if there is none."""
    wanted = Span(start, start + 1 if end is None else end)  # one character, so that no place is at the end of a step
    found: Place | None = None
    for place in places(module):
        span = place.node.outer if is_in_json(place) else place.outer
        if wanted in span and (found is None or span in found.outer):
            found = place
    return found


def is_in_json(place: Place) -> bool:
    """Whether it is a step below one that is written as Durofut JSON."""
    return place.parent is not None and place.text.startswith("{", place.parent.node.span.start)


def without_parentheses(text: str, span: Span) -> Span:
    """A span without the parentheses around all of it."""
    tokens = lex(text[span.start : span.end]).tokens
    first, last = 0, len(tokens) - 1
    while first < last and tokens[first].value == "(" and tokens[last].value == ")":
        depth = 0
        for at in range(first, last):
            if tokens[at].kind == PUNCT:
                depth += (tokens[at].value == "(") - (tokens[at].value == ")")
            # ('a') ~> ('b') begins and ends with a bracket, but not with one pair: the first closes before the
            # end.
            if depth == 0:
                return Span(span.start + tokens[first].start, span.start + tokens[last].end)
        first, last = first + 1, last - 1
    return Span(span.start + tokens[first].start, span.start + tokens[last].end) if tokens else span


def without_names(text: str, span: Span) -> Span:
    """A span without parentheses around all of it and without names: `a` of `((a |=> 'x')) |=> 'y'`."""
    while True:
        span = without_parentheses(text, span)
        tokens = lex(span.of(text)).tokens
        depths = _depths(tokens)
        # The last operator that is in no brackets: for `|=>`, what stands before it is the step that is named.
        names = [at for at, token in enumerate(tokens) if depths[at] == 0 and token.kind == OP and token.value != "::"]
        if names and tokens[names[-1]].value == "|=>":
            end = tokens[names[-1] - 1].end
        # 5: `df`, `.`, `as`, `(` and the closing bracket are all that is outside of the brackets, so the call
        # is the whole of it.
        elif [token.value for token in tokens[:4]] == ["df", ".", "as", "("] and depths.count(0) == 5:
            end = next(token.start for at, token in enumerate(tokens) if depths[at] == 1 and token.value == ",")
            span = Span(span.start + tokens[4].start, span.end)
            # Offsets of tokens count from the span's start, which has just moved.
            end -= tokens[4].start
        else:
            return span
        span = Span(span.start, span.start + end)


def _depths(tokens: list[Token]) -> list[int]:
    """How many brackets are open before each token; a closing bracket counts as outside."""
    depths, depth = [], 0
    for token in tokens:
        bracket = token.value if token.kind == PUNCT else ""
        depth -= bracket in (")", "]")
        depths.append(depth)
        depth += bracket in ("(", "[")
    return depths


def literal(text: str, span: Span) -> Span:
    """The string around a step that is written as Durofut JSON; the span itself for any other step."""
    if not text.startswith("{", span.start):
        return span
    start, end = 0, len(text)
    while True:
        inside = next(
            (
                token
                for token in lex(text[start:end]).tokens
                if token.kind == STRING and start + token.start < span.start < start + token.end
            ),
            None,
        )
        if inside is None:
            return span
        if inside.value.lstrip().startswith("{"):
            return Span(start + inside.start, start + inside.end)
        # This string is the body of a function: look at the strings in it.
        start, end = start + inside.anchors[0][1], start + inside.end


def with_child(node: Node, number: int, child: Node) -> Node:
    """The node with another child in this place of nodes.children."""
    below = nodes.children(node)
    return nodes.with_children(node, (*below[:number], child, *below[number + 1 :]))


def with_field(node: Node, name: str, value: object) -> Node:
    """The node with another value in one of its fields."""
    changes: Any = {name: value}
    return replace(node, **changes)


def is_program(module: Module) -> bool:
    """Whether the whole text is a program, so that nothing of it is in the quotes of other SQL."""
    return form_of(module.source.name) is Form.PROGRAM
