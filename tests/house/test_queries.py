"""Every statement that Python sends is in queries.sql, has a purpose, is used, and is understood by the database."""

from __future__ import annotations

import ast
import re
from importlib import resources
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

from pgweave.runtime.queries import QUERIES

RUNTIME = Path(__file__).parents[2] / "runtime"

# What the protocol cannot prepare, because it is several statements or no plan is made for it: executed instead.
IN_A_TRANSACTION = ("lock_migrations", "drop_schema")
BY_THEMSELVES = ("listen", "make_step_runner", "discard")
BRACES = b"('SELECT 1' ~> 'SELECT 2')"  # what may take the place of ({})


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in {*IN_A_TRANSACTION, *BY_THEMSELVES}])
def test_a_query_is_understood_by_a_fresh_schema(database: str, name: str) -> None:
    numbers = count(1)
    text = re.sub(
        rb"%s",
        lambda _: b"$%d" % next(numbers),
        QUERIES[name].replace(b"({})", BRACES).replace(b"{columns}", b"1 as n"),
    )
    with psycopg.connect(database) as connection:
        connection.execute(QUERIES["make_step_runner"])
        prepared = connection.pgconn.prepare(b"", text)
        assert prepared.status == ExecStatus.COMMAND_OK, prepared.error_message.decode()


def test_the_statements_without_a_plan_can_be_executed(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for name in BY_THEMSELVES:
            connection.execute(QUERIES[name])
        with connection.transaction():
            for name in IN_A_TRANSACTION:
                connection.execute(QUERIES[name])
        row = connection.execute(QUERIES["schema_state"]).fetchone()
    assert row == (False, None, False), "the schema was dropped"


def test_a_step_in_another_database_runs_by_the_same_text_as_one_beside_the_schema(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(QUERIES["make_step_runner"])
        rows = connection.execute(
            "select proname, pronamespace = 'df_internal'::regnamespace, replace(prosrc, 'df_internal.', 'pg_temp.')"
            " from pg_proc where proname in ('run_statement', 'encode_row')"
        ).fetchall()
    here, elsewhere = ({name: text for name, inside, text in rows if inside is place} for place in (True, False))
    assert here == elsewhere
    assert here.keys() == {"run_statement", "encode_row"}


def test_every_query_has_a_purpose() -> None:
    text = resources.files("pgweave.runtime").joinpath("sql/queries.sql").read_text(encoding="utf-8")
    headings = re.findall(r"^-- ([a-z_]+) --\n(-- .+[.?]\n)?", text, re.MULTILINE)
    assert [name for name, purpose in headings if not purpose] == []
    assert [name for name, _ in headings] == list(QUERIES)


def test_every_query_is_named_somewhere_and_every_name_is_a_query() -> None:
    strings, subscripts = set(), set()
    for file in RUNTIME.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            match node:
                case ast.Subscript(value=ast.Name(id="QUERIES"), slice=ast.Constant(value=str(name))):
                    subscripts.add(name)
                case ast.Constant(value=str(text)):
                    strings.add(text)
                case _:
                    pass
    assert QUERIES.keys() - strings == set()
    assert subscripts - QUERIES.keys() == set()


def test_no_other_module_holds_sql() -> None:
    """A statement begins with its verb; none is put together in Python."""
    verbs = re.compile(
        r"\s*(select|insert|update|delete|create|alter|drop|with|lock|listen|notify|set)\s", re.IGNORECASE
    )
    allowed = {"set local search_path to {}"}  # an identifier, put in by psycopg.sql
    found = {
        node.value
        for file in RUNTIME.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in {"execute", "SQL"}
        for node in call.args
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and verbs.match(node.value)
    }
    assert found <= allowed
