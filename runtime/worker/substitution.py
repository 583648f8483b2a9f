"""Values into text: named results and variables become part of SQL, and results become truth.

In: a step's text, the named results so far (JSON text each) and the variables. Out: the text to run. Where in the
SQL a placeholder stands decides how its value is written, so that no value can change the shape of a statement;
`pgweave.grammar.template` knows where it stands, for the compiler and for the worker alike.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pgweave.grammar.template import Context, scan_raw, scan_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pgweave.grammar.span import Span
    from pgweave.grammar.template import Placeholder

MAX_ROWS = 10_000  # rows a $name.* may expand to; pg_durable's limit, kept
COUNTS = frozenset({"row_count", "rows_affected"})
"""What can be read of every statement's result, beside its columns."""

Json: TypeAlias = "str | Number | bool | list[Json] | dict[str, Json] | None"


class Number(str):
    """A JSON number with its exact digits."""

    __slots__ = ()


class Result(str):
    """A result as JSON text. columns: pairs of name and type, as JSON text, where PostgreSQL has told them."""

    __slots__ = ("columns",)

    columns: str | None

    def __new__(cls, text: str, columns: str | None = None) -> Result:
        """A text with its types."""
        self = super().__new__(cls, text)
        self.columns = columns
        return self


def columns_of(text: str | None) -> str | None:
    """The recorded columns of a named result; None where there are none."""
    return text.columns if isinstance(text, Result) else None


class ValueProblem(Exception):
    """A placeholder has no value that could replace it. The message goes to the person."""


