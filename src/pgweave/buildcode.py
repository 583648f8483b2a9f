"""AST -> Python: the program that builds a workflow with pgweave.build.

One line where it fits, else one operand or argument a line. Parentheses stand wherever operators mix, though Python
would not need them all: the precedences of the two languages differ, and readers should not have to know them.
"""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar import leaves, nodes
from pgweave.grammar.kinds import Type
from pgweave.grammar.nodes import children
from pgweave.grammar.writing.printer import options_text
from pgweave.runtime.errors import PgweaveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgweave.grammar.kinds import Member
    from pgweave.grammar.nodes import Node, Text
    from pgweave.workflow import WorkflowSource

_WIDTH = 100
_DEEPEST = 12
"""Levels of brackets in one expression. What is deeper gets a variable: Python reads no more than 200."""

Lines = list[str]


@dataclass(frozen=True, slots=True)
class _Piece:
    """An expression. operator: the one outside of all brackets, if any. depth: levels of brackets. calls: what it uses."""

    lines: Lines
    operator: str = ""
    depth: int = 0
    calls: frozenset[str] = frozenset()


def workflow_code(workflow: WorkflowSource, *, reserved: frozenset[str]) -> str:
    """A program that binds the workflow to a variable. PgweaveError when SQL around it computes a part of it.

    reserved: names that the variable must not have, since the program imports them.
    """
    definition = workflow.definition
    if definition.computed:
        names = " and ".join(definition.computed)
        raise PgweaveError(f"{workflow.name} takes its {names} from the SQL around it.", "Build the step alone.")
    writer = _Writer()
    step = writer.write(definition.node)
    variables = {one.name: one.value for one in workflow.module.variables if one.value is not None}
    named = {
        "label": _maybe(definition.label),
        "database": _maybe(definition.database),
        "transaction_mode": None if definition.transaction_mode == "caller" else _text(definition.transaction_mode),
        "variables": _dictionary(variables) if variables else None,
        "name": _text(workflow.name) if definition.label is None and workflow.name != "workflow" else None,
    }
    made = _call("workflow", step, **named)
    return writer.program(made, _variable(workflow.name, reserved))


def step_code(node: Node) -> str:
    """A program that binds the step to a variable."""
    writer = _Writer()
    return writer.program(writer.write(node), "step")


def _variable(name: str, reserved: frozenset[str]) -> str:
    word = re.sub(r"\W+", "_", name).strip("_")
    taken = keyword.iskeyword(word) or word in reserved or re.fullmatch(r"step_\d+", word)
    return word if word.isidentifier() and word.isascii() and not taken else "flow"


class _Writer:
    """Writes nodes from the leaves up, so that depth costs no stack. steps: variables that were needed, in order."""

    def __init__(self) -> None:
        self.pieces: dict[int, _Piece] = {}
        self.steps: list[tuple[str, _Piece]] = []

    def write(self, root: Node) -> _Piece:
        order, pending = [], [root]
        while pending:
            node = pending.pop()
            order.append(node)
            if not isinstance(node, nodes.Opaque):  # its text says what is below it
                pending.extend(children(node))
        for node in reversed(order):
            piece = _named(self.piece(node), node)
            if piece.depth > _DEEPEST:
                name = f"step_{len(self.steps) + 1}"
                self.steps.append((name, piece))
                piece = _Piece([name])
            self.pieces[id(node)] = piece
        return self.pieces[id(root)]

    def program(self, last: _Piece, variable: str) -> str:
        """The whole of it, with what it imports."""
        assignments = [*self.steps, (variable, last)]
        calls = sorted(frozenset[str]().union(*(piece.calls for _, piece in assignments)), key=str.lower)
        text = "\n".join("\n".join(_assigned(name, piece)) for name, piece in assignments)
        return f"from pgweave.build import {', '.join(calls)}\n\n{text}\n"

    def of(self, node: Node) -> _Piece:
        return self.pieces[id(node)]

    def piece(self, node: Node) -> _Piece:
        """A node without its name."""
        match node:
            case nodes.Then():
                return _binary(self.of(node.first), ">>", self.of(node.second))
            case nodes.Race():
                return _binary(self.of(node.left), "|", self.of(node.right))
            case nodes.Join():
                branches = [self.of(branch) for branch in node.branches]
                return _binary(branches[0], "&", branches[1]) if len(branches) == 2 else _call("join", *branches)
            case nodes.If():
                return _call("if_", *map(self.of, (node.condition, node.then_branch, node.else_branch)))
            case nodes.IfRows():
                return _call("if_rows", _value(node.result_name), self.of(node.then_branch), self.of(node.else_branch))
            case nodes.Loop():
                goes_on = _Piece(["True"]) if node.continue_on_failure else None
                return _call("loop", *map(self.of, children(node)), continue_on_failure=goes_on)
            case nodes.CallChild():
                label = [] if node.label is None else [_value(node.label)]
                return _call("call_child", self.of(node.child), *label, **_options(node))
            case nodes.Opaque():
                return _call("expression", _text(node.text))
            case _:
                return _leaf(node)


