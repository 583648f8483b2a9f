"""The whole line on a real server: what people type into psql, a worker beside it, and what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from support.checker import check
from support.work import with_worker, worker_process

from pgweave.runtime.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases
    from support.work import Database

SEED = b"""SELECT df.start(
    df.call_child(
        $$ SELECT 42 AS report_id, 'ready' AS status $$,
        'generate-report',
        '{"timeout_seconds": 300}'
    ) |=> 'child'
    ~> 'INSERT INTO audit_log (payload) VALUES ($child::jsonb)',
    'parent-workflow'
);"""


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    with with_worker(database) as found:
        yield found
        check(database)


def rows(result: str | None) -> list[dict[str, object]]:
    assert result is not None
    found = json.loads(result)["rows"]
    assert isinstance(found, list)
    return found


def test_the_seed_pasted_into_psql_completes_with_its_row_in_the_audit_log(database: str) -> None:
    """libpq only: the compiler takes no part in the start."""
    connection = pq.PGconn.connect(database.encode())
    try:
        assert connection.exec_(b"create table audit_log (payload jsonb)").status == pq.ExecStatus.COMMAND_OK
        started = connection.exec_(SEED)
        assert started.status == pq.ExecStatus.TUPLES_OK, connection.error_message
        parent = (started.get_value(0, 0) or b"").decode()
        with worker_process(database):
            waited = connection.exec_(f"select df.wait_for_completion('{parent}', 60)".encode())
            assert waited.get_value(0, 0) == b"completed", connection.error_message
        found = connection.exec_(b"select payload from audit_log")
        assert found.ntuples == 1
        envelope = json.loads(found.get_value(0, 0) or b"")
        child = connection.exec_(b"select id from df.instances where label = 'generate-report'")
        assert envelope["instance_id"] == (child.get_value(0, 0) or b"").decode()
        assert envelope["status"] == "completed"
        assert envelope["result"]["rows"] == [{"report_id": 42, "status": "ready"}]
    finally:
        connection.finish()
    check(database)


def test_a_child_knows_its_parent(place: Database) -> None:
    parent = place.finish("df.call_child('SELECT 1', 'the-child')", "the-parent")
    child = next(instance for instance in place.client.instances() if instance.label == "the-child")
    assert child.parent_instance_id == parent.id
    assert [member.id for member in place.client.family(parent.id)] == [parent.id, child.id]


def test_the_envelope_of_a_child_has_exactly_three_fields(place: Database) -> None:
    parent = place.finish("df.call_child('SELECT 1 AS n') |=> 'c'")
    envelope = json.loads(parent.result or "")
    assert list(envelope) == ["instance_id", "status", "result"]
    assert envelope["result"]["rows"] == [{"n": 1}]


def test_the_fields_of_the_envelope_can_be_used_one_by_one(place: Database) -> None:
    parent = place.finish(
        "df.call_child('SELECT 7 AS n') |=> 'c' ~> "
        "'SELECT $c.status AS status, ($c.result)::jsonb #>> ''{rows,0,n}'' AS n, length($c.instance_id) AS width'"
    )
    assert rows(parent.result) == [{"status": "completed", "n": "7", "width": 8}]


def test_children_nest(place: Database) -> None:
    parent = place.finish("df.call_child(df.call_child(df.call_child('SELECT 3 AS deep', 'c'), 'b'), 'a')")
    assert parent.status == "completed"
    inner = json.loads(parent.result or "")["result"]["result"]["result"]
    assert inner["rows"] == [{"deep": 3}]


def test_the_names_of_a_child_are_its_own(place: Database) -> None:
    """The parent's $x must not be put into the child's SQL, nor its {v}."""
    parent = place.finish(
        "'SELECT 1 AS v' |=> 'x' ~> df.call_child('SELECT 2 AS v' |=> 'x' ~> 'SELECT $x AS seen') |=> 'c' ~> "
        "'SELECT ($c.result)::jsonb #>> ''{rows,0,seen}'' AS child, $x AS parent'"
    )
    assert rows(parent.result) == [{"child": "2", "parent": 1}]


def test_a_failed_child_fails_its_parent_with_the_documented_wording(place: Database) -> None:
    message = place.error("df.call_child('SELECT 1/0') |=> 'c'")
    child = next(instance for instance in place.client.instances() if instance.parent_instance_id)
    assert message == (
        f"Awaited instance {child.id} ended with status failed: "
        '"SQL execution failed: error returned from database: division by zero"'
    )


def test_a_cancelled_child_fails_its_parent_with_the_documented_wording(place: Database) -> None:
    parent = place.start("df.call_child(df.sleep(3600), 'sleeper')")
    place.events.wait_for("waiting", parent)
    (child,) = (instance for instance in place.client.instances() if instance.label == "sleeper")
    place.client.cancel(child.id, "the order was withdrawn")
    ended = place.ended(parent)
    assert (ended.error or {})["message"] == (
        f"Awaited instance {child.id} ended with status cancelled: the order was withdrawn"
    )


def test_a_timeout_fails_the_parent_and_leaves_the_child_running(place: Database) -> None:
    message = place.error("""df.call_child(df.sleep(3600), 'sleeper', '{"timeout_seconds": 1}')""")
    (child,) = (instance for instance in place.client.instances() if instance.label == "sleeper")
    assert message == f"Timed out after 1s waiting for instance {child.id}"
    assert child.status == "running"


def test_awaiting_an_instance_that_has_ended_answers_at_once(place: Database) -> None:
    child = place.finish("'SELECT 5 AS n'")
    parent = place.finish(f"df.await_instance('{child.id}')")
    assert json.loads(parent.result or "")["result"]["rows"] == [{"n": 5}]


def test_awaiting_an_unknown_instance_fails_at_once(place: Database) -> None:
    assert place.error("df.await_instance('ffffffff')") == "Instance not found: ffffffff"


def test_two_parents_wait_for_one_instance(place: Database) -> None:
    child = place.start("df.wait_for_signal('go')")
    parents = [place.start(f"df.await_instance('{child}')") for _ in range(2)]
    for parent in parents:
        place.events.wait_for("parked", parent)
    place.client.signal(child, "go")
    assert [place.ended(parent).status for parent in parents] == ["completed", "completed"]


def test_the_end_of_a_child_wakes_its_parent_in_the_same_transaction(database: str) -> None:
    """The parent is parked for ever; when the child's end is visible, the parent is due. No poll lies in between."""
    due = "select ready_at <= clock_timestamp() from df.queue where instance_id = %s"
    with Client(database) as client, psycopg.connect(database, autocommit=True) as connection:
        parent = client.start(_tree(connection, "df.call_child(df.wait_for_signal('go'), 'waits')"))
        _work_off(database)
        (child,) = (instance for instance in client.instances() if instance.label == "waits")
        assert connection.execute(due, [parent]).fetchone() == (False,)
        claimed = connection.execute("select token from df_internal.worker_claim('by hand', 10, 60)").fetchall()
        assert claimed == []
        client.signal(child.id, "go")
        token = connection.execute("select token from df_internal.worker_claim('by hand', 10, 60)").fetchone()
        assert token is not None
        connection.execute(
            "select df_internal.worker_finish(%s, %s, 'completed', '1', null, '[]')", [child.id, token[0]]
        )
        assert connection.execute(due, [parent]).fetchone() == (True,)
        _work_off(database)
        assert client.status(parent) == "completed"