def parse(text: str) -> Json:
    """Read JSON, numbers with their exact digits. ValueProblem when it nests too deeply for us."""
    try:
        value: Json = json.loads(
            # Numbers stay texts: as a float 0.10 would be written back as 0.1, and 1e400 as Infinity.
            text,
            parse_int=Number,
            parse_float=Number,
            parse_constant=Number,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueProblem("the result is nested too deeply") from None
    return value


def _object(members: list[tuple[str, Json]]) -> dict[str, Json]:
    """Of columns with one name (`?column?`, say) the first counts, or the first column would not be the first."""
    value = dict(members)
    if len(value) < len(members):
        value |= dict(reversed(members))
    return value


def rows_of(value: Json) -> list[Json] | None:
    """The rows of a row set: any object with an array `rows`, whatever made it."""
    rows = value.get("rows") if isinstance(value, dict) else None
    return rows if isinstance(rows, list) else None


def is_json(text: str) -> bool:
    """Whether PostgreSQL takes a text for JSON: Python also takes NaN and the infinities. ValueProblem as `parse`."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_int=Number, parse_float=Number, parse_constant=refuse)
    except ValueError:
        return False
    except RecursionError:
        raise ValueProblem("the value is nested too deeply") from None
    return True


def row_count(text: str) -> float | None:
    """The `row_count` of a result, whatever its rows; None when it is not the result of SQL."""
    value = parse(text)
    count = value.get("row_count") if isinstance(value, dict) else None
    return float(count) if isinstance(count, Number) else None


def is_true(text: str) -> bool:
    """Truth of a condition's result: the first column of the first row, or the value itself."""
    value = parse(text)
    rows = rows_of(value)
    if rows is not None:
        if not rows:
            return False
        first = rows[0]
        # A row without columns has no first column; then the row set itself is looked at.
        value = next(iter(first.values())) if isinstance(first, dict) and first else value
    return _truth(value)


def _truth(value: Json) -> bool:
    match value:
        # Number is a str, so its case comes before that of str.
        case bool():
            return value
        case None:
            return False
        case Number():
            return float(value) != 0
        case str():
            word = value.strip().lower()
            # `off` and `n` are none of these words, and so they are true.
            if word in {"", "false", "f", "no"}:
                return False
            try:
                number = float(word)
            except ValueError:
                return True
            return math.isnan(number) or number != 0
        case _:
            return len(value) > 0


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text to run. pieces: (start in the text, start in the template), one per unchanged stretch, ascending.

    template: how the template itself was rendered, if it is not what people wrote.
    """

    text: str
    pieces: tuple[tuple[int, int], ...] = ((0, 0),)
    template: Rendered | None = None

    def origin(self, offset: int) -> int:
        """Offset in what people wrote that stands behind `offset` of the text, for carets; best effort inside a value."""
        # Pieces ascend in both numbers, so the greatest that begins before the offset is the last.
        start, source = max(piece for piece in self.pieces if piece[0] <= offset)
        found = source + offset - start
        return found if self.template is None else self.template.origin(found)


def render_sql(
    template: str, names: Mapping[str, str], variables: Mapping[str, str], *, backslashes: bool = False
) -> Rendered:
    """Put values into SQL. `{name}` first, as raw text; then `$name` by where it stands. ValueProblem when one lacks.

    backslashes: whether the session takes them for escapes in '..' (standard_conforming_strings = off).
    """
    scan = partial(scan_sql, backslashes=backslashes)
    raw, inserted = _insert_variables(template, variables, scan)

    def write(place: Placeholder) -> str:
        code = _render(raw.text, place, names)
        # standard_conforming_strings = off: '..' of our own would have escapes too, so it is written as E'..'.
        if backslashes and place.context is Context.CODE and "\\" in code:
            code = _PLAIN_STRING.sub(_doubled, code)
        return _apart(raw.text, place, _undollared(place, code))

    found = [
        (place.span, write(place))
        # Scanned again: a variable may have opened a quote, and then `$name` behind it is in a string.
        for place in scan(raw.text)
        if not place.brace and place.name in names and not _overlaps(place.span, inserted)
        and place.context is not Context.COMMENT
    ]  # fmt: skip
    return replace(_splice(raw.text, found), template=raw)


def render_raw(template: str, names: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Put values into a text that is not SQL, such as an instance id: as plain text."""
    raw, inserted = _insert_variables(template, variables, scan_raw)
    found = [
        (place.span, _raw(place, names))
        for place in scan_raw(raw.text)
        if not place.brace and place.name in names and not _overlaps(place.span, inserted)
    ]
    return _splice(raw.text, found).text


def _raw(place: Placeholder, names: Mapping[str, str]) -> str:
    """The JSON value null is a value like any other; only a `?` makes an empty text of one that is not there."""
    value = _lookup(place, names)
    return "null" if value is None and not place.nullable else _plain(value)


def _insert_variables(
    template: str, variables: Mapping[str, str], scan: Callable[[str], Iterable[Placeholder]]
) -> tuple[Rendered, list[tuple[int, int]]]:
    """Replace the `{name}` forms. Also says where inserted text now stands: it is not looked at again."""
    found = [(place.span, variables[place.name]) for place in scan(template) if place.brace and place.name in variables]
    ranges: list[tuple[int, int]] = []
    shift = 0
    for span, value in found:
        ranges.append((span.start + shift, span.start + shift + len(value)))
        shift += len(value) - len(span)
    return _splice(template, found), ranges


def _overlaps(span: Span, ranges: list[tuple[int, int]]) -> bool:
    # Ranges ascend and do not overlap: only the last one that begins before the end of the span can reach into it.
    place = bisect_left(ranges, (span.end,))
    return place > 0 and span.start < ranges[place - 1][1]


def _splice(text: str, found: list[tuple[Span, str]]) -> Rendered:
    parts: list[str] = []
    pieces: list[tuple[int, int]] = [(0, 0)]
    length = position = 0
    for span, value in found:
        parts += [text[position : span.start], value]
        length += span.start - position
        pieces.append((length, span.start))
        length += len(value)
        pieces.append((length, span.end))
        position = span.end
    parts.append(text[position:])
    return Rendered("".join(parts), tuple(pieces))


def _lookup(place: Placeholder, names: Mapping[str, str]) -> Json | object:
    """The value a placeholder stands for. ValueProblem when there is none and the placeholder has no `?`.

    With r = {"rows":[{"id":7,"total":null}],"row_count":1}:

        $r        7       the first column of the first row
        $r.id     7
        $r.total  ValueProblem: NULL; as $r.total? it is NULL
        $r.n      ValueProblem: no field 'n' (available: id, total)

    $r.row_count and $r.rows_affected are those of the statement, unless it has a column of that name.
    """
    name, column = place.name, place.column
    value = parse(names[name])
    rows = rows_of(value)
    if column in COUNTS and (count := _count(value, column)) is not None:
        return count
    if rows is not None and not rows:
        if place.nullable:
            return None
        raise ValueProblem(f"${name} has no rows — query returned zero results")
    if column is None:
        if rows is None:
            # A scalar is a value of SQL: the string "done" is the text done. Of an object or array every digit and space counts.
            return names[name] if isinstance(value, dict | list) else value
        first = rows[0]
        # The order of the columns: json.loads keeps that of the text.
        value = next(iter(first.values()), None) if isinstance(first, dict) else first
        if value is None and not place.nullable:
            raise ValueProblem(f"${name} is NULL — first column of first row is NULL")
        return value
    record = value if rows is None else rows[0]
    if not isinstance(record, dict):
        raise ValueProblem(f"${name}.{column}: result is neither a row set nor a JSON object")
    if column not in record:
        if place.nullable:
            return None
        available = ", ".join(sorted(record))
        raise ValueProblem(f"${name}.{column}: result has no field '{column}' (available: {available})")
    if record[column] is None and not place.nullable:
        raise ValueProblem(f"${name}.{column} is NULL")
    return record[column]


def _count(value: Json, column: str) -> Json:
    """How many rows a statement returned or changed; None where a column of that name is meant, or nothing says it."""
    rows = rows_of(value)
    if rows is None or not isinstance(value, dict):
        return None
    columns = value.get("columns")  # of results from before column types were recorded
    has_column = (
        column in rows[0] if rows and isinstance(rows[0], dict) else isinstance(columns, list) and column in columns
    )
    return None if has_column else value.get(column)


def _plain(value: Json | object) -> str:
    """A value as bare text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return dump(value)


def dump(value: object) -> str:
    """Compact JSON, numbers with the digits they came with."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Number():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join(dump(item) for item in value)}]"
        case dict():
            members = (f"{json.dumps(key, ensure_ascii=False)}:{dump(item)}" for key, item in value.items())
            return f"{{{','.join(members)}}}"
        case _:
            raise TypeError(type(value))


_WORD = re.compile(r"[A-Za-z0-9_$.'\"\x80-\U0010ffff]")
# A string, then only white space and comments: with a line feed among them PostgreSQL joins the next string to it.
_STRING_BEFORE = re.compile(r"'(?:\s|--[^\n]*\n)*\Z")
_STRING_AFTER = re.compile(r"(?:\s|--[^\n]*\n)*'")
_NEARBY = 1000  # characters before a placeholder that are looked at for the end of a string


def _apart(text: str, place: Placeholder, value: str) -> str:
    """Keep a value in code position a token of its own: not grown together with what stands beside it."""
    if place.context is not Context.CODE or place.star:
        return value
    before = text[max(0, place.span.start - _NEARBY) : place.span.start]
    # 'a' <newline> $x would be one literal of two segments.
    if value.startswith(("'", "E'")) and (_STRING_BEFORE.search(before) or _STRING_AFTER.match(text, place.span.end)):
        return f" ({value}) "
    left = " " if _WORD.match(before[-1:]) else ""
    right = " " if _WORD.match(text, place.span.end) else ""
    return f"{left}{value}{right}"


def _render(template: str, place: Placeholder, names: Mapping[str, str]) -> str:
    if place.star:
        if place.context is not Context.CODE:
            raise ValueProblem(f"${place.name}.* is a row set; it can only be in a FROM list")
        table = _row_set(place.name, names[place.name])
        # `$b.* AS x`: the table has the alias "b" already, and PostgreSQL takes only one.
        return f"(SELECT * FROM {table})" if has_alias(template, place.span.end) else table  # noqa: S608
    value = _lookup(place, names)
    if place.context is Context.CODE:
        return _literal(value)
    text = _plain(value)
    if place.dollar and "$" in text:
        # Inside a dollar-quoted text nothing can be escaped, so a value must not be able to end it.
        raise ValueProblem(f"${place.name} holds a dollar sign, which could end the dollar-quoted text it is in")
    if "\0" in text:
        raise ValueProblem(f"${place.name} holds the character NUL, which PostgreSQL cannot store in text")
    match place.context:
        case Context.STRING:
            return text.replace("'", "''")
        case Context.ESCAPE_STRING | Context.UNICODE_STRING:
            return text.replace("\\", "\\\\").replace("'", "''")
        case Context.IDENTIFIER:
            return text.replace('"', '""')
        case _:
            return text


def _undollared(place: Placeholder, code: str) -> str:
    """Code without dollar signs where one could end the dollar-quoted body around it."""
    if place.context is not Context.CODE or not place.dollar or "$" not in code:
        return code
    # \044 is a dollar sign: E'..\044..' within $$..$$ cannot end it.
    return _PLAIN_STRING.sub(_escaped, code)


# A string of our own code, or a quoted name, in which an apostrophe means nothing.
_PLAIN_STRING = re.compile(r"""(E?)'((?:[^']|'')*)'|"(?:[^"]|"")*\"""")


def _escaped(string: re.Match[str]) -> str:
    if string[2] is None:
        return string[0]
    body = string[2] if string[1] else string[2].replace("\\", "\\\\")
    return "E'" + body.replace("$", "\\044") + "'"


def _doubled(string: re.Match[str]) -> str:
    if string[2] is None:
        return string[0]
    return "E'" + string[2].replace("\\", "\\\\") + "'"


# What stands after a table in FROM and is not its alias: the reserved words, those for functions and types, and LOOP of
# PL/pgSQL. (pg_get_keywords(): catcode R and T.)
_NO_ALIAS = """all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp loop natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table tablesample then to trailing
    true union unique user using variadic verbose when where window with"""
_NOT_ALIASES = frozenset(_NO_ALIAS.split())
_AFTER_TABLE = re.compile(
    r"""(?: \s | --[^\n]*(?:\n|\Z) | /\*(?:[^*]|\*(?!/))*\*/ )*+ (?P<word>"|[A-Za-z_\x80-\U0010ffff][\w$]*)""",
    re.VERBOSE,
)


def has_alias(text: str, offset: int) -> bool:
    """Whether the table that ends at an offset of SQL gets a name there: `$b.* AS x`, `$b.* x`, `$b.* "x"`."""
    found = _AFTER_TABLE.match(text, offset)
    return found is not None and ((word := found["word"].lower()) == "as" or word not in _NOT_ALIASES)


def _literal(value: Json | object) -> str:
    """A value in code position: it is one expression, whatever stands around it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case Number():
            # `1 -$x` with -2 would begin a comment, and -2::text would be -(2::text).
            return f"({value})" if value.startswith("-") else _number(value)
        case str():
            return _quoted(value)
        case _:
            return _quoted(dump(value))


def _number(value: Number) -> str:
    # NaN and the infinities are not numbers in JSON; to_json writes them as strings, other writers may not.
    return str(value) if value[0].isdigit() else _quoted(str(value))


def _quoted(text: str) -> str:
    if "\0" in text:
        raise ValueProblem("a value holds the character NUL, which PostgreSQL cannot store in text")
    return "'" + text.replace("'", "''") + "'"


def _row_set(name: str, text: str) -> str:
    """Code of a table: of the recorded types, or, where there are none, of those that the values look like."""
    rows = rows_of(parse(text))
    if rows is None:
        raise ValueProblem(f"${name}.* — invalid result format")
    if len(rows) > MAX_ROWS:
        raise ValueProblem(
            f"${name}.* — result has {len(rows)} rows, exceeding the maximum of {MAX_ROWS} for row-set expansion."
        )
    if (columns_text := columns_of(text)) is not None:
        return _typed_row_set(name, text, rows, json.loads(columns_text))
    records = [row for row in rows if isinstance(row, dict)]
    if not records:
        return _empty_row_set(name, text)
    # Without recorded types: the columns of the first row, as `to_json` has written them.
    columns = list(records[0])
    values = ",".join(f"({','.join(_cell(record.get(column)) for column in columns)})" for record in records)
    return f"(VALUES {values}) AS {_identifier(name)}({', '.join(map(_identifier, columns))})"


def _typed_row_set(name: str, text: str, rows: list[Json], columns: list[tuple[str, str]]) -> str:
    """PostgreSQL reads its own JSON back: it knows arrays, composite types, enums and JSON apart.

    b = {"rows":[{"id":1}], ..} with (id, integer)  ->
    pg_catalog.json_to_recordset(pg_catalog.json_extract_path('{"rows":[{"id":1}], ..}', 'rows')) AS "b"("id" integer)
    """
    kinds: dict[str, str] = {}
    for column, kind in columns:
        kinds.setdefault(column, kind)  # of columns with one name the first counts, as in `parse`
    if not kinds:
        return f"(SELECT FROM pg_catalog.generate_series(1, {len(rows)})) AS {_identifier(name)}"
    types = ", ".join(f"{_identifier(column)} {kind}" for column, kind in kinds.items())
    # Every digit and space of a json column is kept, but where two columns have one name: PostgreSQL would take the last.
    array = (
        f"pg_catalog.json_extract_path({_quoted(text)}, 'rows')" if len(kinds) == len(columns) else _quoted(dump(rows))
    )
    return f"pg_catalog.json_to_recordset({array}) AS {_identifier(name)}({types})"


def _empty_row_set(name: str, text: str) -> str:
    value = parse(text)
    columns = value.get("columns") if isinstance(value, dict) else None
    names = [str(column) for column in columns] if isinstance(columns, list) and columns else ["?column?"]
    nulls = ", ".join("NULL::text" for _ in names)
    return f"(SELECT {nulls} WHERE false) AS {_identifier(name)}({', '.join(map(_identifier, names))})"


def _cell(value: Json) -> str:
    literal = _literal(value)
    # VALUES needs one type per column; a literal in quotes has none of its own.
    return f"{literal}::text" if literal.startswith("'") else literal


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# For texts that are not SQL and have rules of their own: URLs and bodies, see `pgweave.runtime.http.http_values`.


def insert_variables(template: str, variables: Mapping[str, str]) -> tuple[str, list[Placeholder]]:
    """The text with its `{name}` forms replaced, and the `$name` forms of the template, where they are in it now."""
    raw, inserted = _insert_variables(template, variables, scan_raw)
    return raw.text, [place for place in scan_raw(raw.text) if not place.brace and not _overlaps(place.span, inserted)]


def splice(text: str, found: Iterable[tuple[Span, str]]) -> str:
    """Replace some stretches of a text, given in ascending order."""
    return _splice(text, list(found)).text


def json_value(place: Placeholder, names: Mapping[str, str]) -> Json:
    """What a placeholder stands for, as JSON: `$x` of an envelope is the whole object, `$x.*` the array of rows."""
    value = parse(names[place.name])
    rows = rows_of(value)
    if place.star:
        if rows is None:
            raise ValueProblem(f"${place.name}.* — invalid result format")
        return rows
    if place.column is None and rows is None:
        return value
    found = _lookup(place, names)
    assert found is None or isinstance(found, str | bool | list | dict)
    return found


def text_value(place: Placeholder, names: Mapping[str, str]) -> str:
    """What a placeholder stands for, as plain text."""
    return dump(json_value(place, names)) if place.star else _plain(_lookup(place, names))
