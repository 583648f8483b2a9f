"""The functions of pg_durable are all there, with its argument names, defaults, strictness and results.

Somebody who comes from it can keep every call, named arguments included, and every GRANT EXECUTE ON FUNCTION. The table
below is sections 1 and 10 of its reference, as far as it can be written in PostgreSQL's own words; EXCEPTIONS says what
differs on purpose.
"""

from __future__ import annotations

import psycopg
import pytest

NULL_TEXT, NULL_INTEGER = "DEFAULT NULL::text", "DEFAULT NULL::integer"
HTTP = "headers jsonb DEFAULT NULL::jsonb, timeout_seconds integer DEFAULT 30"
INSTANCES = "instance_id text, label text, function_name text, status text, execution_count bigint, output text"
NODES = "node_id text, node_type text, query text, result_name text, left_node text, right_node text, status text"

# Name and argument types -> arguments with their defaults, is the result NULL when an argument is, result.
REFERENCE: dict[str, tuple[str, bool, str]] = {
    # Futures.
    "sql(text)": ("query text", True, "text"),
    "seq(text,text)": ("a text, b text", True, "text"),
    "as(text,text)": ("fut text, name text", True, "text"),
    "sleep(bigint)": ("seconds bigint", True, "text"),
    "wait_for_schedule(text)": ("cron_expr text", True, "text"),
    # As in pg_durable since September 2026; before that it had no continue_on_failure.
    "loop(text,text,boolean)":
        (f"body text, condition text {NULL_TEXT}, continue_on_failure boolean DEFAULT false", False, "text"),
    "break(text)": (f"value text {NULL_TEXT}", False, "text"),
    "if(text,text,text)": ("condition text, then_branch text, else_branch text", True, "text"),
    "if_rows(text,text,text)": ("result_name text, then_branch text, else_branch text", True, "text"),
    "join(text,text)": ("a text, b text", True, "text"),
    "join3(text,text,text)": ("a text, b text, c text", True, "text"),
    "race(text,text)": ("a text, b text", True, "text"),
    "wait_for_signal(text,integer)": (f"name text, timeout_seconds integer {NULL_INTEGER}", False, "text"),
    "http(text,text,text,jsonb,integer)":
        (f"url text, method text DEFAULT 'POST'::text, body text {NULL_TEXT}, {HTTP}", False, "text"),
    "http_multipart(text,text,jsonb,jsonb,integer)":
        (f"url text, method text DEFAULT 'POST'::text, parts jsonb DEFAULT NULL::jsonb, {HTTP}", False, "text"),
    "await_instance(text,integer)": (f"instance_id text, timeout_seconds integer {NULL_INTEGER}", False, "text"),
    "call_child(text,text,jsonb)":
        (f"fut text, label text {NULL_TEXT}, options jsonb DEFAULT NULL::jsonb", False, "text"),
    "ensure_durofut(text)": ("fut text", True, "text"),
    # Behind the operators.
    "as_op(text,text)": ("fut text, name text", False, "text"),
    "if_then_op(text,text)": ("condition text, then_branch text", True, "text"),
    "if_else_op(text,text)": ("partial_if text, else_branch text", True, "text"),
    "loop_prefix_op(text)": ("body text", True, "text"),
    # Control.
    "start(text,text,text,text)":
        (f"fut text, label text {NULL_TEXT}, database text {NULL_TEXT}, transaction_mode text DEFAULT 'caller'::text", False, "text"),
    "cancel(text,text)": ("instance_id text, reason text DEFAULT 'Cancelled by user'::text", True, "text"),
    "signal(text,text,text)": ("instance_id text, signal_name text, signal_data text DEFAULT '{}'::text", True, "text"),
    "status(text)": ("instance_id text", True, "text"),
    "result(text)": ("instance_id text", True, "text"),
    "wait_for_completion(text,integer)": ("instance_id text, timeout_seconds integer DEFAULT 30", False, "text"),
    "run(text)": (f"instance_id text {NULL_TEXT}", False, "text"),
    "version()": ("", False, "text"),
    "target_database()": ("", False, "text"),
    "duroxide_schema()": ("", False, "text"),
    "explain(text)": ("input text", True, "text"),
    # Variables.
    "setvar(text,text)": ("name text, value text", False, "text"),
    "getvar(text)": ("name text", True, "text"),
    "unsetvar(text)": ("name text", True, "text"),
    "clearvars()": ("", False, "text"),
    # Monitoring.
    "list_instances(text,integer)":
        (f"status_filter text {NULL_TEXT}, limit_count integer DEFAULT 100", False, f"TABLE({INSTANCES})"),
    "list_instances(text,integer,text,text)":
        (f"status_filter text, limit_count integer, label_filter text, after_cursor text {NULL_TEXT}", False,
         f"TABLE({INSTANCES}, created_at timestamp with time zone, completed_at timestamp with time zone, next_cursor text)"),
    "instance_info(text)":
        ("instance_id text", False,
         "TABLE(instance_id text, label text, function_name text, function_version text, current_execution_id bigint, status text, output text)"),
    "instance_nodes(text)":
        ("instance_id_param text", False,
         (f"TABLE({NODES}, result text, status_details text, inferred_status text, inferred_status_from_ancestor_id text,"
         " updated_at timestamp with time zone)")),
    "instance_nodes(text,integer)":
        ("instance_id_param text, _last_n_executions integer", False,
         f"TABLE(execution_id bigint, {NODES}, result text, updated_at timestamp with time zone)"),
    "instance_executions(text,integer)":
        ("instance_id text, limit_count integer DEFAULT 5", False,
         "TABLE(execution_id bigint, status text, event_count bigint, duration_ms bigint, output text)"),
    "metrics()":
        ("", False,
         ("TABLE(total_instances bigint, running_instances bigint, completed_instances bigint, failed_instances bigint,"
         " total_executions bigint, total_events bigint)")),
    # Grants.
    "grant_usage(text,boolean,boolean)":
        ("p_role text, include_http boolean DEFAULT false, with_grant boolean DEFAULT false", False, "void"),
    "revoke_usage(text)": ("p_role text", False, "void"),
}  # fmt: skip

