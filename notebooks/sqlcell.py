"""`%pgweave sql ..` and `%%pgweave sql`: plain SQL on the session's database, with the last result as a table.

Every cell is a session of its own, and one transaction as long as it does not say otherwise.
"""

from __future__ import annotations

import argparse
import json
import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from pgweave.grammar.diagnostics import Diagnostic, Rule, Severity
from pgweave.grammar.span import Source, Span
from pgweave.notebooks.shell import Shell, expanded, split
from pgweave.notebooks.stopped import Stopped
from pgweave.observe import display, session_database, stored_json
from pgweave.observe.live import show
from pgweave.runtime.connect import connect, read_leniently

if TYPE_CHECKING:
    import psycopg


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:  # noqa: ANN401 - it never returns
        raise UsageError(f"{message}. Write: %%pgweave sql [NAME] [--dsn ..]")


def run_cell(shell: Shell, line: str, cell: str) -> object:
    """`%%pgweave sql [NAME] [--dsn ..]`. NAME: a variable for the result, which is then not shown."""
    parser = _Parser(prog="sql", add_help=False)
    parser.add_argument("sql")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--dsn")
    options = parser.parse_args(split(line))
    # The magic's own line counts, as it does in the cell.
    result = query("\n" + cell, options.dsn and str(expanded(shell, options.dsn)))
    if options.name is None:
        return result
    if not options.name.isidentifier():
        raise UsageError(f"{options.name!r} is not the name of a variable.")
    shell.push({options.name: result})
    return None


def query(text: str, dsn: str | None = None) -> display.Result | None:
    """Run SQL; the rows of its last statement that has any, else what the last statement did is shown."""
    import psycopg  # loading it takes a third of a second, which %load_ext must not
    from psycopg.types.json import set_json_loads

    if not text.strip():
        raise UsageError("There is no SQL. Write: %pgweave sql SELECT 1")
    with connect(session_database.current(dsn), application_name="pgweave notebook") as connection:
        read_leniently(connection)
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)  # as exact as everything else
        try:
            cursor = connection.execute(text.encode())
        except psycopg.Error as error:
            if error.diag.statement_position is None:
                raise
            _show_refusal(error, text)
            raise Stopped("PostgreSQL refused this SQL.") from None
        result, said = None, ""
        while True:
            if cursor.description is not None:
                result = _result(cursor)
            said = cursor.statusmessage or said
            if not cursor.nextset():
                break
    if result is None:
        show(display.sentence(said))
    return result


def _result(cursor: psycopg.Cursor[tuple[Any, ...]]) -> display.Result:
    columns = stored_json.distinct([column.name for column in cursor.description or ()])
    rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return display.Result(rows=rows, row_count=len(rows), columns=columns)


def _show_refusal(error: psycopg.Error, text: str) -> None:
    source = Source("sql", text)
    show(display.findings([refusal(error, text)], source))


def refusal(error: psycopg.Error, text: str) -> Diagnostic:
    """What the server says about a text of SQL, at its place in it."""
    start = min(int(error.diag.statement_position or 1) - 1, len(text))
    word = re.compile(r'[\w.$"]+|\S').match(text, start)
    said = str(error.diag.message_primary)
    return Diagnostic(
        Rule(code=str(error.sqlstate), name="refused", severity=Severity.ERROR, title=""),
        Span(start, word.end() if word else start + 1),
        said[:1].upper() + said[1:],
        error.diag.message_detail or "",
        error.diag.message_hint or "",
    )
