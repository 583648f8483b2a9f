"""Lowering and the SQL functions agree: the same text builds the same bytes in Python and in the database."""

from __future__ import annotations

import psycopg
import pytest

from pgweave.compiler import lower
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

PROGRAMS = (
    "'SELECT 1' |=> 'a' ~> 'SELECT $a'",
    "df.if_rows('x', 'a', df.break('q\"é'))",
    "'c' ?> 't' !> 'e'",
    "df.loop('a', 'b')",
    "@> 'x'",
    "df.join3('a', 'b', 'c') |=> 'j'",
    "'a' | 'b' & 'c'",
    "df.sleep(5)",
    "df.wait_for_schedule('*/5 * * * *')",
    "df.wait_for_signal('go', 3)",
    "df.wait_for_signal('go')",
    "df.break()",
    """df.http('https://x.y', 'get', 'b', '{"bb":1.50,"a":[1, 2]}')""",
    "df.http('https://x.y')",
    """df.http_multipart('https://x.y', parts => '[{"name":"f","data_b64":"QQ=="}]')""",
    "df.await_instance('$c.instance_id', 300)",
    """df.call_child('SELECT ''é $x {y}''', 'it''s', '{"timeout_seconds": 300, "database": "postgres"}') |=> 'c'""",
    "df.call_child(df.call_child('SELECT 1'))",
    r"""E'SELECT \n\t\x01 \\ "'""",
)


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_is_the_same_json_in_python_and_in_the_database(text: str, database: str) -> None:
    parsed = parse(Source("surface.df", text))
    assert parsed.ok
    with psycopg.connect(database) as connection:
        connection.execute("SET search_path = public, df")
        row = connection.execute(f"SELECT df.ensure_durofut({text})".encode()).fetchone()
    assert row == (lower.tree(parsed.module.definitions[0]),)
