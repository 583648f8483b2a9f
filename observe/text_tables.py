"""Rows and results as text for a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from pgweave.grammar import durations
from pgweave.grammar.kinds import KINDS
from pgweave.grammar.shortened import cut, one_line
from pgweave.observe import stored_json

if TYPE_CHECKING:
    from pgweave.runtime.client import NodeState

WIDTH = 60  # characters of a step's text on one line
MAX_ROWS = 20  # rows of a result that are shown; the true count is said


def plain(text: str) -> str:
    """One line without control characters: a label must not be able to move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def short(text: str, width: int = WIDTH) -> str:
    """The text in one line, cut to `width` characters."""
    return cut(one_line(plain(text)), width)


def ago(moment: datetime) -> str:
    """How long ago, in one unit."""
    return durations.rough(max(0, int((datetime.now(UTC) - moment).total_seconds())))


def seconds(value: float) -> str:
    """A duration: 0.034 s, 2.1 s, 3 min 20 s."""
    return durations.measured(value)


def step(node: NodeState) -> str:
    """What a node does: a verb and its object."""
    config = _config(node.query)
    match node.node_type:
        # Lowering made this step of df.call_child: its SQL has the whole child in hexadecimal.
        case "SQL" if (node.result_name or "").startswith("__df_call_child_"):
            return "start child"
        case "SQL":
            return short(node.query or "")
        case kind if kind in KINDS and KINDS[kind].is_pause:
            return f"{KINDS[kind].verb} {node.query} s"
        case "WAIT_SCHEDULE":
            return f"wait for schedule {config.get('cron_expr')}"
        case "SIGNAL":
            return short(f"wait for signal {config.get('signal_name')}") + _limit(config)
        case "AWAIT_INSTANCE":
            return f"wait for {node.awaited_id or 'instance'}" + _limit(config)
        case "BREAK":
            return "leave the loop"
        case "JOIN":
            return "all of"
        case "RACE":
            return "the first of"
        case "LOOP":
            return "loop"
        case "IF":
            return "if" if "condition_node" in config else f"if {config.get('result_name')} has rows"
        case _:
            return short(f"{node.node_type} {config.get('method', '')} {config.get('url', '')}")


def _config(query: str | None) -> dict[str, Any]:
    try:
        value = json.loads(query or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _limit(config: dict[str, Any]) -> str:
    timeout = config.get("timeout_seconds")
    return f" (at most {timeout} s)" if timeout is not None else ""


def readable(text: str) -> str:
    """A result for people, with its numbers and columns as they are stored: rows as a table, else indented JSON."""
    value = stored_json.read(text)
    found = stored_json.rows(value)
    if found is None:
        return stored_json.written(value, "\n")
    if not found.rows:
        affected = value.get("rows_affected") or "0"
        return f"no rows returned, {affected} affected" if affected != "0" else "no rows"
    return _table(found)


def _table(found: stored_json.Rows) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in found.columns:
        table.add_column(Text(plain(column)), overflow="fold")
    for row in found.rows[:MAX_ROWS]:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=StringIO(), color_system=None, width=_terminal_width())
    with console.capture() as capture:
        console.print(table)
    text = "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")
    more = len(found.rows) - MAX_ROWS
    return f"{text}\n({len(found.rows)} rows, {more} not shown)" if more > 0 else text


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    return plain(value if isinstance(value, str) else stored_json.written(value))


def _terminal_width() -> int:
    return max(40, get_terminal_size().columns)
