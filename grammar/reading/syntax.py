"""The concrete tree of an expression: what was written, not yet what it means.

Operands and operators come as a flat row; `group` makes a tree of it by the levels that df.lark gives its operators
(those of PostgreSQL's gram.y) and the rule that bison applies to them: what binds tighter is reduced first.
The tree may be as deep as the text is long, so walk it with `post_order`, never by recursion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgweave.grammar.reading.lexer import Token


class Expr:
    """A range of the text that is one expression."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.start, self.end)

    @property
    def children(self) -> Sequence[Expr]:
        """Expressions inside, in the order of the text."""
        return ()


class Literal(Expr):
    """A string, a number, NULL, TRUE or FALSE: `token.type` says which."""

    __slots__ = ("token",)

    def __init__(self, token: Token) -> None:
        super().__init__(token.start, token.end)
        self.token = token


class Unknown(Expr):
    """PostgreSQL that we do not look into. parts: the expressions inside that we do understand."""

    __slots__ = ("parts",)

    def __init__(self, start: int, end: int, parts: Sequence[Expr] = ()) -> None:
        super().__init__(start, end)
        self.parts = parts

    @property
    def children(self) -> Sequence[Expr]:
        """The understood parts."""
        return self.parts


class Row(Unknown):
    """`(1, 2)`."""

    __slots__ = ()


class Broken(Expr):
    """Something that has already been reported."""

    __slots__ = ()


class Chained(Expr):
    """`a = b = c`: two operators of a level on which PostgreSQL takes only one. first, second: those two."""

    __slots__ = ("first", "second")

    def __init__(self, start: int, first: Token, second: Token, end: int) -> None:
        super().__init__(start, end)
        self.first = first
        self.second = second


class Quantified(Unknown):
    """`ANY (..)`, `ALL (..)`, `SOME (..)`: the operator before it is complete with its closing bracket. word: the first."""

    __slots__ = ("word",)

    def __init__(self, word: Token) -> None:
        super().__init__(word.start, word.end)
        self.word = word


class Column(Expr):
    """A bare name."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[Token]) -> None:
        super().__init__(parts[0].start, parts[-1].end)
        self.parts = parts


class Parens(Expr):
    """`(inner)`."""

    __slots__ = ("inner",)

    def __init__(self, start: int, inner: Expr, end: int) -> None:
        super().__init__(start, end)
        self.inner = inner

    @property
    def children(self) -> Sequence[Expr]:
        """What stands between the parentheses."""
        return (self.inner,)


class Array(Expr):
    """`ARRAY[a, b]`; also a row of a nested one."""

    __slots__ = ("items",)

    def __init__(self, start: int, items: Sequence[Expr], end: int) -> None:
        super().__init__(start, end)
        self.items = items

    @property
    def children(self) -> Sequence[Expr]:
        """The elements."""
        return self.items


class Cast(Expr):
    """`inner::type`, `CAST(inner AS type)`, `type 'literal'`. type: the name, folded; modifiers as `(..)`."""

    __slots__ = ("inner", "type")

    def __init__(self, start: int, inner: Expr, type_name: str, end: int) -> None:
        super().__init__(start, end)
        self.inner = inner
        self.type = type_name

    @property
    def children(self) -> Sequence[Expr]:
        """What is cast."""
        return (self.inner,)


class Argument(Expr):
    """One argument of a call; `name => value` when name is given."""

    __slots__ = ("name", "value")

    def __init__(self, name: Token | None, value: Expr) -> None:
        super().__init__(name.start if name else value.start, value.end)
        self.name = name
        self.value = value


class CallExpr(Expr):
    """`schema.name(arguments)`."""

    __slots__ = ("arguments", "name")

    def __init__(self, name: Column, arguments: Sequence[Argument], end: int) -> None:
        super().__init__(name.start, end)
        self.name = name
        self.arguments = arguments

    @property
    def children(self) -> Sequence[Expr]:
        """The arguments' values."""
        return [argument.value for argument in self.arguments]

    @property
    def df_name(self) -> str | None:
        """`sleep` of `df.sleep(..)`; None when the function is not one of schema df."""
        parts = self.name.parts
        return parts[1].value if len(parts) == 2 and parts[0].value == "df" else None

    @property
    def plain_name(self) -> str | None:
        """`concat` of `concat(..)` and `pg_catalog.concat(..)`."""
        parts = [part.value for part in self.name.parts]
        if parts[0] == "pg_catalog":
            del parts[0]
        return parts[0] if len(parts) == 1 else None


