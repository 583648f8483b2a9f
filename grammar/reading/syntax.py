"""The concrete tree of an expression: what was written, not yet what it means.

Operands and operators come as a flat row; `group` gives the row PostgreSQL's shape, by the levels of its grammar
(gram.y, the %left and %nonassoc lines) and the same rule that bison applies to them: reduce what binds tighter.
The tree may be as deep as the text is long, so nobody may walk it by recursion: use `post_order`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgweave.grammar.reading.lexer import Token


class Expr:
    """A stretch of the text that is one expression."""

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
        """What the parentheses hold."""
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
    order.reverse()
    return order


# PostgreSQL's levels, loosest first. Every operator without a level of its own is on _OTHER.
_OR, _AND, _NOT, _IS, _COMPARE, _LIKE, _ESCAPE, _OTHER, _ADD, _MULTIPLY, _POWER, _AT, _COLLATE, _SIGN = range(14)
_LEVELS = {
    "or": _OR, "and": _AND, "is": _IS,
    "<": _COMPARE, ">": _COMPARE, "=": _COMPARE, "<=": _COMPARE, ">=": _COMPARE, "<>": _COMPARE, "!=": _COMPARE,
    "between": _LIKE, "between and": _LIKE, "in": _LIKE, "like": _LIKE, "ilike": _LIKE, "similar": _LIKE,
    "escape": _ESCAPE, "+": _ADD, "-": _ADD, "*": _MULTIPLY, "/": _MULTIPLY, "%": _MULTIPLY, "^": _POWER,
    "at": _AT, "collate": _COLLATE,
}  # fmt: skip


_NO_CHAIN = frozenset({_IS, _COMPARE, _LIKE, _ESCAPE})  # %nonassoc
# Behind these PostgreSQL takes no ANY, ALL or SOME.
_NO_QUANTIFIER = frozenset({_OR, _AND, _IS, _ESCAPE, _AT, _COLLATE})
# What cannot stand between BETWEEN and its AND (b_expr has less than a_expr).
_NOT_IN_BETWEEN = frozenset({"or", "not", "between", "in", "like", "ilike", "similar", "escape", "at", "collate"})


def group(items: Sequence[Expr | Token]) -> Expr:
    """Shape a row of operands and operators as PostgreSQL does; a Chained where it would not take the row."""
    return _Grouping().run(items)


class _Grouping:
    """Bison's rule as a loop: an operator that follows takes its left operand only after what binds tighter."""

    def __init__(self) -> None:
        self.operands: list[Expr] = []
        self.operators: list[tuple[Token, int, bool]] = []  # token, level, is it a prefix
        self.between: Token | None = None  # one whose AND has not come yet
        self.chained: tuple[Token, Token] | None = None

    def run(self, items: Sequence[Expr | Token]) -> Expr:
        operands, operators = self.operands, self.operators
        operand_next = True
        for item in items:
            if isinstance(item, Expr):
                operands.append(item)
                operand_next = False
                if isinstance(item, Quantified):
                    self.close_quantified(item)
                continue
            kind = item.type
            if operand_next:
                level = {"SIGN": _SIGN, "PREFIX": _NOT}.get(kind, _OTHER)
                self.check_between(item)
                operators.append((item, level, True))
            elif kind == "SUFFIX":
                self.check_between(item)
                self.reduce(_LEVELS.get(item.value, _IS), item)
                operands.append(Unknown(operands[-1].start, item.end, (operands.pop(),)))
            elif kind == "TYPE":
                operands.append(Cast(operands[-1].start, operands.pop(), item.value, item.end))
            elif kind != "TYPECAST":
                level = _OTHER if kind == "OPERATOR" else _LEVELS.get(item.value, _OTHER)
                if self.between is not None or item.value == "between":
                    self.enter_or_leave_between(item)
                self.reduce(level, item)
                operators.append((item, level, False))
                operand_next = True
        self.reduce(-1, None)
        whole = operands[0]
        return whole if self.chained is None else Chained(whole.start, *self.chained, whole.end)

    def reduce(self, level: int, following: Token | None) -> None:
        """Close every operator that binds at least as tight as `level`; a BETWEEN stays open until its AND."""
        operands, operators = self.operands, self.operators
        while operators and operators[-1][1] >= level:
            operator, own_level, prefix = operators[-1]
            if operator is self.between and following is not None:
                return
            operators.pop()
            right = operands.pop()
            if level in _NO_CHAIN and own_level == level and following is not None:
                self.check_chain(operator, following)
            operands.append(Prefix(operator, right) if prefix else Binary(operands.pop(), operator, right))

    def close_quantified(self, item: Quantified) -> None:
        """`a = any (..)` is complete, whatever follows: `a = any (b) + c` is `(a = any (b)) + c`."""
        if self.between is not None:
            self.chained = self.chained or (self.between, item.word)
        if not self.operators or self.operators[-1][2] or self.operators[-1][1] in _NO_QUANTIFIER:
            self.chained = self.chained or (self.operators[-1][0] if self.operators else item.word, item.word)
            return
        operator, _, _ = self.operators.pop()
        right, left = self.operands.pop(), self.operands.pop()
        self.operands.append(Binary(left, operator, right))

    def check_chain(self, operator: Token, following: Token) -> None:
        """`a = b = c`."""
        if operator.value != "between":
            self.chained = self.chained or (operator, following)

    def enter_or_leave_between(self, item: Token) -> None:
        if item.value == "between and":
            opened, self.between = self.between, None
            while self.operators and self.operators[-1][0] is not opened:
                operator, _, prefix = self.operators.pop()
                right = self.operands.pop()
                self.operands.append(
                    Prefix(operator, right) if prefix else Binary(self.operands.pop(), operator, right)
                )
        else:
            self.check_between(item)
            if item.value == "between":
                self.reduce(_LIKE, item)
                self.between = item

    def check_between(self, item: Token) -> None:
        if self.between is not None and (item.value in _NOT_IN_BETWEEN or item.type == "SUFFIX"):
            self.chained = self.chained or (self.between, item)
