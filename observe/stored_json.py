"""A result in the database's JSON text -> its parts as they are stored: digits of numbers, and members of equal name.

PostgreSQL's `json` keeps both, and so do results: `SELECT 1.50, 2 AS a, 3 AS a` has three columns. Python's dictionaries
and floats keep neither.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Number(str):
    """A number, in the digits in which it is stored."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """The members of an object, in their order; names may be equal."""

    def get(self, name: str) -> object:
        """The value of a member, as `->` takes it: the last of that name."""
        return dict(self).get(name)


class Rows(NamedTuple):
    """The rows of a result. columns: their names, which may be equal; every row has a value for each of them."""

    columns: list[str]
    rows: list[list[Any]]


def read(text: str) -> Any:  # noqa: ANN401 - any JSON
    """The value of JSON text: Members for objects, Number for numbers."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=Members)


def rows(value: object) -> Rows | None:
    """The rows of a result that `read` has read; None where it has none."""
    found = value.get("rows") if isinstance(value, Members) else None
    if not isinstance(found, list) or isinstance(found, Members) or not all(isinstance(row, Members) for row in found):
        return None
    counted = [_counted(row) for row in found]
    columns = list(dict.fromkeys(column for row in counted for column in row))
    return Rows([name for name, _ in columns], [[row.get(column) for column in columns] for row in counted])


def _counted(row: Members) -> dict[tuple[str, int], Any]:
    """The values of a row by name and by how many of that name came before."""
    counted: dict[tuple[str, int], Any] = {}
    for name, value in row:
        nth = 0
        while (name, nth) in counted:
            nth += 1
        counted[name, nth] = value
    return counted


def written(value: object, line: str = "", default: Callable[[Any], str] | None = None) -> str:
    r"""JSON text again, of what `read` gave or of Python's values.

    line: the line end and indentation that members begin with ("\n" for several lines); empty: all on one line.
    default: how a value that JSON does not know becomes text.
    """
    deeper = f"{line}  " if line else ""
    match value:
        case Members() | dict():
            pairs = value.items() if isinstance(value, dict) else value
            members = [f"{_string(str(name))}: {written(one, deeper, default)}" for name, one in pairs]
            return _enclosed("{", members, "}", line, deeper)
        case list() | tuple():
            return _enclosed("[", [written(one, deeper, default) for one in value], "]", line, deeper)
        case Number() | Decimal():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=default)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _enclosed(start: str, members: list[str], end: str, line: str, deeper: str) -> str:
    if not members:
        return start + end
    return f"{start}{deeper}{(',' + (deeper or ' ')).join(members)}{line}{end}"


def distinct(columns: list[str]) -> list[str]:
    """The names with a number behind the second of each: what a dictionary can hold. a, a -> a, a (2)."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column} ({number})"
        names.append(name)
    return names


def python(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Python's values of what `read` gave: int, or Decimal where a number has a point or an exponent."""
    match value:
        case Members():
            return {name: python(one) for name, one in value}
        case list():
            return [python(one) for one in value]
        case Number():
            return int(value) if value.lstrip("-").isdigit() else Decimal(value)
        case _:
            return value
