"""What an expression is worth before the program runs: a known value, a step, or something only the database knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pgweave.grammar.catalogue import phrase
from pgweave.grammar.nodes import Text

if TYPE_CHECKING:
    from decimal import Decimal

    from pgweave.grammar.meaning.jsonb import Json
    from pgweave.grammar.nodes import Node
    from pgweave.grammar.span import Span


@dataclass(slots=True, kw_only=True)
# Not frozen, unlike the nodes: `parens` is set when the parentheses around a value are read, and the value has
# one owner.
class _Value:
    """span: the expression without parentheses around it. parens: the outermost parentheses, if any."""

    span: Span
    parens: Span | None = field(default=None)

    @property
    def outer(self) -> Span:
        """The expression with its parentheses."""
        return self.parens or self.span


@dataclass(slots=True, kw_only=True)
class TextValue(_Value):
    """A string. unknown: a bare literal, which PostgreSQL still takes for whatever type is needed. padded: of type char(n).

    Kept in pieces until the text is asked for: a chain of `||` would otherwise copy it at every operator.
    """

    pieces: list[Text]
    unknown: bool = False
    padded: bool = False

    @property
    def text(self) -> Text:
        """The whole text, with its anchors."""
        # Joined once and kept joined: `text` is asked for several times, by the checks of an argument and then
        # by its node.
        if len(self.pieces) > 1:
            self.pieces = [join_texts(self.pieces, self.span)]
        return self.pieces[0]


@dataclass(slots=True, kw_only=True)
class NumberValue(_Value):
    """An integer (int) or a numeric (Decimal). bits: of the integer's type, 16, 32 or 64."""

    number: int | Decimal
    bits: int = 32


@dataclass(slots=True, kw_only=True)
class BooleanValue(_Value):
    """TRUE or FALSE."""

    value: bool


@dataclass(slots=True, kw_only=True)
class NullValue(_Value):
    """NULL of any type."""


@dataclass(slots=True, kw_only=True)
class JsonValue(_Value):
    """A jsonb value."""

    json: Json


@dataclass(slots=True, kw_only=True)
class ArrayValue(_Value):
    """`ARRAY[..]` of known values."""

    items: tuple[Value, ...]


@dataclass(slots=True, kw_only=True)
class StepValue(_Value):
    """Text that is Durofut JSON: a step."""

    node: Node


@dataclass(slots=True, kw_only=True)
class PartialIf(_Value):
    """`condition ?> then_branch`, which waits for its `!>`. operator: the `?>`.

    taken: another operator that came before the `!>` and took the half-built if as its left side, by mistake.
    """

    condition: Node
    then_branch: Node
    operator: Span
    taken: Span | None = None


@dataclass(slots=True, kw_only=True)
class OpaqueValue(_Value):
    """Only the database can tell. operands: the steps inside that are known all the same.

    type: if it is known and neither text nor a number nor jsonb, so that no argument of a df call can take it;
    `column` for the name of a column where there is no table.
    """

    operands: tuple[Node, ...] = ()
    type: str = ""


@dataclass(slots=True, kw_only=True)
class BrokenValue(_Value):
    """Has been reported; the expression around it is broken too, and that is not reported again."""


Value: TypeAlias = (
    TextValue
    | NumberValue
    | BooleanValue
    | NullValue
    | JsonValue
    | ArrayValue
    | StepValue
    | PartialIf
    | OpaqueValue
    | BrokenValue
)


def join_texts(pieces: list[Text], span: Span) -> Text:
    """One text of many, which still knows where each part stands."""
    anchors: list[tuple[int, int]] = []
    length = 0
    for piece in pieces:
        if piece.value:
            # A computed piece has no anchors: all of it is said to stand where its expression begins.
            # An anchor for each piece, even where two pieces follow each other in the file: between two anchors
            # offsets run in step, and between `'a' || 'b'` there is an operator in the file and nothing in the
            # value.
            anchors.extend((length + at, source) for at, source in piece.anchors or ((0, piece.span.start),))
        length += len(piece.value)
    return Text("".join(piece.value for piece in pieces), span, tuple(anchors))


def steps_in(values: tuple[Value, ...] | list[Value]) -> tuple[Node, ...]:
    """The steps known inside of these values."""
    found: list[Node] = []
    for value in values:
        match value:
            case StepValue():
                found.append(value.node)
            case OpaqueValue():
                found.extend(value.operands)
            # A half-built if inside of unknown SQL, concat('a' ?> 'b', x): both of its steps are checked,
            # though no node joins them.
            case PartialIf():
                found.extend((value.condition, value.then_branch))
            case ArrayValue():
                found.extend(steps_in(value.items))
            case _:
                pass
    return tuple(found)


_OF_TYPE = {"boolean": "is-boolean", "record": "is-record", "column": "is-column"}


def describe(value: Value) -> str:
    """What a value is, in the words of a diagnostic: `a number`."""
    match value:
        case TextValue():
            return phrase("is-text")
        case NumberValue():
            if not isinstance(value.number, int):
                # 60.0: "with decimals" would be wrong to the eye, and "a whole number" is what was asked for.
                whole = value.number == value.number.to_integral_value()
                return phrase("is-numeric" if whole else "is-decimal")
            return phrase("is-bigint" if value.bits > 32 else "is-integer")
        case BooleanValue():
            return phrase("is-boolean")
        case NullValue():
            return phrase("is-null")
        case JsonValue():
            return phrase("is-jsonb")
        case ArrayValue():
            return phrase("is-array")
        case StepValue():
            return phrase("is-step")
        case PartialIf():
            return phrase("is-half-if")
        case OpaqueValue() if value.type in _OF_TYPE:
            return phrase(_OF_TYPE[value.type])
        case OpaqueValue() if value.type:
            return phrase("is-of-type", type=value.type)
        case _:
            return phrase("is-unknown")
