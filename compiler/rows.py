"""The contract between compiler and runtime: node rows.

A row may be a year old when a worker wakes for it, so everything the worker needs is in the row. This module
knows kinds and nothing else: no text, no AST, no database.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from pgweave.grammar.kinds import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of df.nodes, without what only the database knows.

    id: 8 lower-case hexadecimal digits, unique within the graph. query: SQL text, or a JSON configuration,
    by kind. left_node, right_node: ids.
    """

    id: str
    node_type: str
    query: str | None = None
    result_name: str | None = None
    left_node: str | None = None
    right_node: str | None = None

    @property
    def kind(self) -> Kind:
        """The row of KINDS; a KeyError means that somebody wrote the row by hand."""
        return KINDS[self.node_type]

    def config(self) -> dict[str, object]:
        """The JSON object in `query`; empty when there is none. ValueError when it is not a JSON object."""
        if self.query is None:
            return {}
        value = json.loads(self.query)
        if not isinstance(value, dict):
            raise ValueError(f"{self.node_type} node {self.id}: the configuration is not a JSON object")
        return value


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The rows of one instance in pre-order: node, left, right, condition, further branches; rows[0] is the root."""

    rows: tuple[Row, ...]

    @property
    def root(self) -> Row:
        """Where the instance begins."""
        return self.rows[0]

    @cached_property
    def by_id(self) -> dict[str, Row]:
        """Rows by id."""
        return {row.id: row for row in self.rows}

    def left(self, row: Row) -> Row:
        """The left child. KeyError when the row has none."""
        return self.by_id[row.left_node or ""]

    def right(self, row: Row) -> Row:
        """The right child. KeyError when the row has none."""
        return self.by_id[row.right_node or ""]

    def condition(self, row: Row) -> Row | None:
        """The condition of an IF or LOOP, which is in its configuration."""
        identifier = row.config().get("condition_node")
        return self.by_id[identifier] if isinstance(identifier, str) else None

    def branches(self, row: Row) -> tuple[Row, ...]:
        """The branches of a JOIN or RACE in order: left, right, then the extra ones."""
        extras = row.config().get("extra_nodes", []) if row.query is not None else []
        if not isinstance(extras, list):
            raise ValueError(f"{row.node_type} node {row.id}: extra_nodes is not a list")
        return (self.left(row), self.right(row), *(self.by_id[identifier] for identifier in extras))


def node_id(position: int) -> str:
    """The id of the row at pre-order `position` in compiled output: stable, so that equal input gives equal bytes."""
    return f"{position + 1:08x}"
