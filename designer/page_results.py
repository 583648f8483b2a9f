"""A result in the database's JSON text -> what a page shows: a table of texts, numbers with all their digits."""

from __future__ import annotations

from pgweave.designer.protocol import Rows
from pgweave.observe import stored_json

MAX_ROWS = 200  # of a result that are sent to a page
MAX_CELL = 10_000  # characters of one value


def rows(text: str) -> Rows:
    """A table where the result is one, else its text."""
    value = stored_json.read(text)
    table = stored_json.rows(value)
    if table is None:
        said = str(value) if isinstance(value, str) else stored_json.written(value, "\n")
        return Rows(columns=[], rows=[], row_count=0, cut=len(said) > MAX_CELL, text=said[:MAX_CELL])
    count = value.get("row_count")
    return Rows(
        columns=table.columns,
        rows=[[_cell(one) for one in row] for row in table.rows[:MAX_ROWS]],
        row_count=int(count) if isinstance(count, stored_json.Number) and count.isdigit() else len(table.rows),
        cut=len(table.rows) > MAX_ROWS,
        text=None,
    )


def _cell(value: object) -> str | None:
    if value is None:
        return None
    said = str(value) if isinstance(value, str) else stored_json.written(value)
    return said if len(said) <= MAX_CELL else said[:MAX_CELL] + "…"
