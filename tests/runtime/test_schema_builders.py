"""Builders and operators of schema df, through plain SQL, on every supported PostgreSQL: shapes, wording, size."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgweave.runtime import migrate

if TYPE_CHECKING:
    from support.database import TemplateDatabases

    from pgweave.runtime.server.embedded import Server

NODE_TYPES = (
    "SQL, THEN, IF, JOIN, LOOP, BREAK, RACE, SLEEP, WAIT_SCHEDULE, HTTP, HTTP_MULTIPART, SIGNAL, AWAIT_INSTANCE"
)

OPERATORS = {
    ("~>", "text", "text", "df.seq"), ("|=>", "text", "text", "df.as_op"), ("&", "text", "text", 'df."join"'),
    ("|", "text", "text", "df.race"), ("?>", "text", "text", "df.if_then_op"), ("!>", "text", "text", "df.if_else_op"),
    ("@>", "-", "text", "df.loop_prefix_op"),
}  # fmt: skip

SQL_1 = '{"node_type":"SQL","query":"1"}'
SQL_2 = '{"node_type":"SQL","query":"2"}'
SQL_3 = '{"node_type":"SQL","query":"3"}'

SHAPES = {
    "df.sql('1')": SQL_1,
    "df.sql($${\"node_type\":\"SLEEP\",\"query\":\"1\"}$$)": r'{"node_type":"SQL","query":"{\"node_type\":\"SLEEP\",\"query\":\"1\"}"}',
    "df.seq('1', '2')": '{"node_type":"THEN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "'1' ~> '2'": '{"node_type":"THEN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "df.as('1', 'x')": '{"node_type":"SQL","query":"1","result_name":"x"}',
    "'1' |=> 'x' |=> 'y'": '{"node_type":"SQL","query":"1","result_name":"y"}',
    "df.sleep(5)": '{"node_type":"SLEEP","query":"5"}',
    "df.sleep(seconds => 0)": '{"node_type":"SLEEP","query":"0"}',
    "df.wait_for_schedule('*/5 * * * *')": r'{"node_type":"WAIT_SCHEDULE","query":"{\"cron_expr\":\"*/5 * * * *\"}"}',
    "df.loop('1')": '{"node_type":"LOOP","left_node":' + SQL_1 + "}",
    "@> '1'": '{"node_type":"LOOP","left_node":' + SQL_1 + "}",
    "df.loop('1', condition => '2')": '{"node_type":"LOOP","left_node":' + SQL_1 + ',"condition_node":' + SQL_2 + "}",
    "df.break()": r'{"node_type":"BREAK","query":"{\"break_value\":null}"}',
    "df.break('a')": r'{"node_type":"BREAK","query":"{\"break_value\":\"a\"}"}',
    "df.if('1', '2', '3')":
        '{"node_type":"IF","left_node":' + SQL_2 + ',"right_node":' + SQL_3 + ',"condition_node":' + SQL_1 + "}",
    "'1' ?> '2' !> '3'":
        '{"node_type":"IF","left_node":' + SQL_2 + ',"right_node":' + SQL_3 + ',"condition_node":' + SQL_1 + "}",
    "df.if_rows('x', '1', '2')":
        '{"node_type":"IF","left_node":' + SQL_1 + ',"right_node":' + SQL_2
        + r',"query":"{\"condition_type\":\"result_has_rows\",\"result_name\":\"x\"}"}',
    "df.join('1', '2')": '{"node_type":"JOIN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "'1' & '2'": '{"node_type":"JOIN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "df.join3('1', '2', '3')":
        '{"node_type":"JOIN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + ',"extra_nodes":[' + SQL_3 + "]}",
    "df.join3('1', '2', '3') |=> 'j'":
        '{"node_type":"JOIN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + ',"extra_nodes":[' + SQL_3 + '],"result_name":"j"}',
    "df.race('1', '2')": '{"node_type":"RACE","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "'1' | '2'": '{"node_type":"RACE","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + "}",
    "df.wait_for_signal('go')": r'{"node_type":"SIGNAL","query":"{\"signal_name\":\"go\",\"timeout_seconds\":null}"}',
    "df.wait_for_signal('go', 9)": r'{"node_type":"SIGNAL","query":"{\"signal_name\":\"go\",\"timeout_seconds\":9}"}',
    "df.await_instance('abcd1234')":
        r'{"node_type":"AWAIT_INSTANCE","query":"{\"instance_id\":\"abcd1234\",\"timeout_seconds\":null}"}',
    "df.http('https://a.b', 'get')":
        r'{"node_type":"HTTP","query":"{\"url\":\"https://a.b\",\"method\":\"GET\",\"body\":null,\"headers\":null,\"timeout_seconds\":30}"}',
    "'1' ~> '2' & '3'":
        '{"node_type":"JOIN","left_node":{"node_type":"THEN","left_node":' + SQL_1 + ',"right_node":' + SQL_2 + '},"right_node":' + SQL_3 + "}",
    "@> '1' ~> '2'": '{"node_type":"THEN","left_node":{"node_type":"LOOP","left_node":' + SQL_1 + '},"right_node":' + SQL_2 + "}",
    "df.seq('', '2')": '{"node_type":"THEN","left_node":{"node_type":"SQL","query":""},"right_node":' + SQL_2 + "}",
    "null ~> '1'": None,
    "'1' & null": None,
    "df.seq(null, '1')": None,
    "df.sleep(null)": None,
    "df.ensure_durofut(null)": None,
    "df.ensure_durofut('42')": '{"node_type":"SQL","query":"42"}',
    "df.ensure_durofut('{stmt}')": '{"node_type":"SQL","query":"{stmt}"}',
    "df.ensure_durofut(E' \\n\\t" + SQL_1 + "')": " \n\t" + SQL_1,
    "df.ensure_durofut(('" + SQL_1 + "'::jsonb)::text)": '{"query": "1", "node_type": "SQL"}',
}  # fmt: skip

MAGIC = "df.call_child('1', 'l', '{options}')"
ERRORS = {
    "df.as('1', '')": "df.as: result name cannot be empty",
    "df.as('1', '1a')": "df.as: result name '1a' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*",
    "'1' |=> 'a b'": "df.as: result name 'a b' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*",
    "'1' |=> $$x'; drop table t; --$$":
        "df.as: result name 'x'; drop table t; --' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*",
    "df.sleep(-1)": "Sleep duration must be non-negative",
    "df.wait_for_schedule('nonsense')":
        "Invalid cron expression 'nonsense': expected 5 fields (minute hour day-of-month month day-of-week), found 1",
    "df.wait_for_schedule('60 * * * *')": "Invalid cron expression '60 * * * *': minute 60 is outside of 0 to 59",
    "df.wait_for_signal('')": "Signal name cannot be empty",
    "df.wait_for_signal(null)": "Signal name cannot be empty",
    "df.wait_for_signal('a', 0)": "Timeout must be positive",
    "df.await_instance('')": "Instance ID cannot be empty",
    "df.await_instance('a', -1)": "Timeout must be positive",
    "df.http('ftp://a.b')": "Blocked: unsupported URL scheme 'ftp'. Only http and https are allowed.",
    "df.http('file:///etc/passwd')": "Blocked: unsupported URL scheme 'file'. Only http and https are allowed.",
    "df.http('https://a.b', 'HEAD')": "Invalid HTTP method: HEAD. Must be GET, POST, PUT, DELETE, or PATCH",
    "df.http('https://a.b', timeout_seconds => 0)": "Timeout must be positive",
    "df.http_multipart('https://a.b', 'GET')": "Invalid HTTP method for multipart: GET. Must be POST, PUT, or PATCH",
    "df.http_multipart('https://a.b')": "parts is required and cannot be NULL",
    "df.http_multipart('https://a.b', parts => '{}')": "parts must be a JSON array of part objects",
    "df.http_multipart('https://a.b', parts => '[]')": "parts must contain at least one part",
    "'1' !> '2'": "Invalid if-then-else: left side of !> must be a ?> expression",
    "'{}' !> '2'": "Invalid if-then-else: left side of !> must be a ?> expression",
    "('1' ?> '2') ~> '3'": "A half-built if cannot be used as a workflow step",
    "'1' ?> '2' ~> '3' !> '4'": "A half-built if cannot be used as a workflow step",
    "df.start('1' ?> '2')": "Invalid durable function: A half-built if cannot be used as a workflow step",
    "df.seq($${\"node_type\":\"FOO\"}$$, '1')": f"Unknown node_type 'FOO'. Valid types: {NODE_TYPES}",
    "df.seq($${\"node_type\":\"sql\",\"query\":\"1\"}$$, '1')": f"Unknown node_type 'sql'. Valid types: {NODE_TYPES}",
    "df.start($${\"node_type\":\"FOO\"}$$)": f"Invalid durable function: Unknown node_type 'FOO'. Valid types: {NODE_TYPES}",
    "df.seq($${\"node_type\":\"SQL\",\"query\":5}$$, '1')":
        "Invalid Durofut JSON: failed to deserialize workflow step: query must be a string",
    "df.start($${\"node_type\":\"SQL\",\"query\":5}$$)":
        "Invalid durable function: Malformed Durofut JSON with node_type 'SQL': query must be a string",
    "df.seq($${\"node_type\":\"THEN\",\"left_node\":1}$$, '1')":
        "Invalid Durofut JSON: failed to deserialize workflow step: Durofut children must be JSON objects",
    "df.seq($${\"node_type\":\"IF\",\"condition_node\":\"x\"}$$, '1')":
        "Invalid Durofut JSON: failed to deserialize workflow step: condition_node must be a Durofut JSON object",
    "df.seq($${\"node_type\":\"JOIN\",\"extra_nodes\":[1]}$$, '1')":
        "Invalid Durofut JSON: failed to deserialize workflow step: extra_nodes entries must be Durofut JSON objects",
    "df.seq($${\"node_type\":\"SQL\",\"query\":\"1\",\"query\":\"2\"}$$, '1')":
        "Invalid Durofut JSON: failed to deserialize workflow step: duplicate field `query`",
    "df.start($${\"node_type\":\"THEN\",\"left_node\":{\"node_type\":\"SQL\",\"query\":\"1\"},\"right_node\":{\"query\":\"1\"}}$$)":
        "Invalid durable function graph: root.right: failed to deserialize Durofut child: missing field `node_type`",
    "df.start($${\"node_type\":\"SQL\",\"query\":\"1\",\"condition_node\":{\"node_type\":\"SQL\",\"query\":\"1\"}}$$)":
        "Invalid durable function graph: root: condition_node is not valid for SQL nodes",
    "df.start($${\"node_type\":\"RACE\",\"extra_nodes\":[{\"node_type\":\"SQL\",\"query\":\"1\"}]}$$)":
        "Invalid durable function graph: root: extra_nodes is not valid for RACE nodes",
    "df.start($${\"node_type\":\"IF\",\"query\":\"{\\\"condition_node\\\":\\\"x\\\"}\"}$$)":
        "Invalid durable function graph: root: condition_node in IF must be a first-class Durofut field, not embedded in query",
    "df.start($${\"node_type\":\"JOIN\",\"query\":\"{\\\"extra_nodes\\\":[]}\"}$$)":
        "Invalid durable function graph: root: extra_nodes in JOIN must be a first-class Durofut field, not embedded in query",
    "df.start($${\"node_type\":\"LOOP\",\"query\":\"[]\"}$$)":
        "Invalid durable function graph: root: query in LOOP must be a JSON config object",
    "df.call_child(null)": "Invalid child durable function: it is NULL",
    "df.call_child('1' ?> '2')": "Invalid child durable function: A half-built if cannot be used as a workflow step",
    "df.call_child('1', options => '[]')": "df.call_child options must be a JSON object",
    "df.call_child('1', options => 'null')": "df.call_child options must be a JSON object",
    MAGIC.replace("options", '"timeout_second": 5'):
        "df.call_child: unsupported option 'timeout_second'. Supported options: timeout_seconds, database, on_failure, on_timeout, on_cancel",
    MAGIC.replace("options", '"timeout_seconds": "30"'): "df.call_child timeout_seconds must be an integer",
    MAGIC.replace("options", '"timeout_seconds": 1.5'): "df.call_child timeout_seconds must be an integer",
    MAGIC.replace("options", '"timeout_seconds": null'): "df.call_child timeout_seconds must be an integer",
    MAGIC.replace("options", '"timeout_seconds": 30.0'): "df.call_child timeout_seconds must be an integer",
    MAGIC.replace("options", '"timeout_seconds": 0'): "df.call_child timeout_seconds must be between 1 and 2147483647",
    MAGIC.replace("options", '"timeout_seconds": 2147483648'): "df.call_child timeout_seconds must be between 1 and 2147483647",
    MAGIC.replace("options", '"database": 5'): "df.call_child database must be a string",
    MAGIC.replace("options", '"on_failure": 5'): "df.call_child on_failure must be a string",
    **{
        f"df.seq('{word}', '1')":
            f"'{word}' is the answer of a df function, not a statement; it cannot be used as a workflow step"
        for word in ("OK", "pending", "running", "completed", "failed", "cancelled", "Instance a1b2c3d4 cancelled: x")
    },
    "df.setvar('a', 'b') ~> 'SELECT 1'":
        "'OK' is the answer of a df function, not a statement; it cannot be used as a workflow step",
    "'SELECT 1' ~> df.run()":
        "'Triggered run for all pending instances' is the answer of a df function, not a statement; it cannot be used as a workflow step",
    "'a1b2c3d4' ~> 'SELECT 1'": "'a1b2c3d4' is the id of an instance, not a statement; it cannot be used as a workflow step",
}  # fmt: skip


def ask(connection: psycopg.Connection[Any], expression: str) -> Any:  # noqa: ANN401 - of any type
    row = connection.execute(f"select {expression}".encode()).fetchone()
    assert row is not None
    return row[0]


def refused(connection: psycopg.Connection[Any], expression: str) -> str:
    try:
        found = ask(connection, expression)
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    return f"no error, but {found}"


def test_operators_are_in_public_and_call_what_they_should(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(
            "select oprname, oprleft::regtype::text, oprright::regtype::text, oprcode::text from pg_operator as o"
            " join pg_proc as p on p.oid = o.oprcode where oprnamespace = 'public'::regnamespace"
            " and p.pronamespace = 'df'::regnamespace"
        ).fetchall()
    assert set(rows) == OPERATORS


def test_builders_write_compact_json_with_keys_in_order(any_database: str) -> None:
    """In a session with default settings: the operators and their untyped literals resolve."""
    with psycopg.connect(any_database) as connection:
        assert connection.execute("show search_path").fetchone() == ('"$user", public',)
        assert {expression: ask(connection, expression) for expression in SHAPES} == SHAPES


def test_what_builders_refuse_they_refuse_in_these_words(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        assert {expression: refused(connection, expression) for expression in ERRORS} == ERRORS
        assert ask(connection, "count(*) from df.instances") == 0
        assert ask(connection, "count(*) from df.nodes") == 0


def test_equal_expressions_give_equal_bytes_and_other_ones_do_not(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        assert ask(connection, "df.call_child('a' ~> 'b', 'x') = df.call_child(df.seq('a', 'b'), 'x')") is True
        assert ask(connection, "df.call_child('a', 'x') = df.call_child('a', 'y')") is False
        assert ask(connection, "('a' ~> 'b' ~> 'c') = df.seq(df.seq('a', 'b'), 'c')") is True
        assert ask(connection, "('a' ~> ('b' ~> 'c')) = ('a' ~> 'b' ~> 'c')") is False


def test_the_names_of_a_child_never_appear_in_clear_in_its_parent(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        built = ask(connection, "df.call_child('SELECT $secret, {variable}' |=> 'inner', 'l')")
    assert not any(word in built for word in ("secret", "variable", "inner"))
    assert "$__df_call_child_" in built


def test_operators_work_in_the_schema_that_an_option_names(server: Server) -> None:
    dsn = make_conninfo(server.dsn, dbname="operators_elsewhere")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create database operators_elsewhere")
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create schema flows")
        migrate.install(dsn, "flows")
        with psycopg.connect(dsn, options="-c search_path=flows") as connection:
            assert ask(connection, "'1' ~> '2'") == SHAPES["'1' ~> '2'"]
        with psycopg.connect(dsn) as connection:
            assert "operator does not exist" in refused(connection, "'1' ~> '2'")
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("drop database operators_elsewhere with (force)")


# Size.


def nested(levels: int) -> str:
    """A chain with so many levels below its root, as JSON."""
    return '{"node_type":"LOOP","left_node":' * levels + '{"node_type":"SQL","query":"1"}' + "}" * levels


def test_256_levels_are_accepted_and_257_refused(any_database: str) -> None:
    too_deep = "Graph exceeds maximum nesting depth of 256. "
    with psycopg.connect(any_database, autocommit=True) as connection:
        assert refused(connection, f"df.start('{nested(256)}')").startswith("no error")
        assert refused(connection, f"df.start('{nested(257)}')").startswith(
            f"Invalid durable function graph: root{'.left' * 257}: {too_deep}"
        )
        assert refused(connection, f"df.call_child('{nested(257)}')").startswith(
            "Invalid child durable function graph: root.left"
        )
        drawn = ask(connection, f"df.explain('{nested(257)}')")
        assert too_deep in drawn
        ask(connection, "df.start(" + " ~> ".join(f"'{n}'" for n in range(257)) + ")")
        assert "nesting depth" in refused(connection, "df.start(" + " ~> ".join(f"'{n}'" for n in range(258)) + ")")


def test_a_chain_of_200_statements_has_399_nodes(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        ask(connection, "df.start(" + " ~> ".join(f"'{n}'" for n in range(200)) + ")")
        assert ask(connection, "count(*) from df.nodes") == 399


def test_ifs_nest_129_levels_deep_with_operators(any_database: str) -> None:
    text = "'SELECT true' ?> 'a' !> 'b'"
    for _ in range(128):
        text = f"'SELECT true' ?> ({text}) !> 'b'"
    with psycopg.connect(any_database) as connection:
        assert json.loads(ask(connection, text))["node_type"] == "IF"


def wide(leaves: int) -> str:
    """A balanced tree of joins, as JSON: 2 * leaves - 1 nodes."""
    if leaves == 1:
        return '{"node_type":"SQL","query":"SELECT 1"}'
    half = leaves // 2
    return f'{{"node_type":"JOIN","left_node":{wide(half)},"right_node":{wide(leaves - half)}}}'


def test_10000_nodes_are_accepted_and_one_more_is_refused(any_database: str) -> None:
    with_a_loop = f'{{"node_type":"LOOP","left_node":{wide(5000)}}}'
    with psycopg.connect(any_database) as connection:
        connection.execute("select df.start(%s)", [with_a_loop])
        assert ask(connection, "count(*) from df.nodes") == 10_000
        with pytest.raises(psycopg.Error, match="Workflow exceeds maximum node count of 10000"):
            connection.execute("select df.start(%s)", [f'{{"node_type":"LOOP","left_node":{with_a_loop}}}'])


def test_the_cost_of_a_start_grows_with_the_nodes_and_no_faster(database: str) -> None:
    """Ten times the nodes, ten times the time: forty leave room for noise, and a quadratic start would take a hundred."""

    def cost(connection: psycopg.Connection[Any], leaves: int) -> float:
        graph, best = wide(leaves), float("inf")
        for _ in range(3):
            began = time.perf_counter()
            connection.execute("select df.start(%s)", [graph])
            connection.commit()
            best = min(best, time.perf_counter() - began)
        return best

    with psycopg.connect(database) as connection:
        small, large = cost(connection, 500), cost(connection, 5000)
    assert large < 40 * small, (small, large)
    assert large < 10


def test_the_reference_is_not_slowed_down_by_compiled_queries(any_databases: TemplateDatabases) -> None:
    """With LLVM and jit on, as Debian ships it, a start took 80 ms before the functions turned it off."""
    dsn = any_databases.create()
    try:
        with psycopg.connect(dsn, options="-c jit=on -c jit_above_cost=0") as connection:
            began = time.perf_counter()
            for _ in range(20):
                connection.execute("select df.start('SELECT 1')")
            taken = time.perf_counter() - began
        assert taken < 1, taken
    finally:
        any_databases.drop(dsn)