def _tree(connection: psycopg.Connection[tuple[object, ...]], expression: str) -> str:
    found = connection.execute(f"select {expression}".encode()).fetchone()
    assert found is not None
    return str(found[0])


def _work_off(database: str) -> None:
    from pgweave.runtime.worker.service import Settings, Worker

    Worker(database, Settings(poll_seconds=0.05)).run(once=True)


def test_steps_run_strictly_in_order(place: Database) -> None:
    place.sql("create table log (n int, at timestamptz default clock_timestamp())")
    chain = " ~> ".join(f"'INSERT INTO log (n) VALUES ({n})'" for n in range(30))
    assert place.finish(chain).status == "completed"
    assert [n for (n,) in place.sql("select n from log order by at")] == list(range(30))


def test_a_failing_step_stops_the_workflow_and_undoes_nothing_before_it(place: Database) -> None:
    place.sql("create table log (n int)")
    instance = place.finish("'INSERT INTO log VALUES (1)' ~> 'SELECT 1/0' ~> 'INSERT INTO log VALUES (2)'")
    assert instance.status == "failed"
    assert place.sql("select n from log") == [(1,)]
    states = {node.query: node.status for node in place.client.nodes(instance.id)}
    assert states["SELECT 1/0"] == "failed"
    assert states["INSERT INTO log VALUES (2)"] == "pending"


