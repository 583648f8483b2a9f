"""A result in the database's JSON text -> what a page shows: a table of texts, numbers with all their digits."""

from __future__ import annotations

import json
from decimal import Decimal

from pgweave.designer.protocol import Rows

MAX_ROWS = 200  # of a result that are sent to a page
MAX_CELL = 10_000  # characters of one value


def rows(text: str) -> Rows:
    """A table where the result is one, else its text."""
    value = json.loads(text, parse_float=Decimal)
    table = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        said = value if isinstance(value, str) else _json(value, "\n")
        return Rows(columns=[], rows=[], row_count=0, cut=len(said) > MAX_CELL, text=said[:MAX_CELL])
    columns = list(dict.fromkeys(name for row in table for name in row))
    count = value.get("row_count")
    return Rows(
        columns=columns,
        rows=[[_cell(row.get(column)) for column in columns] for row in table[:MAX_ROWS]],
        row_count=count if isinstance(count, int) else len(table),
        cut=len(table) > MAX_ROWS,
        text=None,
    )


def _cell(value: object) -> str | None:
    if value is None:
        return None
    said = value if isinstance(value, str) else _json(value)
    return said if len(said) <= MAX_CELL else said[:MAX_CELL] + "…"


def _json(value: object, line: str = "") -> str:
    """JSON with exact numbers. line: the line end and indentation that members begin with; empty: all on one line."""
    deeper = f"{line}  " if line else ""
    match value:
        case dict():
            members = [f"{json.dumps(name, ensure_ascii=False)}: {_json(one, deeper)}" for name, one in value.items()]
            return _enclosed("{", members, "}", line, deeper)
        case list():
            return _enclosed("[", [_json(one, deeper) for one in value], "]", line, deeper)
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _enclosed(start: str, members: list[str], end: str, line: str, deeper: str) -> str:
    if not members:
        return start + end
    return f"{start}{deeper}{(',' + (deeper or ' ')).join(members)}{line}{end}"
