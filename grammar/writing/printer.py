"""AST -> canonical text: the way back from nodes to a program.

One spelling for every node: operators where there are any, parentheses around every operand that has an operator of
its own (but for `a ~> b ~> c`, and a name on the first step of a chain), the quotes that need the fewest escapes, and
no argument that says what the default says. Reading the text again gives an equal tree. Texts come out on one line,
unless a string has line ends of its own; formatter.py knows how to lay them out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from pgweave.grammar import leaves, nodes
from pgweave.grammar.kinds import Type
from pgweave.grammar.meaning.durofut import BadStep, ensure
from pgweave.grammar.nodes import children
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.lexer import PUNCT, WORD, lex
from pgweave.grammar.span import Source, Span
from pgweave.grammar.writing.quoting import quote

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Definition, Node, Option, Text, Variable


class _Shape(Enum):
    """What a text is to the operators around it."""

    PRIMARY = auto()  # a literal, a call, anything in parentheses
    NAMED = auto()  # step |=> 'name'
    PREFIX = auto()  # @> step
    SEQUENCE = auto()  # a ~> b
    JOIN = auto()  # a & b
    RACE = auto()  # a | b
    IF = auto()  # c ?> t !> e


@dataclass(frozen=True, slots=True)
class _Form:
    """A printed node."""

    text: str
    shape: _Shape = _Shape.PRIMARY

    def operand(self, *bare: _Shape) -> str:
        """As an operand: in parentheses, unless it is a primary or of one of the shapes that may stand bare."""
        return self.text if self.shape is _Shape.PRIMARY or self.shape in bare else f"({self.text})"


def print_node(node: Node, *, dollars: bool = True) -> str:
    """Write one step with everything below it. dollars: whether dollar quotes may be used, as in `quote`.

    ValueError for a tree that no text gives: a join of four with an opaque step or a called child in it, which only
    Durofut JSON could hold, or a join of one.
    """
    return _Printer(dollars).write(node).text


def print_operand(node: Node, *, dollars: bool = True) -> str:
    """Write one step so that it may stand beside any operator: in parentheses when it has one itself."""
    return _Printer(dollars).write(node).operand()


def print_definition(definition: Definition, *, dollars: bool = True) -> str:
    """Write one workflow as a statement: `SELECT df.start(.., 'label');`. What SQL around it computes is left out."""
    printer = _Printer(dollars)
    mode = None if definition.transaction_mode == "caller" else printer.quote(definition.transaction_mode)
    arguments = (
        ("fut", printer.write(definition.node).text),
        ("label", printer.maybe(definition.label)),
        ("database", printer.maybe(definition.database)),
        ("transaction_mode", mode),
    )
    return f"SELECT {_call('start', *arguments)};"


def print_variable(variable: Variable, source: Source) -> str:
    """Write what sets a variable as a statement. source: of the module; what only the database knows is copied from it."""
    if variable.value is None:
        return f"SELECT {variable.span.of(source.text)};"
    return f"SELECT {_call('setvar', ('name', quote(variable.name)), ('value', quote(variable.value)))};"


def _call(name: str, *arguments: tuple[str, str | None]) -> str:
    """Write a call. An argument that is None has its default and is left out; those behind it are named.

    _call("http", ("url", "'u'"), ("method", None), ("body", "'b'")) gives df.http('u', body => 'b').
    """
    # df.http('u', body => 'b'): once one argument is left out, position no longer says which is which.
    written, skipped = [], False
    for parameter, text in arguments:
        if text is None:
            skipped = True
        else:
            written.append(f"{parameter} => {text}" if skipped else text)
    return f"df.{name}({', '.join(written)})"


class _Printer:
    """Writes nodes from the leaves up, so that depth costs no stack."""

    def __init__(self, dollars: bool) -> None:
        self.dollars = dollars
        self.forms: dict[int, _Form] = {}

    def write(self, root: Node) -> _Form:
        order, pending = [], [root]  # parents first; read backwards, children first
        while pending:
            node = pending.pop()
            order.append(node)
            pending.extend(children(node))
        for node in reversed(order):
            form = self._form(node)
            if node.binding is not None:
                form = _Form(f"{form.operand()} |=> {self.quote(node.binding.name)}", _Shape.NAMED)
            self.forms[id(node)] = form
        return self.forms[id(root)]

    def quote(self, value: str) -> str:
        return quote(value, dollars=self.dollars)

    def maybe(self, text: Text | None) -> str | None:
        return None if text is None else self.quote(text.value)

    def _text(self, node: Node) -> str:
        return self.forms[id(node)].text

    def _operand(self, node: Node, *bare: _Shape) -> str:
        return self.forms[id(node)].operand(*bare)

    def _form(self, node: Node) -> _Form:
        match node:
            case nodes.Sql():
                return _Form(self._sql(node.query))
            case nodes.Then():
                # Only on the left: a ~> (b ~> c) is another tree than a ~> b ~> c.
                first = self._operand(node.first, _Shape.SEQUENCE, _Shape.NAMED)
                return _Form(f"{first} ~> {self._operand(node.second)}", _Shape.SEQUENCE)
            case nodes.If():
                condition, then_branch = self._operand(node.condition), self._operand(node.then_branch)
                return _Form(f"{condition} ?> {then_branch} !> {self._operand(node.else_branch)}", _Shape.IF)
            case nodes.IfRows():
                branches = (self._text(node.then_branch), self._text(node.else_branch))
                return _Form(f"df.if_rows({', '.join((self.quote(node.result_name.value), *branches))})")
            case nodes.Join():
                return self._join(node)
            case nodes.Race():
                left = self._operand(node.left, _Shape.RACE)
                return _Form(f"{left} | {self._operand(node.right)}", _Shape.RACE)
            case nodes.Loop():
                return self._loop(node)
            case nodes.CallChild():
                options = None if node.options is None else self.quote(options_text(node.options))
                child, label = ("fut", self._text(node.child)), ("label", self.maybe(node.label))
                return _Form(_call("call_child", child, label, ("options", options)))
            case nodes.Opaque():
                # `x || y ~> 'b'` groups as `(x || y) ~> 'b'`; with the parentheses nobody has to know that.
                return _Form(node.text) if is_primary(node.text) else _Form(f"({node.text})")
            case _:
                return self._leaf(node)

    def _leaf(self, node: Node) -> _Form:
        """A call; Durofut JSON for what the call would refuse and JSON would not, such as a URL without a scheme."""
        written = [(param, self._argument(value)) for param, _, value in leaves.arguments(node)]
        text = _call(node.kind.function, *((param.name, value) for param, value in written))
        # A call refuses a text that it needs, such as an empty name.
        # Only these are read back, as that costs a parse each.
        strict = any(param.required and param.type is Type.TEXT for param, _ in written)
        return self._json(node) if strict and not _gives(text, node) else _Form(text)

    def _argument(self, value: str | int | None) -> str | None:
        return self.quote(value) if isinstance(value, str) else None if value is None else str(value)

    def _sql(self, query: Text) -> str:
        literal = self.quote(query.value)
        return literal if _means_sql(query) else f"df.sql({literal})"

    def _join(self, node: nodes.Join) -> _Form:
        match node.branches:
            case (first, second):
                return _Form(f"{self._operand(first, _Shape.JOIN)} & {self._operand(second)}", _Shape.JOIN)
            case (_, _, _):
                return _Form(f"df.join3({', '.join(map(self._text, node.branches))})")
            case _:
                return self._json(node)

    def _loop(self, node: nodes.Loop) -> _Form:
        if node.condition is None and not node.continue_on_failure:
            return _Form(f"@> {self._operand(node.body, _Shape.PREFIX)}", _Shape.PREFIX)
        condition = None if node.condition is None else self._text(node.condition)
        # Named, also behind a condition: a bare `true` says nothing. No argument stands between body and the name then.
        given = (("body", self._text(node.body)), ("condition", condition))
        if not node.continue_on_failure:
            return _Form(_call("loop", *given))
        text = ", ".join(value for _, value in given if value is not None)
        return _Form(f"df.loop({text}, continue_on_failure => true)")

    def _json(self, node: Node) -> _Form:
        return _Form(self.quote(_durofut(node, named=False)))


def _means_sql(query: Text) -> bool:
    """Whether a bare literal of this text is a step of SQL: Durofut JSON in a step's place would be a step of its own."""
    try:
        node = ensure(query, query.span)
    except BadStep:
        return False
    return isinstance(node, nodes.Sql) and node.query == query


