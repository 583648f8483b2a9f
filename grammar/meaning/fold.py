"""Constant folding: operators, casts and pure functions on known values, with PostgreSQL's results.

Every function takes values and gives a value, or None for "only the database can tell"; FoldError says that PostgreSQL
would refuse, and where. Nothing here knows about steps.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

from pgweave.grammar.kinds import MAX_TEXT
from pgweave.grammar.meaning.jsonb import BadJson, Json, Member, parse_json, render_jsonb, render_number
from pgweave.grammar.meaning.static_values import (
    ArrayValue,
    BooleanValue,
    BrokenValue,
    JsonValue,
    NullValue,
    NumberValue,
    OpaqueValue,
    PartialIf,
    StepValue,
    TextValue,
    Value,
)
from pgweave.grammar.nodes import Text
from pgweave.grammar.reading.keywords import NEEDS_QUOTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgweave.grammar.span import Span

INTEGER_RANGE = range(-(2**31), 2**31)
BIGINT_RANGE = range(-(2**63), 2**63)
_OF_BITS = {16: ("smallint", range(-(2**15), 2**15)), 32: ("integer", INTEGER_RANGE), 64: ("bigint", BIGINT_RANGE)}
_MAX_DIGITS = 1000  # more than any program needs; keeps arithmetic on hostile numbers cheap


class FoldError(ValueError):
    """PostgreSQL would refuse to compute this. case: the variant of PW026 that says why; fields: what it is filled with."""

    def __init__(self, case: str, span: Span, **fields: object) -> None:
        super().__init__(case)
        self.case = case
        self.span = span
        self.fields = fields


def number(text: str, span: Span) -> NumberValue:
    """Read a numeric literal: decimal, hexadecimal, octal or binary, with underscores."""
    digits = text.replace("_", "").lower()
    if digits[:2] in ("0x", "0o", "0b"):
        return _integer_literal(int(digits, 0), span)
    # bigint has 19 digits at most. Longer literals go by Decimal: int() refuses more than 4,300 digits.
    if digits.isdecimal() and len(digits) <= 19:
        return _integer_literal(int(digits), span)
    value = Decimal(digits)
    # numeric's own limits: 131,072 digits before the point, 16,383 behind it.
    if value.adjusted() > 131_071 or value.adjusted() < -16_383:
        raise FoldError("numeric-overflow", span)
    return NumberValue(span=span, number=value)


def _integer_literal(value: int, span: Span) -> NumberValue:
    """An integer literal is of the smallest type from integer on that has room for it; beyond bigint it is a numeric."""
    # In hexadecimal, since str() of an integer with more than 4,300 digits is an error in Python.
    if len(hex(value)) > 4 * _MAX_DIGITS:
        raise FoldError("numeric-overflow", span)
    if value not in BIGINT_RANGE:
        return NumberValue(span=span, number=Decimal(value))
    return NumberValue(span=span, number=value, bits=32 if value in INTEGER_RANGE else 64)


def computed(value: str, span: Span) -> TextValue:
    """Text that is written nowhere as it is; every character maps to the start of its expression."""
    if len(value) > MAX_TEXT:
        raise FoldError("long-result", span, limit=f"{MAX_TEXT:,}")
    return TextValue(span=span, pieces=[Text(value, span)])


def as_text(value: Value) -> Text | None:
    """The value as PostgreSQL prints it, or None if that is not known here. NULL has no text."""
    match value:
        case TextValue():
            return value.text
        case NumberValue():
            return Text(_plain(value.number), value.span)
        case BooleanValue():
            return Text("true" if value.value else "false", value.span)
        case JsonValue():
            return render_jsonb(value.json)
        case _:
            return None


def _plain(value: int | Decimal) -> str:
    return str(value) if isinstance(value, int) else render_number(value)


def concatenate(left: Value, right: Value, span: Span) -> Value | None:
    """`left || right`, for text. NULL gives NULL; jsonb and arrays have a `||` of their own, left to the database."""
    if isinstance(left, NullValue) or isinstance(right, NullValue):
        return NullValue(span=span)
    # 1 || 2: PostgreSQL has no such operator; one side has to be text, the other may be anything that has a
    # text.
    if not (isinstance(left, TextValue) or isinstance(right, TextValue)):
        return None
    # '{}'::jsonb || 'x' merges two objects, and reads the literal as jsonb.
    if any(isinstance(side, JsonValue | ArrayValue) for side in (left, right)):
        return None
    first, second = _pieces(left), _pieces(right)
    if first is None or second is None:
        return None
    # In place, so that a chain of n pieces does not copy its list n times: the left operand has no other reader.
    first.extend(second)
    return TextValue(span=span, pieces=first)


def _pieces(value: Value) -> list[Text] | None:
    if isinstance(value, TextValue):
        return value.pieces
    text = as_text(value)
    return None if text is None else [text]


def arithmetic(symbol: str, left: Value, right: Value, span: Span) -> Value | None:
    """`+ - * / %` on numbers. Division of numerics has scale rules of its own and is left to the database.

    7 / 2         3, integer        -7 / 2       -3: rounds towards zero
    -7 % 2        -1: the sign of the left operand, not Python's
    2147483647 + 1    FoldError: integer out of range, for both operands are integer
    """
    a, b = _operand(left, right), _operand(right, left)
    if a is None or b is None:
        return None
    if isinstance(a, NullValue) or isinstance(b, NullValue):
        return NullValue(span=span)
    if symbol in "/%" and b == 0:
        raise FoldError("by-zero", span)
    if isinstance(a, int) and isinstance(b, int):
        # Python's // rounds down: -7 // 2 is -4, where PostgreSQL's -7 / 2 is -3.
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if symbol in "/%" else 0
        result = {"+": a + b, "-": a - b, "*": a * b, "/": quotient, "%": a - quotient * b}[symbol]
        bits = max(side.bits for side in (left, right) if isinstance(side, NumberValue))
        name, allowed = _OF_BITS[bits]  # the result has the larger of the operands' types, and must fit into it
        if result not in allowed or a not in allowed or b not in allowed:
            raise FoldError("out-of-range", span, type=name)
        return NumberValue(span=span, number=result, bits=bits)
    # 1.0 / 3 has 20 digits behind the point in PostgreSQL, chosen from the weights of both operands
    # (select_div_scale).
    if symbol in "/%":
        return None
    a, b = Decimal(a), Decimal(b)
    if max(len(a.as_tuple().digits), len(b.as_tuple().digits), abs(a.adjusted()), abs(b.adjusted())) > _MAX_DIGITS:
        return None
    # Exact, as numeric is: a product has as many digits as both factors, a sum of 1e1000 and 1e-1000 twice that many.
    with localcontext() as context:
        context.prec = 6 * _MAX_DIGITS
        return NumberValue(span=span, number={"+": a + b, "-": a - b, "*": a * b}[symbol])


def _operand(value: Value, other: Value) -> int | Decimal | NullValue | None:
    """A number, also one written as a bare literal beside a number: `1 + '2'`."""
    if isinstance(value, NumberValue):
        return value.number
    if isinstance(value, NullValue):
        return value
    # With two literals PostgreSQL does not know which `+` is meant: '1' + '2' is refused, 1 + '2' is 3.
    if isinstance(value, TextValue) and value.unknown and isinstance(other, NumberValue):
        return to_integer(value.text.value, BIGINT_RANGE)
    return None


def signed(symbol: str, operand: Value, span: Span) -> Value | None:
    """`-x`, `+x`."""
    if isinstance(operand, NullValue):
        return NullValue(span=span)
    if not isinstance(operand, NumberValue):
        return None
    value = operand.number
    if symbol == "-":
        value = -value if isinstance(value, int) else value.copy_negate()  # unary minus would round to the context
    if isinstance(value, int) and value not in _OF_BITS[operand.bits][1]:
        raise FoldError("out-of-range", span, type=_OF_BITS[operand.bits][0])
    return NumberValue(span=span, number=value, bits=operand.bits)


_INTEGER = re.compile(r"\s*([+-]?(?:[0-9](?:_?[0-9])*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+))\s*")


def to_integer(text: str, allowed: range) -> int | None:
    """Read text as PostgreSQL's integer types do; None if it is no such number."""
    found = _INTEGER.fullmatch(text)
    if found is None or len(text) > _MAX_DIGITS:
        return None
    digits = found.group(1).replace("_", "")
    # int(.., 0) refuses leading zeros, which PostgreSQL takes: '007' is 7.
    value = int(digits, 0) if re.match("[+-]?0[xXoObB]", digits) else int(digits)
    return value if value in allowed else None