EXCEPTIONS = {
    "await_instance(text,integer)": "a step, as in the proposal for children; there it blocks, here df.wait_for_completion does",
    "setvar(text,text)": "NULL is an error and not silently ignored, so it is not strict",
    "as_op(text,text)": "a NULL operand gives NULL through df.as, which is strict",
}

SIGNATURES = """
select proname || '(' || array_to_string(array(
           select format_type(t.type, null) from unnest(proargtypes::oid[]) with ordinality as t (type, place) order by t.place
       ), ',') || ')',
       pg_get_function_arguments(oid), proisstrict, pg_get_function_result(oid)
from pg_proc where pronamespace = 'df'::regnamespace
"""


def test_every_function_of_the_reference_has_its_signature(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(SIGNATURES.encode()).fetchall()
    found = {name: (arguments.partition(", OUT")[0], strict, result) for name, arguments, strict, result in rows}
    assert {name: found.get(name) for name in REFERENCE} == REFERENCE
    assert EXCEPTIONS.keys() <= REFERENCE.keys()


def test_execute_can_be_granted_by_the_signatures_of_the_reference(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        for signature in REFERENCE:
            name, _, types = signature.partition("(")
            connection.execute(f'grant execute on function df."{name}"({types} to public'.encode())


CALLS = (
    "df.start('SELECT 1')",
    "df.start('SELECT 1', 'label')",
    "df.start('SELECT 1', 'label', null)",
    "df.start('SELECT 1', null, null, 'caller')",
    "df.start(fut => 'SELECT 1')",
    "df.start('SELECT 1', label => 'label')",
    "df.start('SELECT 1', database => null)",
    "df.start('SELECT 1', transaction_mode => 'caller')",
    "df.start(transaction_mode => 'caller', fut => 'SELECT 1', label => 'label', database => null)",
    "df.start('SELECT 1'::text)",
    "df.start('SELECT 1'::varchar, 'label'::varchar)",
    "df.start('SELECT 1'::text, 'label'::varchar, null::text, 'caller')",
    "df.start(df.sql('SELECT 1'), current_user)",
    "df.start('SELECT 1' ~> 'SELECT 2', 'label')",
)
WITH_A_KEY = (
    "df.start('SELECT 1', null, null, 'caller', 'key 1')",
    "df.start('SELECT 1', idempotency_key => 'key 2')",
    "df.start('SELECT 1'::text, 'label', idempotency_key => 'key 3'::text)",
    "df.start('SELECT 1'::varchar, idempotency_key => 'key 4'::varchar)",
    "df.start('SELECT 1' ~> 'SELECT 2', idempotency_key => 'key 5', label => 'label')",
    "df.start(fut => 'SELECT 1', idempotency_key => null)",
)


@pytest.mark.parametrize(("calls", "arguments"), [(CALLS, 4), (WITH_A_KEY, 5)])
def test_each_call_of_start_means_exactly_one_of_its_two_forms(
    any_database: str, calls: tuple[str, ...], arguments: int
) -> None:
    """Positional, named and mixed; of untyped literals, text and varchar."""
    with psycopg.connect(any_database, autocommit=True) as connection:
        for number, call in enumerate(calls):
            connection.execute(f"create temp view call_{number} as select {call} as id".encode())
            row = connection.execute(
                "select p.pronargs from pg_rewrite as r join pg_depend as d on d.objid = r.oid and d.classid = 'pg_rewrite'::regclass"
                " join pg_proc as p on p.oid = d.refobjid and d.refclassid = 'pg_proc'::regclass and p.proname = 'start'"
                f" where r.ev_class = 'call_{number}'::regclass"
            ).fetchone()
            assert row == (arguments,), call
            assert connection.execute(
                f"select count(*) from call_{number} where id ~ '^[0-9a-f]{{8}}$'".encode()
            ).fetchone() == (1,)


def test_what_is_no_text_cannot_be_started(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        for call in (
            "df.start(5)",
            "df.start('{}'::jsonb)",
            "df.start('SELECT 1', 5)",
            "df.start(5, idempotency_key => 'k')",
        ):
            with pytest.raises(psycopg.errors.UndefinedFunction):
                connection.execute(f"select {call}".encode())
