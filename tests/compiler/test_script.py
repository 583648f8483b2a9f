"""Scripts: what they say, and, on a real server, that every way to start a program writes the same rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from support import ast
from support.pace import examples
from support.programs import definitions
from support.work import with_worker

from pgweave.compiler import lower, script
from pgweave.grammar.nodes import Definition, Module, Variable
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from pgweave.compiler.script import Style

Written = tuple[Any, ...]


def module(text: str) -> Module:
    parsed = parse(Source("test.df", text))
    assert parsed.ok, parsed.diagnostics
    return parsed.module


def compiled(text: str, style: Style = "rows") -> str:
    found = module(text)
    return script.script(found, found.definitions[0], style)


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    """libpq, as a client that knows nothing of us would use it."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def send(session: Connection, text: str) -> str:
    """Send a whole script as one message, as PQexec does. Returns the id it shows."""
    cursor = session.execute(text.encode())
    shown = []
    more: bool | None = True
    while more:
        if cursor.description:
            shown += cursor.fetchall()
        more = cursor.nextset()
    return str(shown[-1][0])


def written(session: Connection, instance_id: str) -> tuple[Written, list[Written]]:
    """The rows of one instance with positions in place of ids, and the instance's own row."""
    rows = session.execute(
        "select id, ordinal, node_type, query, result_name, left_node, right_node, database from df.nodes"
        " where instance_id = %s order by ordinal",
        [instance_id],
    ).fetchall()
    position = {row[0]: row[1] for row in rows}
    instance = session.execute(
        "select label, database, variables, root_node, status from df.instances where id = %s", [instance_id]
    ).fetchone()
    assert instance is not None
    return (*instance[:3], position[instance[3]], instance[4]), [
        (ordinal, kind, linked(kind, query, position), name, position.get(left), position.get(right), database)
        for _, ordinal, kind, query, name, left, right, database in rows
    ]


def linked(kind: str, query: str | None, position: dict[str, int]) -> str | None:
    """The query with positions in place of the ids that lowering puts into it."""
    if kind not in {"IF", "LOOP", "JOIN"} or query is None:
        return query
    return re.sub('"([0-9a-f]{8})"', lambda found: f'"#{position[found[1]]}"', query)


def promised(definition: Definition) -> list[Written]:
    """What `compile --emit rows` says, in the same form."""
    rows = lower.rows(definition).rows
    position: dict[str | None, int] = {row.id: number for number, row in enumerate(rows)}
    database = definition.database.value if definition.database else None
    return [
        (
            number,
            row.node_type,
            linked(row.node_type, row.query, {str(key): value for key, value in position.items()}),
            row.result_name,
            position.get(row.left_node),
            position.get(row.right_node),
            database,
        )
        for number, row in enumerate(rows)
    ]


