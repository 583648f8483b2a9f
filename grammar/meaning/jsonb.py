"""JSON text -> values that know their place in the program, and back to text as PostgreSQL's jsonb writes it.

Used for options and headers written as literals, for futures that are themselves Durofut JSON, and for folding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from pgweave.grammar.catalogue import phrase
from pgweave.grammar.nodes import Text
from pgweave.grammar.span import Span

MAX_JSON_DEPTH = 400  # two frames a level stay below Python's limit; a graph of 256 levels needs 257


class BadJson(ValueError):
    """Text that PostgreSQL would not take as jsonb. case: the phrase of the catalogue that says why; detail: its words.

    start, end: where, in the JSON text.
    """

    def __init__(self, case: str, start: int, end: int, **fields: object) -> None:
        super().__init__(case)
        self.case = case
        self.detail = phrase(case, **fields)
        self.start = start
        self.end = end


@dataclass(slots=True)
class Member:
    """One `"name": value` of an object."""

    name: Text
    value: Json


@dataclass(slots=True)
class Json:
    """A JSON value. value: members of an object, items of an array, Text, Decimal, bool or None."""

    value: list[Member] | list[Json] | Text | Decimal | bool | None
    span: Span
    is_object: bool = field(default=False)

    @property
    def members(self) -> list[Member] | None:
        """Members of an object, duplicates and all; None for anything else."""
        return self.value if self.is_object else None  # type: ignore[return-value]

    @property
    def items(self) -> list[Json] | None:
        """Items of an array; None for anything else."""
        return self.value if isinstance(self.value, list) and not self.is_object else None  # type: ignore[return-value]

    def get(self, name: str) -> Json | None:
        """The member called `name`, the last one of equals."""
        # The last, as in jsonb; the others stay in `members`, for the checks that look for repetitions.
        found = [member.value for member in self.members or () if member.name.value == name]
        return found[-1] if found else None


Python: TypeAlias = "dict[str, Python] | list[Python] | str | int | float | bool | None"

_TOKEN = re.compile(
    r"""[ \t\n\r]*+(?:(?P<punct>[{}\[\]:,])|"(?P<string>(?:[^"\\\x00-\x1f]++|\\.)*+)"
    |(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![0-9A-Za-z_.])
    |(?P<word>true|false|null)(?![A-Za-z0-9_])|(?P<end>\Z))""",
    re.VERBOSE,
)
_BLANK = re.compile(r"[ \t\n\r]*+")
_ESCAPE = re.compile(r'[^\\]++|\\(?:u(?P<code>[0-9A-Fa-f]{4})|(?P<simple>["\\/bfnrt])|(?P<bad>.?))', re.DOTALL)
_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse_json(text: Text) -> Json:
    """Read JSON as jsonb does. BadJson if it is not; never RecursionError, since depth is limited."""
    return _Reader(text).run()


class _Reader:
    """One loop over the tokens; containers that are not closed yet are in `open`, each with its pending name.

    {"a": [1, 2]}       open               expect
    {                   {}                 name}
    "a" :               {}                 colon, then value
    [                   {} []              value]
    1                   {} [1]             comma
    , 2 ]               {"a": [1, 2]}      comma
    }                                      done
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        self.value = text.value
        self.at = 0
        self.open: list[Json] = []
        self.names: list[Text | None] = []
        self.done: Json | None = None
        self.expect = "value"  # value, value], name, name}, colon, comma: value] may also be the end of an array

    def run(self) -> Json:
        while True:
            found, kind, start, end = self._token()
            what = found[kind] if kind == "punct" else kind
            if self.done is not None:
                if kind == "end":
                    return self.done
                raise BadJson("json-more", start, len(self.value))
            if self.expect == "colon":
                self._want(what == ":", "json-colon", start, end)
                self.expect = "value"
            elif (what == "}" and self.expect in ("comma", "name}")) or (
                what == "]" and self.expect in ("comma", "value]")
            ):
                self._close(what, start, end)
            elif self.expect == "comma":
                self._want(what == ",", "json-comma", start, end)
                self.expect = "name" if self.open[-1].is_object else "value"
            elif self.expect.startswith("name"):
                self._want(kind == "string", "json-name", start, end)
                self.names[-1] = self._string(start, end)
                self.expect = "colon"
            elif what in ("{", "["):
                self._enter(what, start, end)
            else:
                self._want(kind in ("string", "number", "word"), "json-value", start, end)
                self._put(self._scalar(kind, found, start, end))

    def _token(self) -> tuple[re.Match[str], str, int, int]:
        """The next token: match, kind, start, end."""
        found = _TOKEN.match(self.value, self.at)
        if found is None:
            blank = _BLANK.match(self.value, self.at)
            start = blank.end() if blank else self.at
            raise BadJson("json-bad", start, min(start + 1, len(self.value)))
        kind = found.lastgroup or ""
        self.at = found.end()
        return found, kind, found.start(kind) - (kind == "string"), found.end()

    def _want(self, condition: bool, else_case: str, start: int, end: int) -> None:
        if not condition:
            raise BadJson(else_case, start, max(end, start))

    def _enter(self, bracket: str, start: int, end: int) -> None:
        if len(self.open) >= MAX_JSON_DEPTH:
            raise BadJson("json-deep", start, end, limit=MAX_JSON_DEPTH)
        # Until it closes, the span is that of its bracket in the JSON text; _close needs its start.
        self.open.append(Json([], Span(start, end), is_object=bracket == "{"))
        self.names.append(None)
        self.expect = "name}" if bracket == "{" else "value]"

    def _close(self, bracket: str, start: int, end: int) -> None:
        container = self.open.pop()
        self._want(container.is_object == (bracket == "}"), "json-bracket", start, end)
        self.names.pop()
        container.span = self.text.span_of(container.span.start, end)
        self._put(container)

    def _put(self, value: Json) -> None:
        """Put a finished value where it belongs."""
        if not self.open:
            self.done = value
            return
        container, name = self.open[-1], self.names[-1]
        assert isinstance(container.value, list)
        if container.is_object:
            assert name is not None
            container.value.append(Member(name, value))  # type: ignore[arg-type]
        else:
            container.value.append(value)  # type: ignore[arg-type]
        self.expect = "comma"

    def _scalar(self, kind: str, found: re.Match[str], start: int, end: int) -> Json:
        span = self.text.span_of(start, end)
        if kind == "string":
            return Json(self._string(start, end), span)
        if kind == "word":
            return Json(_CONSTANTS[found[kind]], span)
        # No float: jsonb keeps numeric, 0.1 stays 0.1 and 12345678901234567890 keeps its digits.
        number = Decimal(found[kind])
        if (
            abs(number.adjusted()) > 131_000 or len(found[kind]) > 131_000
        ):  # numeric has 131,072 digits before the point
            raise BadJson("json-number", start, end)
        return Json(number, span)

    def _string(self, start: int, end: int) -> Text:
        r"""Decode value[start:end], quotes included, with anchors that lead through JSON and SQL escapes.

        In the SQL literal '["it''s \u00e9!"]' the value is `it's é!`, with one anchor for its start, one behind the quote
        that SQL doubles, one for the escape of JSON and one behind it.
        """
        pieces: list[str] = []
        anchors: list[tuple[int, int]] = []
        length, high = 0, None
        for found in _ESCAPE.finditer(self.value, start + 1, end - 1):
            place = found.start()
            if found["bad"] is not None:
                raise BadJson("json-escape", place, min(place + 2, end))
            code = found["code"]
            # \ud83d\ude00 is one character of two escapes. The anchor is that of the first.
            if high is not None:  # the first half of a pair: nothing but the second may follow
                if code is None or not 0xDC00 <= int(code, 16) <= 0xDFFF:
                    raise BadJson("json-half-pair", high[1], place)
                piece = chr(0x10000 + ((high[0] - 0xD800) << 10) + (int(code, 16) - 0xDC00))
                place, high = high[1], None
            elif code is not None:
                point = int(code, 16)
                # \u0000 is JSON but no text of PostgreSQL; the second half of a pair alone is neither.
                if point == 0 or 0xDC00 <= point <= 0xDFFF:
                    raise BadJson("json-character", place, found.end())
                if 0xD800 <= point <= 0xDBFF:
                    high = (point, place)
                    continue
                piece = chr(point)
            else:
                piece = _SIMPLE[found["simple"]] if found["simple"] else found.group()
            anchors.extend(self._through(place, len(piece) if piece == found.group() else 1, length))
            pieces.append(piece)
            length += len(piece)
        if high is not None:
            raise BadJson("json-half-pair", high[1], end)
        if not anchors:
            anchors.append((0, self.text.locate(start + 1)))
        return Text("".join(pieces), self.text.span_of(start, end), tuple(anchors) if self.text.anchors else ())

    def _through(self, start: int, size: int, offset: int) -> list[tuple[int, int]]:
        """Anchors for value[start:start+size], which becomes result[offset:], by way of the literal's own anchors."""
        inside = [pair for pair in self.text.anchors_within(start, start + size) if pair[0] > start]
        return [(offset, self.text.locate(start)), *((offset + at - start, source) for at, source in inside)]