def _leaf(node: Node) -> _Piece:
    """A call with its first argument by position, and the others that have no default by name."""
    given = [(param, _argument(member, value)) for param, member, value in leaves.arguments(node)]
    (_, first), others = given[0], given[1:]
    name = node.kind.function
    function = f"{name}_" if keyword.iskeyword(name) else name
    return _call(function, *([] if first is None else [first]), **{param.name: piece for param, piece in others})


def _argument(member: Member, value: str | int | None) -> _Piece | None:
    if value is None:
        return None
    if isinstance(value, int):
        return _Piece([str(value)])
    return _json(value) if member.type is Type.JSONB else _text(value)


# Layout


def _call(name: str, /, *arguments: _Piece, **named: _Piece | None) -> _Piece:
    """A call; an argument that is None is left out."""
    given = [*arguments, *(_prefixed(f"{key}=", piece) for key, piece in named.items() if piece is not None)]
    depth = 1 + max((piece.depth for piece in given), default=0)
    calls = frozenset({name}).union(*(piece.calls for piece in given))
    line = f"{name}({', '.join(piece.lines[0] for piece in given)})"
    if all(len(piece.lines) == 1 for piece in given) and len(line) <= _WIDTH:
        return _Piece([line], depth=depth, calls=calls)
    lines = [f"{name}("]
    for piece in given:
        lines += [*_indented(piece.lines[:-1]), f"    {piece.lines[-1]},"]
    return _Piece([*lines, ")"], depth=depth, calls=calls)


def _prefixed(prefix: str, piece: _Piece) -> _Piece:
    # name=a <newline> >> b would end at the line break; within brackets Python reads on.
    if len(piece.lines) > 1 and piece.lines[0][-1:] not in "([{":
        piece = _in_brackets(piece)
    return _Piece([prefix + piece.lines[0], *piece.lines[1:]], depth=piece.depth, calls=piece.calls)


def _binary(left: _Piece, operator: str, right: _Piece) -> _Piece:
    """Two operands; a chain of one operator groups from the left without brackets."""
    # a >> b >> c is (a >> b) >> c in Python as in the language; on the right side every operator needs
    # brackets.
    left = left if left.operator in ("", operator) else _in_brackets(left)
    right = right if right.operator == "" else _in_brackets(right)
    depth, calls = max(left.depth, right.depth), left.calls | right.calls
    line = f"{left.lines[-1]} {operator} {right.lines[0]}"
    # 12: room for what may be written around it, such as `.named(..)`.
    if len(left.lines) == len(right.lines) == 1 and len(line) <= _WIDTH - 12:
        return _Piece([line], operator, depth, calls)
    if len(left.lines) == 1 and left.operator == operator:  # a chain that fitted so far: break it everywhere
        left = _Piece(_broken(left.lines[0], operator), operator, depth, calls)
    return _Piece([*left.lines, f"{operator} {right.lines[0]}", *right.lines[1:]], operator, depth, calls)