def test_an_error_keeps_what_the_server_said(place: Database) -> None:
    place.sql("create table orders (amount int)")
    instance = place.finish("'SELECT amout FROM orders'")
    error = instance.error or {}
    assert error["sqlstate"] == "42703"
    assert error["position"] == 8
    assert "orders.amount" in error["hint"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("INSERT INTO t VALUES (1), (2)", {"rows": [], "row_count": 0, "rows_affected": 2}),
        ("INSERT INTO t VALUES (1), (2) RETURNING n", {"rows": [{"n": 1}, {"n": 2}], "row_count": 2, "rows_affected": 2}),
        ("UPDATE t SET n = 1 WHERE false", {"rows": [], "row_count": 0, "rows_affected": 0}),
        ("CREATE TABLE other (z int, a int)", {"rows": [], "row_count": 0, "rows_affected": 0}),
        ("WITH w AS (INSERT INTO t VALUES (3) RETURNING n) SELECT n AS z, 1 AS a FROM w",
         {"rows": [{"z": 3, "a": 1}], "row_count": 1, "rows_affected": 1}),
        ("WITH w AS (SELECT 4) INSERT INTO t SELECT * FROM w", {"rows": [], "row_count": 0, "rows_affected": 1}),
        ("VALUES (1, NULL)", {"rows": [{"column1": 1, "column2": None}], "row_count": 1, "rows_affected": 1}),
        ("DO $$ BEGIN PERFORM 1; END $$", {"rows": [], "row_count": 0, "rows_affected": 0}),
        ("SELECT 1 AS a;", {"rows": [{"a": 1}], "row_count": 1, "rows_affected": 1}),
    ],
)  # fmt: skip
def test_results_have_rows_in_select_order_and_both_counts(
    place: Database, step: str, expected: dict[str, object]
) -> None:
    place.sql("create table t (n int)")
    instance = place.finish(f"$df${step}$df$")
    assert instance.status == "completed", instance.error
    found = json.loads(instance.result or "")
    assert found == expected
    assert [list(row) for row in found["rows"]] == [list(row) for row in expected["rows"]]  # type: ignore[attr-defined]


def test_every_column_type_can_be_returned(place: Database) -> None:
    instance = place.finish(
        "$$SELECT '\\xff00'::bytea AS bytes, array[1,2] AS list, interval '1 day' AS span, '1.50'::numeric AS exact,"
        " point(1,2) AS place, '[1,3)'::int4range AS range, row(1,'a') AS pair, '10.0.0.1'::inet AS host$$"
    )
    assert instance.status == "completed", instance.error
    assert '"exact":1.50' in (instance.result or "")
    assert rows(instance.result)[0]["list"] == [1, 2]


@pytest.mark.parametrize(
    "step", ["COMMIT", "ROLLBACK", "SAVEPOINT a", "PREPARE TRANSACTION 'x'", "COMMIT AND CHAIN", "BEGIN"]
)
def test_a_step_cannot_leave_its_transaction(place: Database, step: str) -> None:
    message = place.error(f"$${step}$$")
    assert "transaction" in message.lower()