class Binary(Expr):
    """`left operator right`."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, left: Expr, operator: Token, right: Expr) -> None:
        super().__init__(left.start, right.end)
        self.left = left
        self.operator = operator
        self.right = right

    @property
    def children(self) -> Sequence[Expr]:
        """Both operands."""
        return (self.left, self.right)


class Prefix(Expr):
    """`operator operand`."""

    __slots__ = ("operand", "operator")

    def __init__(self, operator: Token, operand: Expr) -> None:
        super().__init__(operator.start, operand.end)
        self.operator = operator
        self.operand = operand

    @property
    def children(self) -> Sequence[Expr]:
        """The operand."""
        return (self.operand,)


def post_order(root: Expr) -> Iterable[Expr]:
    """Every expression after the ones inside it, left before right."""
    order: list[Expr] = []
    stack = [root]
    while stack:
        expr = stack.pop()
        order.append(expr)
        stack.extend(expr.children)
    # Parents first and right before left, read backwards, is children first and left before right.
    order.reverse()
    return order


_LEVELS = VOCABULARY.levels
_NONASSOC = VOCABULARY.nonassoc
_SUFFIXES = VOCABULARY.suffix
_END = 0  # looser than every operator

# Behind these PostgreSQL takes no ANY, ALL or SOME.
_NO_QUANTIFIER = frozenset({"OR", "AND", "IS", "ESCAPE", "AT"})
# What cannot stand between BETWEEN and its AND without parentheses: gram.y has b_expr there, which is less than a_expr.
_NOT_IN_BETWEEN = frozenset({"OR", "NOT", "BETWEEN", "LIKE", "ESCAPE", "AT"}) | _SUFFIXES


def group(items: Sequence[Expr | Token]) -> Expr:
    """Make a tree of a row of operands and operators; a Chained where PostgreSQL would not take the row.

    The row is one that df.lark allows, so operands and operators come where they should.
    """
    return _Grouping().run(items)


class _Grouping:
    """Bison's rule as a loop with two stacks: before an operator is put on its stack, all that bind tighter are reduced.

    a ~> b || c + d      operands     operators
    a ~> b               a b          ~>
    .. || reduces ~>     (a~>b)       ||            both are on one level, which groups from the left
    .. + reduces nothing (a~>b) c d   || +          + is on a higher level
    at the end           ((a~>b) || (c+d))
    """

    def __init__(self) -> None:
        self.operands: list[Expr] = []
        self.operators: list[tuple[Token, int, bool]] = []  # token, level, whether it is a prefix
        self.between: Token | None = None  # one whose AND has not come yet
        self.chained: tuple[Token, Token] | None = None  # the first two operators that PostgreSQL does not chain

    def run(self, items: Sequence[Expr | Token]) -> Expr:
        """Read the row from left to right."""
        operands, operators = self.operands, self.operators
        # Tells a sign from a difference, and @> before a step from `@>` between two: both are one token to the
        # lexer.
        operand_next = True
        for item in items:
            if isinstance(item, Expr):
                operands.append(item)
                operand_next = False
                if isinstance(item, Quantified):
                    self._close_quantified(item)
                continue
            kind = item.type
            if operand_next:
                if self.between is not None:
                    self._check_between(item)
                operators.append((item, _LEVELS[kind], True))
            elif kind == "TYPE":
                # `::` binds tighter than everything before it, so its operand is complete: no operator has to
                # wait. operands[-1] is read before pop() takes it, as arguments are evaluated from left to
                # right.
                operands.append(Cast(operands[-1].start, operands.pop(), item.value, item.end))
            elif kind in _SUFFIXES:
                if self.between is not None:
                    self._check_between(item)
                self._reduce(_LEVELS[kind], item)
                operands.append(Unknown(operands[-1].start, item.end, (operands.pop(),)))
            # The `::` itself says nothing that its TYPE, the next item, does not say.
            elif kind != "TYPECAST":
                if self.between is not None or kind == "BETWEEN":
                    self._enter_or_leave_between(item)
                level = _LEVELS[kind]
                self._reduce(level, item)
                operators.append((item, level, False))
                operand_next = True
        self._reduce(_END, None)
        whole = operands[0]
        return whole if self.chained is None else Chained(whole.start, *self.chained, whole.end)

    def _reduce(self, level: int, following: Token | None) -> None:
        """Close every operator that binds at least as tight as `level`; a BETWEEN stays open until its AND."""
        operators = self.operators
        while operators and operators[-1][1] >= level:
            operator, own_level, _ = operators[-1]
            # a BETWEEN b = c AND d: the first bound is b = c, though = binds looser than BETWEEN.
            if operator is self.between and following is not None:
                return
            # `a = b = c`. The BETWEEN and the AND that belong together are of one level too, and no chain.
            chains = level in _NONASSOC and own_level == level and following is not None
            if chains and operator.type != "BETWEEN":
                self._set_chained(operator, following)
            self._reduce_last()

    def _reduce_last(self) -> None:
        """Make one expression of the last operator and its operands."""
        operands = self.operands
        operator, _, is_prefix = self.operators.pop()
        right = operands.pop()
        operands.append(Prefix(operator, right) if is_prefix else Binary(operands.pop(), operator, right))

    def _set_chained(self, operator: Token, following: Token | None) -> None:
        # Only the first is kept: what follows a mistake is not worth a word.
        if self.chained is None and following is not None:
            self.chained = (operator, following)

    def _close_quantified(self, item: Quantified) -> None:
        """`a = any (..)` is complete, whatever follows: `a = any (b) + c` is `(a = any (b)) + c`."""
        if self.between is not None:
            self._set_chained(self.between, item.word)
        operator, _, is_prefix = self.operators[-1] if self.operators else (item.word, _END, True)
        # gram.y takes ANY, ALL and SOME only behind subquery_Op: operators without a word of their own, and
        # LIKE.
        if is_prefix or operator.type in _NO_QUANTIFIER:
            self._set_chained(operator, item.word)
        else:
            self._reduce_last()

    def _enter_or_leave_between(self, item: Token) -> None:
        """An infix operator that opens a BETWEEN, ends one with its AND, or is in one."""
        if item.type == "BETWEEN_AND":
            opened, self.between = self.between, None
            while self.operators and self.operators[-1][0] is not opened:
                self._reduce_last()
            return
        self._check_between(item)
        if item.type == "BETWEEN":
            self._reduce(_LEVELS["BETWEEN"], item)
            self.between = item

    def _check_between(self, item: Token) -> None:
        if self.between is not None and item.type in _NOT_IN_BETWEEN:
            self._set_chained(self.between, item)