def _gives(text: str, node: Node) -> bool:
    """Whether `text` reads as `node`, whatever that is named."""
    parsed = parse(Source("", text))
    unnamed = replace(node, binding=None)
    return parsed.ok and [each.node for each in parsed.module.definitions] == [unnamed]


def is_primary(text: str) -> bool:
    """Whether an opaque expression is one operand to every operator: a single token, a call, a bracket around it all.

    `x`, `a.b`, `f(x)` and `(SELECT 1)` are; `x + 1`, `f(x) || y` and `(a) || (b)` are not.
    """
    tokens = lex(text).tokens
    at = 0
    while at + 2 < len(tokens) and tokens[at + 1].kind == PUNCT and tokens[at + 1].value == ".":
        at += 2  # a qualified name
    if at + 1 == len(tokens):
        return True
    if at + 1 < len(tokens) and tokens[at].kind == WORD and tokens[at + 1].value == "(":
        at += 1
    depth = 0
    for token in tokens[at:]:
        if token.kind == PUNCT:
            depth += (token.value in "([") - (token.value in ")]")
        if depth == 0:  # the first bracket has closed (or there is none): is that the end?
            return token is tokens[-1]
    return False


def opaque_span(text: str, node: nodes.Opaque) -> Span:
    """Where an opaque expression stands; with a name behind it, its span is longer than that."""
    if node.binding is None or node.binding.target is None:
        return node.span
    target = node.binding.target
    starts = (target.start + token.start for token in lex(target.of(text)).tokens)
    # target may have parentheses before it, which are no part of the expression's text.
    start = next(start for start in starts if text.startswith(node.text, start))
    return Span(start, start + len(node.text))