def test_a_step_is_one_statement(place: Database) -> None:
    place.sql("create table log (n int)")
    message = place.error("'INSERT INTO log VALUES (1); INSERT INTO log VALUES (2)'")
    assert "one statement" in message
    assert place.sql("select n from log") == []


def test_a_result_over_the_limit_is_an_error_and_undoes_the_step(place: Database) -> None:
    place.sql("create table log (n int)")
    instance = place.finish(
        "'WITH w AS (INSERT INTO log VALUES (1)) SELECT repeat(''x'', 600000) AS a FROM generate_series(1, 2)'"
    )
    assert (instance.error or {})["sqlstate"] == "PWR03"
    assert place.sql("select n from log") == []


def test_if_takes_the_branch_its_condition_names(place: Database) -> None:
    assert rows(place.finish("'SELECT 1 > 0' ?> 'SELECT 1 AS taken' !> 'SELECT 2 AS taken'").result) == [{"taken": 1}]
    assert rows(place.finish("'SELECT 1 WHERE false' ?> 'SELECT 1 AS taken' !> 'SELECT 2 AS taken'").result) == [
        {"taken": 2}
    ]


def test_join_runs_all_branches_and_returns_their_results_in_order(place: Database) -> None:
    joined = place.finish("df.join3('SELECT 1 AS n', df.sleep(0) ~> 'SELECT 2 AS n', 'SELECT 3 AS n')")
    assert [branch["rows"] for branch in json.loads(joined.result or "")] == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]


def test_join_branches_run_side_by_side(place: Database) -> None:
    """Each branch waits until both have arrived: in turn they would never meet."""
    place.sql("create sequence arrived")
    place.sql(
        "create function meet() returns boolean language plpgsql as $f$ begin perform nextval('arrived');"
        " for i in 1..3000 loop"
        "  if (select last_value from arrived) >= 2 then return true; end if; perform pg_sleep(0.01);"
        " end loop; return false; end $f$"
    )
    joined = place.finish("'SELECT meet() AS met' & 'SELECT meet() AS met'")
    assert [branch["rows"] for branch in json.loads(joined.result or "")] == [[{"met": True}], [{"met": True}]]


def test_a_failing_branch_lets_its_sibling_finish_and_then_fails_the_join(place: Database) -> None:
    place.sql("create table log (n int)")
    message = place.error("'SELECT 1/0' & (df.sleep(1) ~> 'INSERT INTO log VALUES (1)')")
    assert message == "JOIN branch 1 failed: SQL execution failed: error returned from database: division by zero"
    assert place.sql("select n from log") == [(1,)]


def test_names_bound_in_join_branches_are_visible_after_the_join(place: Database) -> None:
    instance = place.finish("('SELECT 1' |=> 'a') & ('SELECT 2' |=> 'b') ~> 'SELECT $a + $b AS sum'")
    assert rows(instance.result) == [{"sum": 3}]


def test_a_sleep_never_ends_early_by_the_databases_clock(place: Database) -> None:
    instance = place.finish("df.sleep(1) ~> 'SELECT 1'")
    (slept,) = (node for node in place.client.nodes(instance.id) if node.node_type == "SLEEP")
    assert slept.started_at is not None
    assert slept.finished_at is not None
    assert (slept.finished_at - slept.started_at).total_seconds() >= 1.0
    assert slept.result == '{"slept": true, "seconds": 1}'


def test_a_race_is_won_by_the_first_and_the_loser_does_nothing_more(place: Database) -> None:
    place.sql("create table log (n int)")
    instance = place.finish("'SELECT 1 AS won' | (df.sleep(1) ~> 'INSERT INTO log VALUES (1)')")
    assert rows(instance.result) == [{"won": 1}]
    place.finish("df.sleep(2)")
    assert place.sql("select n from log") == []


def test_a_loop_runs_while_its_condition_holds_and_remembers_names(place: Database) -> None:
    place.sql("create table log (n int)")
    instance = place.finish(
        "'SELECT 10 AS base' |=> 'start' ~> df.loop("
        "'INSERT INTO log SELECT $start + count(*) FROM log RETURNING n' |=> 'last', 'SELECT $last < 13')"
    )
    assert rows(instance.result) == [{"n": 13}]
    assert place.sql("select n from log order by n") == [(10,), (11,), (12,), (13,)]


