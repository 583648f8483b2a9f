"""QUERIES: the statements of `sql/queries.sql` by name. No SQL is written in Python."""

from __future__ import annotations

import re
from importlib import resources

_HEADING = re.compile(r"^-- ([a-z_]+) --\n", re.MULTILINE)
_SQL = resources.files("pgweave.runtime").joinpath("sql")


def _read() -> dict[str, bytes]:
    text = _SQL.joinpath("queries.sql").read_text(encoding="utf-8").replace("{run_statement}", _run_statement())
    parts = _HEADING.split(text)[1:]
    return {name: body.strip().removesuffix(";").encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _run_statement() -> str:
    """df_internal.run_statement as a temporary function: one text for steps here and in other databases."""
    text = _SQL.joinpath("schema/70_run_statement.sql").read_text(encoding="utf-8")
    function = text[text.index("create function ") : text.index("comment on function ")]
    return function.replace("df_internal.", "pg_temp.").strip().removesuffix(";")


QUERIES = _read()