_TEXT_TYPES = frozenset({"text", "varchar"})
_OF_LENGTH = frozenset(
    {"varchar(..)", "char(..)", "character(..)", "nchar(..)", "bpchar(..)", "char", "character", "nchar"}
)
# NAMEDATALEN - 1; a longer name is cut by PostgreSQL, in the middle of the text but never of a character.
_LONGEST_NAME = 63  # bytes
_INTEGER_TYPES = {"int": 32, "integer": 32, "int4": 32, "int8": 64, "bigint": 64, "int2": 16, "smallint": 16}  # bits
_BOOLEANS = {
    **dict.fromkeys(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"), False),
}


def cast(value: Value, type_name: str, span: Span, length: int | None = None) -> Value | None:
    """`value::type`. length: the number in the parentheses of the type.

    'SELECT 1'::varchar(6)      SELECT
    'SELECT 1  '::char(20)      SELECT 1: its blanks at the end are lost when it becomes text, as a step does
    """
    if isinstance(value, NullValue):
        return NullValue(span=span)
    if type_name in _OF_LENGTH or type_name in ("name", "bpchar"):
        return _cut(value, type_name, span, length)
    if type_name in _TEXT_TYPES:
        pieces = _pieces(value)
        return None if pieces is None else TextValue(span=span, pieces=pieces)
    if type_name == "jsonb":
        return to_jsonb(value, span)
    if type_name in _INTEGER_TYPES:
        return _cast_integer(value, type_name, span)
    if type_name in ("numeric", "decimal"):
        return _cast_numeric(value, span)
    if type_name in ("bool", "boolean"):
        return _cast_boolean(value, span)
    return None


def _cut(value: Value, type_name: str, span: Span, length: int | None) -> Value | None:
    """Text as a type that takes no more than so many characters, or bytes of a name."""
    text = as_text(value)
    if text is None:
        return None
    # bpchar without a length has no limit, char without one is char(1).
    if type_name == "bpchar":
        kept = len(text.value)
    elif type_name == "name":
        kept = len(text.value.encode(errors="surrogatepass")[:_LONGEST_NAME].decode(errors="ignore"))
    else:
        length = 1 if length is None and "(" not in type_name else length
        if length is None or not 0 < length <= _LONGEST_TEXT:
            return None  # the database refuses it, in words of its own
        kept = min(length, len(text.value))
    # PostgreSQL keeps char(n) with its blanks and drops them on the way to text. padded tells `call` that some
    # functions would still see them.
    blank_padded = type_name not in ("name", "varchar(..)")
    if blank_padded:
        kept = len(text.value[:kept].rstrip(" "))
    cut = text if kept == len(text.value) else _slice(text, 0, kept)
    return TextValue(span=span, pieces=[cut], padded=blank_padded)


_LONGEST_TEXT = 10_485_760  # characters; what PostgreSQL takes for n in varchar(n)


def to_jsonb(value: Value, span: Span) -> JsonValue | None:
    """Text read as jsonb; jsonb as it is."""
    if isinstance(value, JsonValue):
        return JsonValue(span=span, json=value.json)
    if not isinstance(value, TextValue):
        return None
    try:
        return JsonValue(span=span, json=parse_json(value.text))
    except BadJson as bad:
        raise FoldError("no-json", value.text.span_of(bad.start, bad.end), detail=bad.detail) from None


def _cast_integer(value: Value, type_name: str, span: Span) -> Value | None:
    bits = _INTEGER_TYPES[type_name]
    allowed = _OF_BITS[bits][1]
    if isinstance(value, BooleanValue):
        return NumberValue(span=span, number=int(value.value)) if bits == 32 else None  # there is no cast to int8
    if isinstance(value, TextValue):
        result = to_integer(value.text.value, allowed)
        if result is None:
            raise FoldError("not-a-number", value.span, type=type_name)
        return NumberValue(span=span, number=result, bits=bits)
    if not isinstance(value, NumberValue):
        return None
    # Before rounding: 1e100000 as an integer would be a hundred thousand digits.
    if abs(Decimal(value.number)) >= 2**64:
        raise FoldError("out-of-range", span, type=type_name)
    rounded = int(Decimal(value.number).to_integral_value(ROUND_HALF_UP))  # away from zero at .5, as numeric does
    if rounded not in allowed:
        raise FoldError("out-of-range", span, type=type_name)
    return NumberValue(span=span, number=rounded, bits=bits)


def _cast_numeric(value: Value, span: Span) -> Value | None:
    if isinstance(value, NumberValue):
        return NumberValue(span=span, number=Decimal(value.number))
    if not isinstance(value, TextValue):
        return None
    try:
        result = Decimal(value.text.value.strip())
    except InvalidOperation:
        raise FoldError("not-a-number", value.span, type="numeric") from None
    return (
        # 'NaN' and 'Infinity' are numerics, and nothing here calculates with them.
        NumberValue(span=span, number=result) if result.is_finite() and abs(result.adjusted()) < _MAX_DIGITS else None
    )


def _cast_boolean(value: Value, span: Span) -> Value | None:
    if isinstance(value, BooleanValue):
        return BooleanValue(span=span, value=value.value)
    if isinstance(value, TextValue):
        # PostgreSQL takes every unambiguous beginning of true, false, yes, no, on and off; `o` is none.
        known = _BOOLEANS.get(value.text.value.strip().lower())
        if known is None:
            raise FoldError("not-a-boolean", value.span)
        return BooleanValue(span=span, value=known)
    return None


def array(items: Sequence[Value], span: Span) -> Value | None:
    """`ARRAY[..]`, as far as its elements are known."""
    if any(isinstance(item, OpaqueValue | StepValue | PartialIf | BrokenValue) for item in items):
        return None
    return ArrayValue(span=span, items=tuple(items))


def call(name: str, arguments: Sequence[Value], span: Span) -> Value | None:
    """Call one of FUNCTIONS. None if an argument is not known, or is char(n): some functions see its blanks, some do not."""
    if any(isinstance(value, OpaqueValue | StepValue | PartialIf | BrokenValue) for value in arguments):
        return None
    # concat('a '::char(3), 'b') is `a  b`, while 'a '::char(3) || 'b' is `ab`.
    if any(isinstance(value, TextValue) and value.padded for value in arguments):
        return None
    return FUNCTIONS[name](arguments, span)


def _to_json(value: Value) -> Json | None:
    """A value as jsonb_build_object puts it in."""
    match value:
        case TextValue():
            return Json(Text(value.text.value, value.span, value.text.anchors), value.span)
        case NumberValue():
            return Json(Decimal(value.number), value.span)
        case BooleanValue():
            return Json(value.value, value.span)
        case NullValue():
            return Json(None, value.span)
        case JsonValue():
            return value.json
        case ArrayValue():
            items = [_to_json(item) for item in value.items]
            return None if None in items else Json([item for item in items if item is not None], value.span)
        case _:
            return None


def _build_object(arguments: Sequence[Value], span: Span) -> Value | None:
    # jsonb_build_object('a') raises this in PostgreSQL, in these words.
    if len(arguments) % 2:
        raise FoldError("odd-arguments", span)
    members = []
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        if isinstance(name, NullValue):
            raise FoldError("null-name", name.span)
        text = None if isinstance(name, JsonValue | ArrayValue) else as_text(name)
        json = _to_json(value)
        if text is None or json is None:
            return None
        members.append(Member(Text(text.value, name.span, text.anchors), json))
    return JsonValue(span=span, json=Json(members, span, is_object=True))


def _build_array(arguments: Sequence[Value], span: Span) -> Value | None:
    items = [_to_json(value) for value in arguments]
    return None if None in items else JsonValue(span=span, json=Json([i for i in items if i is not None], span))


def _concat(arguments: Sequence[Value], span: Span) -> Value | None:
    parts = []
    for value in arguments:
        # concat skips NULL, where `||` becomes NULL.
        text = Text("", value.span) if isinstance(value, NullValue) else _as_argument(value)
        if text is None:
            return None
        parts.append(text)
    return TextValue(span=span, pieces=parts or [Text("", span)])


def _as_argument(value: Value) -> Text | None:
    """Text of an argument of concat or format; there booleans print as `t` and `f`."""
    # true::int is 1; true::bigint and true::smallint are errors, for which the database has the words.
    if isinstance(value, BooleanValue):
        return Text("t" if value.value else "f", value.span)
    return as_text(value)


# The last alternative is a `%` that begins none of the others; so is `%*s`, whose width is an argument:
# PostgreSQL takes it, here it is reported.
_SPECIFIER = re.compile(r"%(?:%|(?:(?P<position>[0-9]+)\$)?(?P<minus>-)?(?P<width>[0-9]+)?(?P<type>[sIL]))|%")


def _format(arguments: Sequence[Value], span: Span) -> Value | None:
    """`format('%s of %2$I', 'a', 'b c')` gives `a of "b c"`, in pieces that know where each is written.

    `%s` takes the argument behind the last one taken, also if that was taken by position: `%2$s %s` takes 2 and 3.
    """
    if not arguments:
        return None
    template, values = arguments[0], arguments[1:]
    if isinstance(template, NullValue):
        return NullValue(span=span)
    if not isinstance(template, TextValue):
        return None
    parts: list[Text] = []
    place = following = 0
    text = template.text
    for found in _SPECIFIER.finditer(text.value):
        parts.append(_slice(text, place, found.start()))
        place = found.end()
        if found.group() == "%%":
            parts.append(_slice(text, found.start(), found.start() + 1))
            continue
        where = text.span_of(found.start(), found.end())
        if found["type"] is None:
            raise FoldError("specifier", where)
        # More digits than 8 are no position that a call could have, and int() of a thousand of them takes long.
        following = int(found["position"]) if found["position"] and len(found["position"]) < 9 else following + 1
        if not 1 <= following <= len(values):
            raise FoldError("too-few-arguments", where)
        piece = _formatted(found["type"], values[following - 1], where)
        if piece is None:
            return None
        width = int(found["width"]) if found["width"] and len(found["width"]) < 7 else 0
        missing = Text(" " * max(0, width - len(piece.value)), where)
        parts.extend((piece, missing) if found["minus"] else (missing, piece))
    parts.append(_slice(text, place, len(text.value)))
    return TextValue(span=span, pieces=parts or [Text("", span)])


def _slice(text: Text, start: int, end: int) -> Text:
    """text.value[start:end] with its anchors."""
    if not text.anchors:
        return Text(text.value[start:end], text.span)
    # The anchor of the first character is made by `locate`, as the text may be cut between two anchors.
    inside = tuple((at - start, source) for at, source in text.anchors_within(start + 1, end))
    return Text(text.value[start:end], text.span_of(start, end), ((0, text.locate(start)), *inside))


def _formatted(kind: str, value: Value, where: Span) -> Text | None:
    if isinstance(value, NullValue):
        if kind == "I":
            raise FoldError("null-identifier", where)
        return Text("NULL" if kind == "L" else "", where)
    text = _as_argument(value)
    if text is None or kind == "s":
        return text
    return Text(quote_identifier(text.value) if kind == "I" else quote_text(text.value), where)


def quote_text(text: str) -> str:
    """As quote_literal writes it."""
    # quote_literal writes E'..' as soon as there is a backslash, so that it reads the same with
    # standard_conforming_strings off.
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "E" + quoted if "\\" in text else quoted


def quote_identifier(name: str) -> str:
    """As quote_ident writes it: quotes only where they are needed."""
    # quote_ident leaves unreserved keywords bare and quotes all others: `name` is bare, `select` is not.
    if re.fullmatch("[a-z_][a-z0-9_]*", name) and name not in NEEDS_QUOTES:
        return name
    return '"' + name.replace('"', '""') + '"'


def _on_text(function: Callable[[str], str]) -> Callable[[Sequence[Value], Span], Value | None]:
    def apply(arguments: Sequence[Value], span: Span) -> Value | None:
        if len(arguments) != 1:
            return None
        if isinstance(arguments[0], NullValue):
            return NullValue(span=span)
        text = as_text(arguments[0])
        return None if text is None else computed(function(text.value), span)

    return apply


def _chr(arguments: Sequence[Value], span: Span) -> Value | None:
    code = arguments[0] if len(arguments) == 1 else None
    if isinstance(code, NullValue):
        return NullValue(span=span)
    if not isinstance(code, NumberValue) or not isinstance(code.number, int):
        return None
    if code.number <= 0 or code.number > 0x10FFFF or 0xD800 <= code.number <= 0xDFFF:
        raise FoldError("no-code-point", code.span)
    return computed(chr(code.number), span)


def _repeat(arguments: Sequence[Value], span: Span) -> Value | None:
    if len(arguments) != 2:
        return None
    text, times = arguments
    if isinstance(text, NullValue) or isinstance(times, NullValue):
        return NullValue(span=span)
    if not isinstance(text, TextValue) or not isinstance(times, NumberValue) or not isinstance(times.number, int):
        return None
    # Asked before the text is made: repeat('x', 2000000000) is one line of a program.
    if len(text.text.value) * times.number > MAX_TEXT:
        raise FoldError("long-result", span, limit=f"{MAX_TEXT:,}")
    return computed(text.text.value * max(0, times.number), span)


def _replace(arguments: Sequence[Value], span: Span) -> Value | None:
    if len(arguments) != 3:
        return None
    if any(isinstance(value, NullValue) for value in arguments):
        return NullValue(span=span)
    texts = [value.text.value for value in arguments if isinstance(value, TextValue)]
    if len(texts) != 3:
        return None
    text, old, new = texts
    if old and text.count(old) * len(new) > MAX_TEXT:
        raise FoldError("long-result", span, limit=f"{MAX_TEXT:,}")
    # replace('abc', '', 'x') is `abc` in PostgreSQL; Python would put an x between all letters.
    return computed(text.replace(old, new) if old else text, span)


FUNCTIONS: dict[str, Callable[[Sequence[Value], Span], Value | None]] = {
    "jsonb_build_object": _build_object,
    "jsonb_build_array": _build_array,
    "format": _format,
    "concat": _concat,
    "quote_literal": _on_text(quote_text),
    "quote_ident": _on_text(quote_identifier),
    "chr": _chr,
    "repeat": _repeat,
    "replace": _replace,
}