def test_break_leaves_the_loop_with_its_value(place: Database) -> None:
    instance = place.finish("df.loop(df.sleep(0) ~> df.break('{\"done\": true}')) |=> 'r' ~> 'SELECT $r.done AS done'")
    assert rows(instance.result) == [{"done": True}]


def test_a_loop_keeps_only_its_latest_turn(place: Database) -> None:
    place.sql("create sequence turns")
    instance = place.finish("df.loop('SELECT nextval(''turns'') AS n' |=> 't', 'SELECT $t < 50')")
    assert instance.status == "completed"
    assert place.sql("select count(*) <= 6 from df.runs where instance_id = %s", instance.id) == [(True,)]


def test_a_signal_is_kept_until_a_wait_takes_it_first_in_first_out(place: Database) -> None:
    instance = place.start(
        "df.sleep(1) ~> (df.wait_for_signal('go') |=> 'one') ~> (df.wait_for_signal('go') |=> 'two')"
        " ~> 'SELECT ($one::jsonb)->''data'' AS one, ($two::jsonb)->''data'' AS two'"
    )
    place.client.signal(instance, "go", {"n": 1})
    place.client.signal(instance, "go", {"n": 2})
    assert rows(place.ended(instance).result) == [{"one": {"n": 1}, "two": {"n": 2}}]


def test_a_signal_that_does_not_come_is_a_normal_result(place: Database) -> None:
    instance = place.finish("df.wait_for_signal('never', 1)")
    assert json.loads(instance.result or "") == {"signal_name": "never", "timed_out": True, "data": None}


def test_cancel_ends_an_instance_that_waits(place: Database) -> None:
    instance = place.start("df.sleep(3600) ~> 'SELECT 1'")
    place.events.wait_for("parked", instance)
    assert place.client.cancel(instance, "changed my mind") == f"Instance {instance} cancelled: changed my mind"
    assert place.client.status(instance) == "cancelled"
    ended = place.ended(instance)
    assert (ended.error or {})["message"] == "canceled: changed my mind"
    assert ended.completed_at is not None


def test_no_step_begins_after_a_cancel_was_committed(place: Database) -> None:
    """The step that asks for the cancel ends; the next one must not begin."""
    place.sql("create table log (n int)")
    instance = place.finish("'SELECT df.cancel(''{sys_instance_id}'')' ~> 'INSERT INTO log VALUES (1)'")
    assert instance.status == "cancelled"
    assert place.sql("select n from log") == []


def test_cancelling_an_ended_instance_changes_nothing(place: Database) -> None:
    instance = place.finish("'SELECT 1'")
    assert place.client.cancel(instance.id) == f"Instance {instance.id} is already completed"
    assert place.client.status(instance.id) == "completed"


def test_a_rolled_back_start_never_existed(place: Database) -> None:
    with psycopg.connect(place.dsn) as connection:
        connection.execute("create table never (n int)")
        connection.execute("select df.start('INSERT INTO never VALUES (1)')")
        connection.rollback()
    place.finish("'SELECT 1'")
    assert len(place.client.instances()) == 1


def test_a_late_commit_is_found_all_the_same(place: Database) -> None:
    """An instance that was started early and committed late must not be stranded."""
    with psycopg.connect(place.dsn) as connection:
        found = connection.execute("select df.start('SELECT 1')").fetchone()
        assert found is not None
        place.finish("'SELECT 2'")
        connection.commit()
    assert place.ended(found[0]).status == "completed"


def test_variables_are_captured_at_the_start(place: Database) -> None:
    place.client.setvar("who", "ann")
    instance = place.start("df.wait_for_signal('go') ~> 'SELECT ''{who} {sys_label}'' AS seen'", "greeting")
    place.client.setvar("who", "bob")
    place.client.signal(instance, "go")
    assert rows(place.ended(instance).result) == [{"seen": "ann greeting"}]