def to_python(json: Json) -> Python:
    """The value as Python's own json module would read it; of equal names the last counts."""
    if json.members is not None:
        return {member.name.value: to_python(member.value) for member in json.members}
    if json.items is not None:
        return [to_python(item) for item in json.items]
    value = json.value
    if isinstance(value, Text):
        return value.value
    if isinstance(value, Decimal):
        rendered = render_number(value)
        # 400: int() of a number with thousands of digits is slow and then refused; a float of it is infinite,
        # see printer._dumps.
        return float(rendered) if "." in rendered or len(rendered) > 400 else int(rendered)
    assert value is None or isinstance(value, bool)
    return value


def render_number(number: Decimal) -> str:
    """As PostgreSQL's numeric writes it: no exponent, digits kept, no negative zero."""
    text = format(number, "f")
    # Decimal knows -0, numeric does not.
    return text[1:] if text.startswith("-") and not number else text


_JSON_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')


def quote_json(text: str) -> str:
    """A JSON string as jsonb writes it: only what must be escaped is."""
    return '"' + _TO_ESCAPE.sub(_escaped, text) + '"'


def _escaped(found: re.Match[str]) -> str:
    return _JSON_ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}")


def render_jsonb(json: Json) -> Text:
    """The text PostgreSQL gives for the jsonb value: names by length then bytes, the last of equals, spaces after `:` and `,`.

    {"bb":1, "a":2, "a":3} gives {"a": 3, "bb": 1}. Strings keep the anchors that lead to their source.
    """
    pieces: list[str] = []
    anchors: list[tuple[int, int]] = []
    length = 0

    def put(text: str, source: int | None = None) -> None:
        nonlocal length
        if source is not None:
            anchors.append((length, source))
        pieces.append(text)
        length += len(text)

    def string(text: Text) -> None:
        put('"', text.span.start)
        if not text.anchors:
            put(quote_json(text.value)[1:], text.span.start)
            return
        place = 0
        for escaped in [*_TO_ESCAPE.finditer(text.value), None]:
            end = len(text.value) if escaped is None else escaped.start()
            anchors.append((length, text.locate(place)))
            anchors.extend((length + at - place, source) for at, source in text.anchors_within(place + 1, end))
            put(text.value[place:end])
            if escaped is not None:
                put(_escaped(escaped), text.locate(end))
                place = escaped.end()
        put('"', text.locate(len(text.value)))

    def write(value: Json) -> None:
        if value.members is not None:
            last = {member.name.value: member for member in value.members}
            put("{", value.span.start)
            # jsonb sorts by length and then by bytes: {"b": 1, "aa": 2}, not {"aa": 2, "b": 1}. The text has to
            # equal the database's byte for byte.
            for i, name in enumerate(sorted(last, key=lambda name: (len(name.encode()), name.encode()))):
                put(", " if i else "")
                string(last[name].name)
                put(": ")
                write(last[name].value)
            put("}", max(value.span.start, value.span.end - 1))
        elif value.items is not None:
            put("[", value.span.start)
            for i, item in enumerate(value.items):
                put(", " if i else "")
                write(item)
            put("]", max(value.span.start, value.span.end - 1))
        elif isinstance(value.value, Text):
            string(value.value)
        elif isinstance(value.value, Decimal):
            put(render_number(value.value), value.span.start)
        else:
            put({True: "true", False: "false", None: "null"}[value.value], value.span.start)  # type: ignore[index]

    write(json)
    return Text("".join(pieces), json.span, tuple(dict(anchors).items()))
