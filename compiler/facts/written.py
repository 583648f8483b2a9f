"""Operators as they were written: rows of operands and operators without parentheses between them.

The tree of a definition in, its rows out, in the order of the rows. `'a' ~> 'b' & @> 'c'` is one row of three operands;
what is in parentheses or in a call is one operand here and a row of its own. From a row two trees can be had: the
one PostgreSQL makes, and the one that the documentation of the reference describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pgweave.grammar import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span

Tree: TypeAlias = "int | tuple[str, Tree] | tuple[str, Tree, Tree] | tuple[str, Tree, Tree, Tree]"
"""An operand by its place in the row, or an operator with what it takes: `("~>", 0, ("&", 1, 2))`."""


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand. step: what stands there; None for a name. loop: it is `@> step`, without any parentheses."""

    span: Span
    step: Step | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row. operators: one fewer than operands. lefts: for each operator the step that is its left operand."""

    operands: tuple[Operand, ...]
    operators: tuple[str, ...]
    lefts: tuple[Step, ...]

    @property
    def span(self) -> Span:
        """From the first operand to the last."""
        return self.operands[0].span | self.operands[-1].span

    def left_span(self, operator: int) -> Span:
        """What stands to the left of an operator."""
        return self.operands[0].span | self.operands[operator].span

    @property
    def plain(self) -> bool:
        """Whether both readings are the same at a glance: one symbol, or `~>` and names, and no bare loop."""
        kinds = set(self.operators)
        return (len(kinds) < 2 or kinds <= {"~>", "|=>"}) and not any(operand.loop for operand in self.operands)


def rows(root: Step) -> Iterator[Row]:
    """Every row of a definition that two people may read differently, outermost first."""
    inner: set[Step] = set()
    for step in root.walk():
        if step.children and step not in inner:
            row, spine = _row(step)
            inner.update(spine)
            if not row.plain:
                yield row


def _row(top: Step) -> tuple[Row, list[Step]]:
    """The row that ends with `top`, and the steps on its left edge, which have no row of their own."""
    operands: list[Operand] = []
    operators: list[str] = []
    lefts: list[Step] = []
    spine: list[Step] = []
    #     'a' ~> 'b' |=> 'x' & 'c'     top is the &; its left edge is walked down, so all lists are made backwards
    #     operands   c, x, b, a        reversed at the end
    #     operators  &, |=>, ~>
    step, named = top, False
    while True:
        node, binding = step.node, step.node.binding
        # A name is an operator of the row although it makes no node: first its name is taken off, then the same
        # step is read once more without it.
        if binding is not None and not named:
            if binding.operator is None or binding.target is None:
                operands.append(Operand(node.outer, step))
                break
            operands.append(Operand(binding.span))
            operators.append("|=>")
            lefts.append(step)
            # (a ~> b) |=> 'x': what is in the parentheses is one operand here.
            if binding.grouped:
                operands.append(Operand(binding.target, step))
                break
            named = True
            continue
        parts = _parts(step)
        if parts is None:
            span = step.node.binding.target if named and step.node.binding else None
            operands.append(_operand(step, span))
            break
        left, right = parts
        for symbol, operand in reversed(right):
            operands.append(_operand(operand))
            operators.append(symbol)
            lefts.append(left)
        # The left edge of the row ends at a parenthesis.
        if left.node.parens is not None:
            operands.append(_operand(left))
            break
        spine.append(left)
        step, named = left, False
    return Row(tuple(reversed(operands)), tuple(reversed(operators)), tuple(reversed(lefts))), spine


def _parts(step: Step) -> tuple[Step, list[tuple[str, Step]]] | None:
    """Left operand, and the operators with what is to their right; None for what is one operand."""
    if step.node.operator is None:
        return None
    match step.node:
        case nodes.Then():
            return step.children[0], [("~>", step.children[1])]
        case nodes.Join() if len(step.children) == 2:
            return step.children[0], [("&", step.children[1])]
        case nodes.Race():
            return step.children[0], [("|", step.children[1])]
        case nodes.If():
            yes, no, condition = step.children
            return condition, [("?>", yes), ("!>", no)]
        case _:
            return None


def _operand(step: Step, span: Span | None = None) -> Operand:
    return Operand(span or step.node.outer, step, loop=_is_bare_loop(step.node))


def _is_bare_loop(node: Node) -> bool:
    """`@> step`; with parentheses behind the `@>` nobody can take it for more than it is."""
    return (
        isinstance(node, nodes.Loop) and node.operator is not None and node.parens is None and node.body.parens is None
    )


def actual(row: Row) -> Tree:
    """As PostgreSQL groups: from the left."""
    tree = _prefixed(row, 0)
    for at, symbol in enumerate(row.operators, 1):
        operand = _prefixed(row, at)
        if symbol == "|=>":
            tree = _named(tree, at)
        elif symbol == "!>" and isinstance(tree, tuple) and tree[0] == "?>":
            tree = ("if", tree[1], tree[2], operand)  # type: ignore[misc]
        else:
            tree = (symbol, tree, operand)
    return tree


def _prefixed(row: Row, at: int) -> Tree:
    return ("@>", at) if row.operands[at].loop else at


def _named(tree: Tree, name: Tree) -> Tree:
    """The name of a sequence is the name of its last step: the same value either way."""
    if isinstance(tree, tuple) and tree[0] == "~>" and len(tree) == 3:
        return ("~>", tree[1], _named(tree[2], name))
    return ("|=>", tree, name)


def documented(row: Row) -> Tree:
    """As the reference's documentation says: `|=>`, then `&`, `|`, `~>`, then `?> !>`, and `@>` takes all it can."""
    return _Documented(row).choice()


class _Documented:
    """Reads a row by precedence. at: the operand that comes next. opened: the one whose `@>` has been read."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.at = 0
        self.opened = -1

    def choice(self) -> Tree:
        """A condition with its arms, or what binds tighter."""
        condition = self.chain(0)
        if self._operator() != "?>":
            return condition
        yes = self.chain(0)
        return ("if", condition, yes, self.choice()) if self._operator() == "!>" else ("?>", condition, yes)

    def chain(self, level: int) -> Tree:
        """Operators of one level and everything that binds tighter."""
        if level == len(_LEVELS):
            return self.operand()
        symbol = _LEVELS[level]
        tree = self.chain(level + 1)
        while self._operator() == symbol:
            right = self.chain(level + 1)
            tree = _named(tree, right) if symbol == "|=>" else (symbol, tree, right)
        return tree

    def operand(self) -> Tree:
        """One operand; behind `@>` everything that follows."""
        at = self.at
        # The operand is met twice: once for its `@>`, which takes all that follows, and then as what is
        # repeated.
        if self.row.operands[at].loop and at != self.opened:
            self.opened = at
            return ("@>", self.choice())
        self.at += 1
        return at

    def _operator(self) -> str | None:
        return self.row.operators[self.at - 1] if 0 < self.at <= len(self.row.operators) else None


_LEVELS = ("~>", "|", "&", "|=>")