def test_a_terminal_status_cannot_be_changed_even_by_the_owner(place: Database) -> None:
    instance = place.finish("'SELECT 1'")
    with pytest.raises(psycopg.DatabaseError, match="never changes"):
        place.sql("update df.instances set status = 'running' where id = %s", instance.id)


def test_a_node_written_by_hand_that_makes_no_sense_is_refused_by_name_and_blocks_nobody(place: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="Invalid sleep duration: soon"):
        place.start("""'{"node_type":"SLEEP","query":"soon"}'""")
    assert place.finish("'SELECT 1'").status == "completed"


def test_a_child_that_fails_can_be_a_result(place: Database) -> None:
    parent = place.finish(
        """df.call_child('SELECT 1/0', 'c', '{"on_failure": "return"}') |=> 'c' ~> 'SELECT $c.status AS status'"""
    )
    assert rows(parent.result) == [{"status": "failed"}]
    (waited,) = (node for node in place.client.nodes(parent.id) if node.node_type == "AWAIT_INSTANCE")
    envelope = json.loads(waited.result or "")
    assert list(envelope) == ["instance_id", "status", "result", "error"]
    assert "division by zero" in envelope["error"]


def test_a_timeout_can_be_a_result(place: Database) -> None:
    parent = place.finish("""df.call_child(df.sleep(3600), 'c', '{"timeout_seconds": 1, "on_timeout": "return"}')""")
    envelope = json.loads(parent.result or "")
    assert (envelope["status"], envelope["timed_out"]) == ("running", True)
    assert envelope["error"].startswith("Timed out after 1s waiting for instance ")


@pytest.mark.parametrize(("on_cancel", "status"), [("leave", "running"), ("cancel", "cancelled")])
def test_a_cancelled_parent_leaves_its_child_or_takes_it_along(place: Database, on_cancel: str, status: str) -> None:
    parent = place.start(f"""df.call_child(df.sleep(3600), 'c', '{{"on_cancel": "{on_cancel}"}}')""")
    place.events.wait_for("parked", parent)
    place.client.cancel(parent)
    place.ended(parent)
    (child,) = (instance for instance in place.client.instances() if instance.label == "c")
    assert place.client.status(child.id) == status


def test_a_child_in_a_lost_race_is_cancelled_if_its_call_says_so(place: Database) -> None:
    place.finish("""df.call_child(df.sleep(3600), 'c', '{"on_cancel": "cancel"}') | df.sleep(1)""")
    (child,) = (instance for instance in place.client.instances() if instance.label == "c")
    assert place.ended(child.id).status == "cancelled"


def test_a_race_does_not_wait_for_the_statement_of_its_loser(place: Database) -> None:
    place.sql("create table log (n int)")
    instance = place.finish("'SELECT 1 AS won' | $$WITH s AS (SELECT pg_sleep(600)) INSERT INTO log SELECT 1 FROM s$$")
    assert rows(instance.result) == [{"won": 1}]
    assert place.sql("select n from log") == []


def test_cancel_interrupts_the_statement_in_hand(place: Database) -> None:
    instance = place.start("'SELECT pg_sleep(600)'")
    place.events.wait_for("step", instance)
    place.client.cancel(instance)
    assert place.ended(instance).status == "cancelled"


def test_statements_that_refuse_transactions_run_alone(place: Database) -> None:
    place.sql("create table t (n int)")
    place.sql(
        "create procedure twice() language plpgsql as $p$ begin insert into t values (1); commit;"
        " insert into t values (2); rollback; insert into t values (3); end $p$"
    )
    instance = place.finish("'VACUUM t' ~> 'CREATE INDEX CONCURRENTLY t_n ON t (n)' ~> 'CALL twice()'")
    assert instance.status == "completed", instance.error
    assert place.sql("select n from t order by n") == [(1,), (3,)]
    assert place.sql("select count(*) from pg_indexes where indexname = 't_n'") == [(1,)]


