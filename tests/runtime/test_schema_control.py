"""Starting, steering and asking through plain SQL: atomicity, idempotency, limits, retention, hostile input."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from support.checker import check
from support.work import Database, with_worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    """With a worker."""
    with with_worker(database) as found:
        yield found
        check(database)


@pytest.fixture
def quiet(any_database: str) -> Iterator[Database]:
    """Without one, on every supported PostgreSQL."""
    found = Database(any_database)
    yield found
    found.client.close()


def one(place: Database, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - of any type
    ((value,),) = place.sql(statement, *arguments)
    return value


def refusal(place: Database, statement: str, *arguments: object) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        place.sql(statement, *arguments)
    return caught.value


def said(place: Database, statement: str, *arguments: object) -> str:
    return str(refusal(place, statement, *arguments).diag.message_primary)


def stored(place: Database) -> int:
    return int(
        one(
            place,
            "select (select count(*) from df.instances) + (select count(*) from df.nodes) + (select count(*) from df.queue)",
        )
    )


# Starting.


def test_ids_are_eight_lower_case_hexadecimal_digits(quiet: Database) -> None:
    ids = [row[0] for row in quiet.sql("select df.start('SELECT 1') from generate_series(1, 50)")]
    assert len(set(ids)) == 50
    assert all(len(found) == 8 and set(found) <= set("0123456789abcdef") for found in ids)


def test_one_stored_graph_can_be_started_many_times(quiet: Database) -> None:
    quiet.sql("create table graphs as select 'SELECT 1' ~> 'SELECT 2' as graph")
    ids = quiet.sql("select df.start(graph) from graphs, generate_series(1, 3)")
    assert len(set(ids)) == 3
    assert one(quiet, "select count(*) from df.nodes") == 9


def test_a_start_is_rows_in_the_callers_transaction(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn) as connection:
        started = connection.execute("select df.start('SELECT 1')").fetchone()
        assert started is not None
        assert quiet.sql("select df.status(%s)", started[0]) == [(None,)]
        connection.rollback()
        assert stored(quiet) == 0
        connection.execute("begin")
        connection.execute("savepoint a")
        connection.execute("select df.start('SELECT 1')")
        connection.execute("rollback to a")
        connection.execute("select df.start('SELECT 2')")
        connection.commit()
    assert quiet.sql("select query from df.nodes") == [("SELECT 2",)]


def test_label_and_database_are_stored_on_the_instance_and_all_its_nodes(quiet: Database) -> None:
    name = conninfo_to_dict(quiet.dsn)["dbname"]
    started = one(quiet, "select df.start('a' ~> 'b', 'it''s \"my\" label', %s)", name)
    assert quiet.sql("select label, database from df.instances where id = %s", started) == [('it\'s "my" label', name)]
    assert quiet.sql("select distinct database from df.nodes") == [(name,)]


def test_what_cannot_start_is_refused_and_nothing_is_stored(quiet: Database) -> None:
    assert said(quiet, "select df.start(null)") == "Invalid durable function: it is NULL"
    assert said(quiet, "select df.start('a', database => 'nowhere')") == 'database "nowhere" does not exist'
    assert said(quiet, "select df.start('a', transaction_mode => 'later')") == (
        "invalid transaction_mode \"later\" for df.start(): expected 'caller' or 'new'"
    )
    assert said(quiet, "select df.start('a', transaction_mode => null)").startswith("invalid transaction_mode")
    assert said(quiet, "select df.start('a' ~> null)") == "Invalid durable function: it is NULL"
    assert stored(quiet) == 0


def test_the_mode_is_read_without_regard_to_case(quiet: Database) -> None:
    assert one(quiet, "select df.start('a', null, null, 'CALLER')")


def test_variables_set_earlier_in_the_same_transaction_are_captured(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("select df.setvar('a', '1')")
        connection.execute("select df.start('SELECT {a}')")
        connection.execute("select df.setvar('a', '2')")
    assert one(quiet, "select variables from df.instances") == {"a": "1"}


# The same key.


def test_the_same_key_gives_the_same_instance(quiet: Database) -> None:
    first = one(quiet, "select df.start('SELECT 1', idempotency_key => 'order 7')")
    assert one(quiet, "select df.start('SELECT 1', idempotency_key => 'order 7')") == first
    assert one(quiet, "select df.start('SELECT 1', 'label', idempotency_key => 'order 7')") == first
    assert one(quiet, "select df.start('SELECT 1', idempotency_key => 'order 8')") != first
    assert one(quiet, "select df.start('SELECT 1')") != one(quiet, "select df.start('SELECT 1')")
    assert one(quiet, "select count(*) from df.nodes") == 4


def test_a_key_whose_start_was_rolled_back_is_free(quiet: Database) -> None:
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("select df.start('SELECT 1', idempotency_key => 'k')")
        connection.rollback()
    assert one(quiet, "select df.start('SELECT 2', idempotency_key => 'k')")
    assert quiet.sql("select query from df.nodes") == [("SELECT 2",)]


def test_sessions_that_start_with_one_key_at_once_share_one_instance(quiet: Database) -> None:
    together, ids = Barrier(4), []

    def start() -> None:
        with psycopg.connect(quiet.dsn, autocommit=True) as connection:
            together.wait()
            row = connection.execute("select df.start('SELECT 1', idempotency_key => 'k')").fetchone()
            assert row is not None
            ids.append(row[0])

    threads = [Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert one(quiet, "select count(*) from df.instances") == 1


# In a transaction of its own.


def test_a_new_transaction_needs_dblink_and_says_so(quiet: Database) -> None:
    error = refusal(quiet, "select df.start('SELECT 1', transaction_mode => 'new')")
    assert "needs the extension dblink" in str(error)
    assert error.diag.message_hint


def test_a_start_in_a_new_transaction_survives_the_rollback_of_the_caller(quiet: Database) -> None:
    if not quiet.sql("select name from pg_available_extensions where name = 'dblink'"):
        pytest.skip("this PostgreSQL was built without dblink; Debian's 15 has it")
    quiet.sql("create extension dblink")
    quiet.sql("select df.setvar('committed', '1')")
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("select df.setvar('open', '1')")
        started = connection.execute("select df.start('SELECT ''é''', 'it''s', transaction_mode => 'New')").fetchone()
        assert started is not None
        seen = connection.execute("select label, variables from df.instances where id = %s", started).fetchone()
        assert seen == ("it's", {"committed": "1"})
        with pytest.raises(psycopg.Error, match=r"df.start\(\) on new transaction failed: Invalid durable function: "):
            connection.execute("select df.start('OK', transaction_mode => 'new')")
        connection.rollback()
        assert connection.execute("select dblink_get_connections()").fetchone() == (None,)
        connection.execute("select set_config('df.in_workflow', 'true', true)")
        with pytest.raises(psycopg.Error, match="cannot be called inside a workflow - "):
            connection.execute("select df.start('SELECT 1', transaction_mode => 'new')")
    assert quiet.sql("select instance_id, query from df.nodes") == [(started[0], "SELECT 'é'")]
    assert one(quiet, "select df.status(%s)", started[0]) == "pending"


# Steering and asking.


def test_status_result_and_friends_of_unknown_ids(quiet: Database) -> None:
    assert one(quiet, "select df.status('00000000')") is None
    assert one(quiet, "select df.result('00000000')") is None
    started = one(quiet, "select df.start('SELECT 1', 'my label')")
    assert one(quiet, "select df.status('my label')") is None
    assert one(quiet, "select df.result(%s)", started) is None
    for call in ("df.cancel('00000000')", "df.signal('00000000', 'x')"):
        assert said(quiet, f"select {call}") == "Instance not found or access denied: 00000000"
    assert said(quiet, "select df.signal('', 'x')") == "Instance ID cannot be empty"
    assert said(quiet, "select df.signal(%s, '')", started) == "Signal name cannot be empty"
    assert said(quiet, "select df.wait_for_completion('00000000')") == "Instance not found: 00000000"
    assert said(quiet, "select df.wait_for_completion(%s, 0)", started) == "Timeout must be positive"
    for call in (
        "df.cancel(null)",
        "df.signal(null, 'x')",
        "df.signal(%s, 'x', null)",
        "df.status(null)",
        "df.result(null)",
    ):
        assert one(quiet, f"select {call}".replace("%s", f"'{started}'")) is None


def test_waiting_in_vain_says_for_how_long_and_for_what(quiet: Database) -> None:
    started = one(quiet, "select df.start('SELECT 1')")
    assert said(quiet, "select df.wait_for_completion(%s, 1)", started) == (
        f"Timeout after 1s waiting for instance {started} (status: pending). Check if background worker is running."
    )


def test_waiting_for_what_this_transaction_started_is_refused_at_once(quiet: Database) -> None:
    assert "was started in this transaction" in said(quiet, "select df.wait_for_completion(df.start('SELECT 1'), 60)")


def test_a_payload_is_json_if_it_can_be_and_else_a_string(quiet: Database) -> None:
    started = one(quiet, "select df.start('SELECT 1')")
    for payload in ('{"b": 1.50}', "[1]", '"x"', "null", "plain text", "{broken", r'"\u0000"', ""):
        assert one(quiet, "select df.signal(%s, 'go', %s)", started, payload) == "OK"
    assert one(quiet, "select df.signal(%s, 'go')", started) == "OK"
    assert [row[0] for row in quiet.sql("select payload::text from df.inbox order by id")] == [
        '{"b": 1.50}', "[1]", '"x"', "null", '"plain text"', '"{broken"', r'"\"\\u0000\""', '""', "{}",
    ]  # fmt: skip


def test_signals_and_cancels_belong_to_the_senders_transaction(quiet: Database) -> None:
    started = one(quiet, "select df.start('SELECT 1')")
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("select df.signal(%s, 'go')", [started])
        connection.execute("select df.cancel(%s)", [started])
        assert connection.execute("select df.status(%s)", [started]).fetchone() == ("cancelled",)
        assert one(quiet, "select df.status(%s)", started) == "pending"
        connection.rollback()
    assert one(quiet, "select count(*) from df.inbox") == 0


def test_a_cancel_in_an_open_transaction_does_not_hold_up_a_worker(place: Database) -> None:
    started = place.start("df.wait_for_signal('go') ~> 'SELECT 1'")
    place.events.wait_for("parked", started)
    with psycopg.connect(place.dsn) as connection:
        connection.execute("select df.cancel(%s)", [started])
        place.client.signal(started, "go")
        assert place.ended(started).status == "completed"
        connection.rollback()
    assert place.client.status(started) == "completed"


def test_steering_an_instance_that_has_ended_changes_nothing(place: Database) -> None:
    ended = place.finish("'SELECT 42 AS n'")
    before = place.sql("select * from df.instances")
    assert one(place, "select df.cancel(%s)", ended.id) == f"Instance {ended.id} is already completed"
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is completed"):
        place.sql("select df.signal(%s, 'go')", ended.id)
    assert one(place, "select df.status(%s)", ended.id) == "completed"
    assert "42" in one(place, "select df.result(%s)", ended.id)
    assert one(place, "select df.wait_for_completion(%s)", ended.id) == "completed"
    assert place.sql("select * from df.instances") == before


def test_inside_a_workflow_some_calls_are_refused_by_name(place: Database) -> None:
    refused = {
        "df.setvar('a', 'b')": "df.setvar() cannot be called inside a workflow - set variables before starting the workflow",
        "df.unsetvar('a')": "df.unsetvar() cannot be called inside a workflow - manage variables before starting the workflow",
        "df.clearvars()": "df.clearvars() cannot be called inside a workflow - manage variables before starting the workflow",
        "df.wait_for_completion('{sys_instance_id}')":
            "df.wait_for_completion() cannot be called inside a workflow - use df.await_instance() as a step instead",
    }  # fmt: skip
    for call, expected in refused.items():
        assert place.error(f"$$SELECT {call}$$") == f"SQL execution failed: error returned from database: {expected}"
    place.client.setvar("a", "b")
    ended = place.finish(
        "$$SELECT df.getvar('a') AS a, df.status('{sys_instance_id}') AS s, df.start('SELECT 1') IS NULL AS n$$"
    )
    assert ended.result is not None
    assert '{"a":"b","s":"running","n":false}' in ended.result


def test_variables_are_set_read_and_removed(quiet: Database) -> None:
    assert one(quiet, "select df.setvar('a', '1')") == "OK"
    assert one(quiet, "select df.setvar('a', '2')") == "OK"
    for name in ("it's", '"; drop table df.vars; --', "", "é 🐘", "x" * 200):
        assert one(quiet, "select df.setvar(%s, %s)", name, name) == "OK"
        assert one(quiet, "select df.getvar(%s)", name) == name
    assert one(quiet, "select df.getvar('a')") == "2"
    assert one(quiet, "select df.getvar('b')") is None
    assert one(quiet, "select df.unsetvar('b')") == "OK"
    assert one(quiet, "select df.unsetvar('a')") == "OK"
    assert one(quiet, "select df.getvar('a')") is None
    assert said(quiet, "select df.setvar('a', null)") == "df.setvar: name and value cannot be NULL"
    assert one(quiet, "select df.clearvars()") == "OK"
    assert one(quiet, "select count(*) from df.vars") == 0


def test_small_functions_answer(quiet: Database) -> None:
    assert one(quiet, "select df.target_database()") == conninfo_to_dict(quiet.dsn)["dbname"]
    assert one(quiet, "select df.version()").startswith("pgweave schema ")
    assert one(quiet, "select df.run()") == "Triggered run for all pending instances"
    assert one(quiet, "select df.run('a1b2c3d4')") == "Triggered run for instance: a1b2c3d4"


# By hand.

INSTANCE = "insert into df.instances (root_node) values ('00000000') returning id"
NODE = "insert into df.nodes (id, instance_id, ordinal, node_type, query, left_node, right_node) values "
LEAF = "('00000000', %s, 0, 'SQL', 'SELECT 1', null, null)"


def by_hand(place: Database, *nodes: str) -> str:
    """Insert an instance with these nodes, as a compiled script does; its id."""
    with psycopg.connect(place.dsn) as connection:
        row = connection.execute(INSTANCE).fetchone()
        assert row is not None
        for node in nodes:
            connection.execute((NODE + node.replace("%s", f"'{row[0]}'")).encode())
        connection.commit()  # here, so that a refusal leaves the block like any other error
    return str(row[0])


def test_rows_written_by_hand_run_like_any_other(place: Database) -> None:
    assert place.ended(by_hand(place, LEAF)).status == "completed"


@pytest.mark.parametrize(
    ("nodes", "constraint"),
    [
        ((), "instances_root_node_same_instance_fkey"),
        (("('00000001', %s, 0, 'SQL', 'x', null, null)",), "instances_root_node_same_instance_fkey"),
        ((LEAF, "('00000001', %s, 1, 'SQL', 'x', null, null)"), "instances_graph_chk"),
        (("('00000000', %s, 5, 'SQL', 'x', null, null)",), "instances_graph_chk"),
        (("('00000000', %s, 0, 'THEN', null, '00000001', '00000001')", "('00000001', %s, 1, 'SQL', 'x', null, null)"),
         "instances_graph_chk"),
        (("('00000000', %s, 0, 'THEN', null, '00000001', '00000009')", "('00000001', %s, 1, 'SQL', 'x', null, null)"),
         "instances_graph_chk"),
        (("('00000000', %s, 0, 'LOOP', null, '00000000', null)",), "instances_graph_chk"),
        (("('00000000', %s, 0, 'LOOP', null, '00000001', null)", "('00000001', %s, 1, 'LOOP', null, '00000000', null)"),
         "instances_graph_chk"),
        (("('00000000', %s, 0, 'LOOP', 'not json', '00000001', null)", "('00000001', %s, 1, 'SQL', 'x', null, null)"),
         "instances_graph_chk"),
        (("('00000000', %s, 0, 'SQL', null, null, null)",), "nodes_structure_chk"),
        (("('00000000', %s, 0, 'SQL', 'x', '00000000', null)",), "nodes_structure_chk"),
        (("('00000000', %s, 0, 'FOO', 'x', null, null)",), "nodes_node_type_chk"),
        (("('0000000G', %s, 0, 'SQL', 'x', null, null)",), "nodes_id_format_chk"),
        ((LEAF, "('00000000', 'ffffffff', 0, 'SQL', 'x', null, null)"), "nodes_instance_identity_fkey"),
    ],
)  # fmt: skip
def test_rows_that_are_no_graph_are_refused_by_name(database: str, nodes: tuple[str, ...], constraint: str) -> None:
    place = Database(database)
    with pytest.raises(psycopg.Error) as caught:
        by_hand(place, *nodes)
    place.client.close()
    assert caught.value.diag.constraint_name == constraint
    assert stored(place) == 0


def test_a_graph_by_hand_is_bound_by_the_same_limits(quiet: Database) -> None:
    deep = [f"('{n:08x}', %s, {n}, 'LOOP', null, '{n + 1:08x}', null)" for n in range(257)]
    with pytest.raises(psycopg.Error, match="maximum nesting depth of 256"):
        by_hand(quiet, *deep, f"('{257:08x}', %s, 257, 'SQL', 'x', null, null)")
    quiet.sql("update df.settings set value = 3 where name = 'max_nodes'")
    with pytest.raises(psycopg.Error, match="maximum node count of 3"):
        by_hand(quiet, *deep[:3], f"('{3:08x}', %s, 3, 'SQL', 'x', null, null)")
    quiet.sql("update df.settings set value = 1000 where name = 'max_graph_bytes'")
    with pytest.raises(psycopg.Error, match="maximum size of 1000 bytes"):
        by_hand(quiet, "('00000000', %s, 0, 'SQL', repeat('x', 2000), null, null)")


# Limits.


def limit(place: Database, name: str, value: int) -> None:
    place.sql("update df.settings set value = %s where name = %s", value, name)


def test_every_limit_has_an_error_of_its_own_and_stores_nothing(quiet: Database) -> None:
    limit(quiet, "max_graph_bytes", 1000)
    assert said(quiet, "select df.start(repeat('x', 1001))") == (
        "Invalid durable function: Workflow exceeds maximum size of 1000 bytes."
    )
    limit(quiet, "max_label_bytes", 10)
    assert said(quiet, "select df.start('x', 'ééééééé')") == "label and idempotency key exceed the maximum of 10 bytes"
    assert said(quiet, "select df.start('x', idempotency_key => repeat('k', 11))").startswith(
        "label and idempotency key"
    )
    limit(quiet, "max_nodes", 4)
    assert "Workflow exceeds maximum node count of 4." in said(quiet, "select df.start('a' ~> 'b' ~> 'c')")
    limit(quiet, "max_depth", 1)
    assert "Graph exceeds maximum nesting depth of 1." in said(quiet, "select df.start(df.loop(df.loop('a')))")
    limit(quiet, "max_variable_bytes", 20)
    quiet.sql("select df.setvar('a', repeat('v', 30))")
    assert said(quiet, "select df.start('x')") == "the variables exceed the maximum of 20 bytes"
    quiet.sql("select df.clearvars()")
    assert stored(quiet) == 0
    for call in ("select df.start('x', 'label')", "select df.start(df.loop('x'))"):
        quiet.sql(call)


def test_live_instances_of_a_role_are_limited(quiet: Database) -> None:
    limit(quiet, "max_live_instances", 3)
    quiet.sql("select df.start('x') from generate_series(1, 3)")
    error = refusal(quiet, "select df.start('x')")
    assert str(error.diag.message_primary) == 'role "postgres" has reached the maximum of 3 live instances'
    assert error.sqlstate == "53400"
    assert one(quiet, "select count(*) from df.instances") == 3


def test_payloads_and_waiting_signals_are_limited(quiet: Database) -> None:
    started = one(quiet, "select df.start('x')")
    limit(quiet, "max_payload_bytes", 30)
    too_much = said(quiet, "select df.signal(%s, 'go', repeat('x', 31))", started)
    assert too_much == "the payload exceeds the maximum of 30 bytes"
    limit(quiet, "max_signals", 2)
    for _ in range(2):
        quiet.sql("select df.signal(%s, 'go')", started)
    assert said(quiet, "select df.signal(%s, 'go')", started) == (
        "the instance has reached the maximum of 2 signals that wait to be taken"
    )
    assert one(quiet, "select count(*) from df.inbox") == 2
    assert "cancelled" in one(quiet, "select df.cancel(%s)", started)


def test_a_setting_has_a_range(quiet: Database) -> None:
    for name, value in (("max_depth", 257), ("max_nodes", 10_001), ("max_label_bytes", 0), ("superuser_instances", 2)):
        error = refusal(quiet, "update df.settings set value = %s where name = %s", value, name)
        assert error.diag.constraint_name == "settings_range_chk"
    assert quiet.sql("select name from df.settings where value <> default_value") == []


# Hostile input.


def hostile(dsn: str, statement: bytes) -> tuple[str, str]:
    """SQLSTATE and message for a statement sent by libpq as it is."""
    connection = pq.PGconn.connect(dsn.encode())
    try:
        result = connection.exec_(statement)
        assert result.status == pq.ExecStatus.FATAL_ERROR
        state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        return state.decode(), (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
    finally:
        connection.finish()


def test_hostile_input_meets_a_named_error_and_stores_nothing(quiet: Database) -> None:
    answers = {
        b"select df.start(E'SELECT \\x00')": ("22021", "invalid byte sequence for encoding"),
        b"select df.start(E'\\xff')": ("22021", "invalid byte sequence for encoding"),
        b"select df.start('{\"node_type\":\"SQL\",\"query\":\"\\u0000\"}')":
            ("22023", "Invalid durable function: Invalid Durofut JSON: \\u0000 cannot be converted to text."),
        b"select df.start('{\"node_type\":\"SQL\",\"query\":\"\\ud800\"}')":
            ("22023", "Invalid durable function: Invalid Durofut JSON: Unicode low surrogate must follow a high surrogate."),
        b"select df.start('{\"node_type\":\"SQL\",')": ("22023", "Invalid durable function: Invalid Durofut JSON: "),
        b"select df.start('{\"node_type\":\"DROP\"}')": ("22023", "Invalid durable function: Unknown node_type 'DROP'."),
        b"select df.start(repeat('{\"node_type\":\"LOOP\",\"left_node\":', 100000))":
            ("22023", "Invalid durable function: Graph exceeds maximum nesting depth of 256."),
        b"select df.start(repeat('{\"node_type\":\"LOOP\",\"left_node\":', 5000) || '{\"node_type\":\"SQL\",\"query\":\"1\"}'"
        b" || repeat('}', 5000))": ("22023", "Invalid durable function"),
        b"select df.start(repeat('x', 100000000))": ("54000", "Invalid durable function: Workflow exceeds maximum size of"),
        b"select df.start(df.seq(repeat('x', 20000000), 'b'))": ("54000", "Invalid durable function: Workflow exceeds"),
        b"select df.call_child('a', 'l', '{\"timeout_seconds\": 1e400}')": ("22023", "df.call_child timeout_seconds must be"),
        b"select df.sleep(99999999999999999999)": ("42883", "function df.sleep(numeric) does not exist"),
    }  # fmt: skip
    for statement, (state, message) in answers.items():
        found = hostile(quiet.dsn, statement)
        assert (found[0], found[1][: len(message or "")]) == (state, message), (statement[:80], found)
    assert stored(quiet) == 0


def test_labels_and_signal_names_are_text_and_nothing_else(place: Database) -> None:
    nasty = "'; drop schema df cascade; -- $x {y} \\ \" 🐘\n"
    started = str(one(place, "select df.start(df.wait_for_signal(%s), %s)", nasty, nasty))
    place.events.wait_for("parked", started)
    assert one(place, "select label from df.list_instances()") == nasty
    assert nasty.partition("\n")[0] in one(place, "select df.explain(%s)", started)
    assert one(place, "select df.signal(%s, %s, %s)", started, nasty, nasty) == "OK"
    ended = place.ended(started)
    assert ended.status == "completed"
    assert one(place, "select result ->> 'data' from df.instances") == nasty


# Retention.


def test_ended_instances_go_when_they_are_old_and_when_they_are_too_many(place: Database) -> None:
    ids = [place.finish(f"'SELECT {n}'", f"n{n}").id for n in range(5)]
    live = place.start("df.sleep(3600)")
    place.events.wait_for("parked", live)
    assert one(place, "select df.prune()") == 0
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        connection.execute("alter table df.instances disable trigger refuse_change_after_end")
        connection.execute(
            "update df.instances set completed_at = now() - interval '31 days' where id = any (%s)", [ids[:2]]
        )
        connection.execute("alter table df.instances enable trigger refuse_change_after_end")
    assert one(place, "select df.prune()") == 2
    assert {row[0] for row in place.sql("select id from df.instances")} == {*ids[2:], live}
    limit(place, "retention_instances", 1)
    assert one(place, "select df.prune(1)") == 1
    assert one(place, "select df.prune()") == 1
    assert {row[0] for row in place.sql("select id from df.instances")} == {ids[4], live}
    limit(place, "retention_days", 0)
    assert one(place, "select df.prune()") == 1
    assert {row[0] for row in place.sql("select distinct instance_id from df.nodes")} == {live}
    assert place.client.status(live) == "running"


def test_what_a_live_instance_started_or_waits_for_is_kept(place: Database) -> None:
    limit(place, "retention_days", 0)
    parent = place.start("df.call_child('SELECT 1', 'child') ~> df.wait_for_signal('go')")
    place.events.wait_for("parked", parent)
    place.until("select status = 'completed' from df.instances where label = 'child'")
    assert one(place, "select df.prune()") == 0
    place.client.signal(parent, "go")
    place.ended(parent)
    assert one(place, "select df.prune()") == 2
    assert place.sql("select * from df.instances") == []
    assert place.sql("select * from df.inbox") == []


def test_pruning_waits_for_nobody_and_nobody_for_it(place: Database) -> None:
    """Somebody who reads an ended instance under a lock keeps it; two who prune at once share the work."""
    limit(place, "retention_days", 0)
    first, second = place.finish("'SELECT 1'").id, place.finish("'SELECT 2'").id
    with psycopg.connect(place.dsn) as reader:
        reader.execute("select from df.instances where id = %s for share", [first])
        with psycopg.connect(place.dsn, options="-c lock_timeout=2s") as one_of_two:
            assert one_of_two.execute("select df.prune()").fetchone() == (1,)
            assert one(place, "select df.prune()") == 0
            one_of_two.commit()
    assert place.sql("select id from df.instances") == [(first,)]
    assert second != first
    assert one(place, "select df.prune()") == 1


def test_pruning_finds_what_is_old_by_an_index(database: str) -> None:
    """Among 50,000 that are kept."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into df.instances (id, root_node, status, submitted_by, created_at, completed_at)"
            " select lpad(to_hex(n), 8, '0'), '00000000', 'completed', 'postgres', now(), now() - n * interval '1 second'"
            " from generate_series(1, 50000) as n"
        )
        connection.execute("insert into df.nodes (id, instance_id, ordinal, node_type, query)"
                           " select '00000000', id, 0, 'SQL', 'x' from df.instances")  # fmt: skip
        connection.execute("set session_replication_role = origin")
        connection.execute("update df.settings set value = 60000 where name = 'retention_instances'")
        connection.execute("analyze df.instances")
        connection.execute("select pg_stat_force_next_flush()") if connection.info.server_version >= 150000 else None
        before = connection.execute(
            "select seq_tup_read from pg_stat_user_tables where relid = 'df.instances'::regclass"
        ).fetchone()
        for _ in range(3):
            assert connection.execute("select df.prune()").fetchone() == (0,)
        connection.execute("select pg_stat_force_next_flush()")
        after = connection.execute(
            "select seq_tup_read from pg_stat_user_tables where relid = 'df.instances'::regclass"
        ).fetchone()
        assert before == after, "the whole table was read"
        connection.execute("update df.settings set value = 49900 where name = 'retention_instances'")
        assert connection.execute("select df.prune()").fetchone() == (100,)


def test_a_loop_does_not_gather_the_signals_it_has_taken(place: Database) -> None:
    started = place.start("@> (df.wait_for_signal('go') ~> 'SELECT 1')")
    for turn in range(1, 5):
        place.events.wait_for("parked", started, times=turn)
        place.client.signal(started, "go")
    place.events.wait_for("parked", started, times=5)
    assert one(place, "select count(*) from df.inbox") <= 1
    place.client.cancel(started)
    place.ended(started)