@settings(
    deadline=None,
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(definition=definitions())
def test_four_ways_to_start_a_program_write_the_same_rows(session: Connection, definition: Definition) -> None:
    """`df.start(tree)`, both scripts, and what `--emit rows` promised."""
    program = Module(source=Source("", ""), definitions=(definition,))
    row = session.execute("select df.start(%s)", [lower.tree(definition)]).fetchone()
    assert row is not None
    by_tree = written(session, row[0])
    by_rows = written(session, send(session, script.script(program, definition)))
    by_start = written(session, send(session, script.script(program, definition, "start")))
    assert by_tree[1] == by_rows[1] == by_start[1] == promised(definition)
    assert by_tree[0] == by_rows[0] == by_start[0] == (None, None, {}, 0, "pending")
    session.execute("truncate df.instances, df.nodes, df.runs, df.queue, df.inbox")


@pytest.mark.parametrize("style", script.STYLES)
def test_label_database_and_variables_travel_with_a_script(session: Connection, style: Style) -> None:
    name = session.info.dbname
    text = f"df.setvar('region', 'it''s'); df.start('SELECT ''{{region}}''', 'é \\ label', database => '{name}');"
    instance, rows = written(session, send(session, compiled(text, style)))
    assert instance == ("é \\ label", name, {"region": "it's"}, 0, "pending")
    assert rows == [(0, "SQL", "SELECT '{region}'", None, None, None, name)]


@pytest.mark.parametrize("style", script.STYLES)
def test_a_script_starts_an_instance_that_runs(database: str, style: Style) -> None:
    """The trigger has queued it: a worker that knows nothing of the script works it off."""
    text = compiled(
        "df.start('SELECT 20 AS n' |=> 'a' ~> df.if_rows('a', 'SELECT $a + 1 AS n', df.break()), 'n')", style
    )
    with psycopg.connect(database, autocommit=True) as connection:
        instance_id = send(connection, text)
        assert connection.execute("select count(*) from df.queue").fetchone() == (1,)
    with with_worker(database) as place:
        done = place.ended(instance_id)
    assert (done.status, json.loads(done.result or "")["rows"]) == ("completed", [{"n": 21}])


def test_each_run_of_a_script_is_an_instance_of_its_own(session: Connection) -> None:
    text = compiled("'SELECT 1'")
    assert send(session, text) != send(session, text)


@pytest.mark.parametrize("style", script.STYLES)
def test_a_script_that_fails_leaves_nothing_behind(session: Connection, style: Style) -> None:
    """One transaction: a limit that is hit at the commit takes everything back."""
    session.execute("update df.settings set value = 1 where name = 'max_nodes'")
    with pytest.raises(psycopg.DatabaseError):
        send(session, compiled("df.setvar('k', 'v'); 'SELECT 1' ~> 'SELECT 2'", style))
    session.rollback()
    assert session.execute("select (select count(*) from df.instances), (select count(*) from df.vars)").fetchone() == (
        0,
        0,
    )


def test_an_ordinary_role_may_run_a_script(session: Connection) -> None:
    """Row-level security is in force for it, which a superuser would not notice."""
    session.execute("create role script_user login; select df.grant_usage('script_user'); set role script_user")
    try:
        instance, rows = written(session, send(session, compiled("'SELECT 1' ~> 'SELECT 2'")))
        assert (instance[4], len(rows)) == ("pending", 3)
    finally:
        session.execute("reset role; drop owned by script_user; drop role script_user")


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_a_backslash_means_itself_whatever_the_session_thinks(session: Connection, conforming: str) -> None:
    session.execute(f"set standard_conforming_strings to {conforming}")
    _, rows = written(session, send(session, compiled(r"""$$ SELECT 'a\b', E'\n' $$ ~> 'C:\x'""")))
    assert [row[2] for row in rows] == [None, r" SELECT 'a\b', E'\n' ", r"C:\x"]


def test_what_only_the_database_can_evaluate_is_started_but_has_no_rows(session: Connection) -> None:
    text = "(SELECT string_agg(x, ' ') FROM (VALUES ('SELECT'), ('7')) AS v (x)) ~> 'SELECT 8'"
    with pytest.raises(lower.LoweringError) as refused:
        compiled(text)
    assert [finding.code for finding in refused.value.diagnostics] == ["PW509"]
    _, rows = written(session, send(session, compiled(text, "start")))
    assert [row[2] for row in rows] == [None, "SELECT 7", "SELECT 8"]


def test_a_variable_that_only_the_database_can_evaluate_is_set_as_it_is_written(session: Connection) -> None:
    text = "SELECT df.setvar('who', (SELECT 'me'));\nSELECT df.start('SELECT ''{who}''');"
    instance, _ = written(session, send(session, compiled(text)))
    assert instance[2] == {"who": "me"}


def test_the_start_is_fully_parenthesised() -> None:
    text = "'a' ~> 'b' & 'c' |=> 'n'"
    assert "('a' ~> 'b') & 'c'" in " ".join(compiled(text, "start").split())
    again = parse(Source("again.sql", compiled(text, "start")))
    assert [one.node for one in again.module.definitions] == [one.node for one in module(text).definitions]


def test_a_name_of_several_lines_does_not_end_the_comment_it_is_in() -> None:
    definition = ast.definition(ast.sql("SELECT 1"), "first\nDROP TABLE second")
    text = script.script(Module(source=Source("", ""), definitions=(definition,)), definition)
    assert text.startswith("-- first DROP TABLE second. Made by")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"),
        ("plain", "'plain'"),
        ("it's", "$$it's$$"),
        ("back\\slash", r"E'back\\slash'"),
        ("both ' and \\", "$$both ' and \\$$"),
        ("$$ and '", "$q1$$$ and '$q1$"),
        ("\r", r"E'\r'"),
    ],
)
def test_literals(value: str | None, expected: str) -> None:
    assert script.literal(value) == expected


def test_variables_are_set_in_the_order_of_the_text() -> None:
    variables = tuple(Variable(name, "1", Span(0, 0)) for name in "bac")
    definition = ast.definition(ast.sql("SELECT 1"))
    text = script.script(Module(source=Source("", ""), definitions=(definition,), variables=variables), definition)
    assert re.findall(r"setvar\('(.)'", text) == ["b", "a", "c"]