def test_steps_run_in_the_database_that_the_start_names(place: Database, databases: TemplateDatabases) -> None:
    other = databases.create()
    name = conninfo_to_dict(other)["dbname"]
    try:
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("drop schema df, df_internal cascade")
            connection.execute("create table there (n int)")
        found = place.sql(
            "select df.start('INSERT INTO there VALUES (7) RETURNING n' |=> 'x'"
            " ~> 'SELECT $x AS n, current_database() AS place', database => %s)", name,
        )  # fmt: skip
        assert rows(place.ended(found[0][0]).result) == [{"n": 7, "place": name}]
        child = place.sql(
            """select df.start(df.call_child('SELECT current_database() AS place', 'c'), database => %s)""", name
        )
        envelope = json.loads(place.ended(child[0][0]).result or "")
        assert envelope["result"]["rows"] == [{"place": conninfo_to_dict(place.dsn)["dbname"]}]
    finally:
        # The step sessions of this test's worker keep the database in use; dropping it by force ends them.
        databases.drop(other)


def test_a_row_set_keeps_its_columns_when_it_has_no_rows(place: Database) -> None:
    instance = place.finish("'SELECT 1 AS a, 2 AS b WHERE false' |=> 'r' ~> 'SELECT count(r.b) AS n FROM $r.*'")
    assert rows(instance.result) == [{"n": 0}]


def test_an_endless_loop_that_never_waits_cannot_eat_a_worker(place: Database) -> None:
    place.sql("create sequence turns")
    instance = place.start("@> 'SELECT nextval(''turns'')'")
    place.finish("df.sleep(3)")
    place.client.cancel(instance)
    place.ended(instance)
    (turns,) = place.sql("select last_value from turns")
    assert 2 <= turns[0] <= 5


def test_every_run_of_a_step_can_be_drawn_on_a_time_line(place: Database) -> None:
    """Steps and waits of a parent and of its child, the latest turn of a loop, and what is still waited for."""
    parent = place.start(
        "df.call_child('SELECT 1', 'child') ~> ('SELECT 0 AS n' |=> 't')"
        " ~> df.loop('SELECT $t.n + 1 AS n' |=> 't', 'SELECT $t.n < 3') ~> df.wait_for_signal('go', 3600)"
    )
    place.events.wait_for("waiting", parent, times=2)
    runs = place.client.runs(parent)
    (child,) = {run.instance_id for run in runs} - {parent}
    assert [(run.instance_id == child, run.node_type, tuple(run.iteration), run.status) for run in runs] == [
        (False, "SQL", (), "completed"),
        (False, "AWAIT_INSTANCE", (), "completed"),
        (True, "SQL", (), "completed"),
        (False, "SQL", (), "completed"),
        (False, "SQL", (3,), "completed"),
        (False, "SQL", (3,), "completed"),
        (False, "SIGNAL", (), "waiting"),
    ]
    assert [run.awaited_id for run in runs if run.node_type == "AWAIT_INSTANCE"] == [child]
    waiting = runs[-1]
    assert (waiting.signal_name, waiting.completed_at, waiting.attempts) == ("go", None, 1)
    assert waiting.due_at is not None
    assert waiting.due_at > waiting.started_at
    nodes = {(node.instance_id, node.id): node.ordinal for node in place.client.nodes(parent, child)}
    for run in runs[:-1]:
        assert run.ordinal == nodes[run.instance_id, run.node_id]
        assert run.completed_at is not None
        assert run.completed_at >= run.started_at


def test_a_step_in_hand_is_on_the_time_line_too(place: Database) -> None:
    instance = place.start("'SELECT 1' ~> 'SELECT pg_sleep(600)'")
    place.until(
        f"exists (select from df.nodes where instance_id = '{instance}' and query like '%pg_sleep%' and status = 'running')"
    )
    assert [run.status for run in place.client.runs(instance)] == ["completed", "running"]
    place.client.cancel(instance)
    assert place.ended(instance).status == "cancelled"
    assert [run.status for run in place.client.runs(instance)] == ["completed"]