def _broken(line: str, operator: str) -> Lines:
    """One line of a chain as a line for each operand: at the operators outside of brackets and quotes."""
    lines, depth, start, at = [], 0, 0, 0
    while at < len(line):
        if quoted := re.compile(r'"[^"\\]*"|\'(?:[^\'\\]|\\.)*\'|"(?:[^"\\]|\\.)*"').match(line, at):
            at = quoted.end()
            continue
        depth += (line[at] in "([{") - (line[at] in ")]}")
        if depth == 0 and line.startswith(f" {operator} ", at):
            lines.append(line[start:at])
            start = at + 1
        at += 1
    return [*lines, line[start:]]


def _in_brackets(piece: _Piece) -> _Piece:
    depth = piece.depth + 1
    if len(piece.lines) == 1:
        return _Piece([f"({piece.lines[0]})"], depth=depth, calls=piece.calls)
    return _Piece(["(", *_indented(piece.lines), ")"], depth=depth, calls=piece.calls)


def _named(piece: _Piece, node: Node) -> _Piece:
    if node.binding is None:
        return piece
    piece = _in_brackets(piece) if piece.operator else piece
    last = f"{piece.lines[-1]}.named({_quoted(node.binding.name)})"
    return _Piece([*piece.lines[:-1], last], depth=piece.depth, calls=piece.calls)


def _assigned(name: str, piece: _Piece) -> Lines:
    piece = _in_brackets(piece) if len(piece.lines) > 1 and piece.operator else piece
    return [f"{name} = {piece.lines[0]}", *piece.lines[1:]]


def _indented(lines: Sequence[str]) -> Lines:
    return [f"    {line}" for line in lines]


# Values


def _value(text: Text) -> _Piece:
    return _text(text.value)


def _maybe(text: Text | None) -> _Piece | None:
    return None if text is None else _text(text.value)


def _text(text: str) -> _Piece:
    """A string; one of several lines as several, which Python joins: so that it can be indented."""
    return _Piece([_quoted(line) for line in re.findall(r"[^\n]*\n|[^\n]+", text)] or ['""'])


def _quoted(text: str) -> str:
    plain = repr(text)
    # Double quotes where they need no escapes, as formatters of Python write them.
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text and "\\'" not in plain else plain


def _json(text: str) -> _Piece:
    """A JSON text as a value of Python where it holds nothing but texts; else as it is, for numbers keep their digits."""
    value = json.loads(text)
    match value:
        case dict() if _only_texts(value):
            return _dictionary(value)
        case list() if value and all(isinstance(item, dict) and _only_texts(item) for item in value):
            return _Piece([f"[{', '.join(_dictionary(item).lines[0] for item in value)}]"])
        case _:
            return _text(text)


def _only_texts(value: dict[str, object]) -> bool:
    return bool(value) and all(isinstance(item, str) for item in value.values())


def _dictionary(value: dict[str, str]) -> _Piece:
    return _Piece([f"{{{', '.join(f'{_quoted(name)}: {_quoted(item)}' for name, item in value.items())}}}"])


def _options(node: nodes.CallChild) -> dict[str, _Piece]:
    """Each option by its name where that says the same; else all of them as JSON."""
    if node.options is None:
        return {}
    names = [option.name for option in node.options]
    usual = {"timeout_seconds", "database", "on_failure", "on_timeout", "on_cancel"}
    plain = all(isinstance(option.value, str | int) for option in node.options)
    # A repeated or unknown option has no keyword argument.
    if node.options and plain and len(set(names)) == len(names) and usual.issuperset(names):
        return {option.name: _Piece([_literal(option.value)]) for option in node.options}
    return {"options": _text(options_text(node.options))}


def _literal(value: object) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)
