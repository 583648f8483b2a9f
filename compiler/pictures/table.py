"""Rows as an aligned table for people: what `compile --emit rows --style table` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgweave.compiler.rows import Graph

_COLUMNS = ("id", "node_type", "left_node", "right_node", "result_name", "query")


def table(graph: Graph) -> str:
    """One line for each row, in their order; line ends and control characters of a query are spelled out."""
    lines = [_COLUMNS, *(tuple(_cell(getattr(row, column)) for column in _COLUMNS) for row in graph.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(padded) + "\n"


def _cell(value: str | None) -> str:
    if value is None:
        return "-"
    return value if value.isprintable() else repr(value)[1:-1]