def options_text(options: tuple[Option, ...]) -> str:
    """The JSON text of call_child's options, in the order and with the repetitions of the tuple."""
    members = (f"{_dumps(option.name)}: {_dumps(option.value)}" for option in options)
    return "{" + ", ".join(members) + "}"


def _dumps(value: object) -> str:
    """JSON of a Python value. A number too large for a float is infinite here, and 1e400 reads as such a number."""
    if isinstance(value, float) and math.isinf(value):
        return "1e400" if value > 0 else "-1e400"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_dumps(str(name))}: {_dumps(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_dumps, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _durofut(node: Node, *, named: bool = True) -> str:
    """Durofut JSON of a node, as the df functions write it. named: whether its own name is written there too."""
    if isinstance(node, nodes.CallChild | nodes.Opaque):
        raise ValueError(f"Durofut JSON cannot hold {type(node).__name__}")
    members = {"node_type": _dumps(node.kind.name)}
    match node:
        case nodes.Then():
            below = {"left_node": node.first, "right_node": node.second}
        case nodes.If():
            below = {"left_node": node.then_branch, "right_node": node.else_branch, "condition_node": node.condition}
        case nodes.IfRows():
            below = {"left_node": node.then_branch, "right_node": node.else_branch}
        case nodes.Join():
            if len(node.branches) < 2:
                raise ValueError("a join needs two branches")
            below = {"left_node": node.branches[0], "right_node": node.branches[1]}
        case nodes.Race():
            below = {"left_node": node.left, "right_node": node.right}
        case nodes.Loop():
            below = {"left_node": node.body} | ({} if node.condition is None else {"condition_node": node.condition})
        case _:
            below = {}
    members |= {role: _durofut(child) for role, child in below.items()}
    if isinstance(node, nodes.Join):
        members["extra_nodes"] = "[" + ",".join(map(_durofut, node.branches[2:])) + "]"
    query = leaves.row_text(node)
    if query is not None:
        members["query"] = _dumps(query)
    if named and node.binding is not None:
        members["result_name"] = _dumps(node.binding.name)
    return _object(**members)


def _object(**members: str) -> str:
    return "{" + ",".join([f'"{name}":{value}' for name, value in members.items()]) + "}"
