"""Watching: lists, one instance, its nodes and runs, what it waits for, and df.explain."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.work import Database, with_worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    """With a worker."""
    with with_worker(database) as found:
        yield found


@pytest.fixture
def quiet(database: str) -> Iterator[Database]:
    """Without one: what is started stays pending."""
    found = Database(database)
    yield found
    found.client.close()


def one(place: Database, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - of any type
    ((value,),) = place.sql(statement, *arguments)
    return value


def rows(place: Database, statement: str, *arguments: object) -> list[dict[str, Any]]:
    with psycopg.connect(place.dsn, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(statement.encode(), arguments or None).fetchall()


def explained(place: Database, text: str) -> str:
    """df.explain without the padding at the ends of lines."""
    found: str = one(place, "select df.explain(%s)", text)
    return "\n".join(line.rstrip() for line in found.split("\n"))


def refusal(place: Database, statement: str, *arguments: object) -> str:
    with pytest.raises(psycopg.Error) as caught:
        place.sql(statement, *arguments)
    return str(caught.value.diag.message_primary)


# Lists.


def test_the_newest_instance_comes_first_and_instance_info_says_the_same(place: Database) -> None:
    ids = [place.finish(f"'SELECT {n} AS n'", f"label {n}").id for n in range(3)]
    listed = rows(place, "select * from df.list_instances()")
    assert [row["instance_id"] for row in listed] == ids[::-1]
    for row in listed:
        (info,) = rows(place, "select * from df.instance_info(%s)", row["instance_id"])
        assert {key: info[key] for key in ("label", "function_name", "status", "output")} == {
            key: row[key] for key in ("label", "function_name", "status", "output")
        }
        assert info["current_execution_id"] == row["execution_count"] == 1
    assert json.loads(listed[0]["output"])["rows"] == [{"n": 2}]


def test_an_unknown_instance_has_no_row_anywhere(quiet: Database) -> None:
    for function in (
        "instance_info",
        "instance_nodes",
        "instance_runs",
        "instance_family",
        "instance_executions",
        "waiting",
    ):
        assert quiet.sql(f"select * from df.{function}('00000000')") == []


def test_filters_for_status_and_label_combine(place: Database) -> None:
    good = place.finish("'SELECT 1'", "mine").id
    place.finish("'SELECT 1'", "other")
    bad = place.finish("'SELECT 1/0'", "mine").id
    ask = "select instance_id from df.list_instances(%s, 100, %s)"
    assert place.sql(ask, "completed", "mine") == [(good,)]
    assert place.sql(ask, "failed", "mine") == [(bad,)]
    assert place.sql(ask, None, "mine") == [(bad,), (good,)]
    assert place.sql(ask, "failed", "MINE") == []
    assert place.sql("select instance_id from df.list_instances('failed')") == [(bad,)]
    assert one(place, "select output from df.list_instances('failed')").endswith("division by zero")


def test_pages_reproduce_the_whole_order_without_gap_or_repeat(quiet: Database) -> None:
    """Several start in one transaction and have one creation time, so the cursor has to break ties."""
    for count in (3, 1, 4):
        quiet.sql(f"select df.start('SELECT 1') from generate_series(1, {count})")
    whole = [row["instance_id"] for row in rows(quiet, "select * from df.list_instances(null, 100, null)")]
    assert len(whole) == 8
    seen, cursor = [], None
    for _ in range(3):
        page = rows(quiet, "select * from df.list_instances(null, 3, null, %s)", cursor)
        assert len({row["next_cursor"] for row in page}) == 1
        seen += [row["instance_id"] for row in page]
        cursor = page[0]["next_cursor"]
    assert (seen, cursor) == (whole, None)
    assert [row["instance_id"] for row in rows(quiet, "select * from df.list_instances()")] == whole


def test_a_full_last_page_says_that_it_is_the_last(quiet: Database) -> None:
    quiet.sql("select df.start('SELECT 1') from generate_series(1, 2)")
    assert {row["next_cursor"] for row in rows(quiet, "select * from df.list_instances(null, 2, null)")} == {None}


NO_CURSORS = ("", "x", "abc", "ABCD", "76", "ff", "00", "' or true --", "a" * 514,
     b"v1|2026-01-01T00:00:00.000000+00|0123456".hex(), b"v1|2026-99-01T00:00:00.000000+00|01234567".hex(),
     b"v2|2026-01-01T00:00:00.000000+00|01234567".hex(), b"v1|infinity|01234567".hex(), b"v1||".hex())  # fmt: skip


def test_a_cursor_that_is_none_is_refused(any_database: str) -> None:
    said = set()
    with psycopg.connect(any_database, autocommit=True) as connection:
        for cursor in NO_CURSORS:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute("select * from df.list_instances(null, 10, null, %s)", [cursor])
            said.add(caught.value.diag.message_primary)
    assert said == {"df.list_instances: invalid after_cursor"}


def test_limits_are_checked_by_both_forms(quiet: Database) -> None:
    quiet.sql("update df.settings set value = 5 where name = 'list_instances_max_limit'")
    for form in ("df.list_instances(null, %s)", "df.list_instances(null, %s, null)"):
        assert refusal(quiet, f"select * from {form}", 0) == "limit_count must be at least 1"
        assert refusal(quiet, f"select * from {form}", -1) == "limit_count must be at least 1"
        assert refusal(quiet, f"select * from {form}", 6).startswith(
            "df.list_instances: limit_count (6) exceeds list_instances_max_limit (5);"
        )
        assert quiet.sql(f"select * from {form}", 5) == []


def test_a_cancel_shows_everywhere_at_once(quiet: Database) -> None:
    instance = quiet.start("df.sleep(3600)", "x")
    quiet.sql("select df.cancel(%s)", instance)
    assert one(quiet, "select df.status(%s)", instance) == "cancelled"
    assert one(quiet, "select status from df.list_instances()") == "cancelled"
    assert one(quiet, "select status from df.instance_info(%s)", instance) == "cancelled"
    assert one(quiet, "select instance_id from df.list_instances('cancelled')") == instance
    assert quiet.sql("select * from df.list_instances('pending')") == []


def test_executions_count_the_turns_of_a_root_loop(place: Database) -> None:
    place.sql("create sequence turns")
    loop = place.finish("df.loop('SELECT nextval(''turns'') AS n' |=> 't', 'SELECT $t < 3')").id
    ((number, status, events, _, output),) = place.sql("select * from df.instance_executions(%s)", loop)
    assert (number, status, json.loads(output)["rows"]) == (3, "Completed", [{"n": 3}])
    assert events >= 2
    assert one(place, "select execution_count from df.list_instances()") == 3


def test_an_open_execution_lasts_nothing_yet(quiet: Database) -> None:
    instance = quiet.start("'SELECT 1'")
    assert quiet.sql("select * from df.instance_executions(%s)", instance) == [(1, "Pending", 0, 0, None)]
    assert refusal(quiet, "select * from df.instance_executions(%s, 0)", instance) == "limit_count must be at least 1"


def test_metrics_count_instances_turns_and_runs(place: Database) -> None:
    place.finish("'SELECT 1' ~> 'SELECT 2'")
    place.finish("'SELECT 1/0'")
    waits = place.start("df.wait_for_signal('go')")
    place.events.wait_for("parked", waits)
    assert rows(place, "select * from df.metrics()") == [
        {"total_instances": 3, "running_instances": 1, "completed_instances": 1, "failed_instances": 1,
         "total_executions": 3, "total_events": 4}
    ]  # fmt: skip


# Nodes.


def inferred(place: Database, instance_id: str) -> list[tuple[str, str, str]]:
    """In pre-order: what a node is, as stored, as inferred."""
    found = rows(place, "select * from df.instance_nodes(%s)", instance_id)
    return [
        (str(row["query"] if row["node_type"] == "SQL" else row["node_type"]), row["status"], row["inferred_status"])
        for row in found
    ]


def test_the_branch_that_was_not_taken_is_skipped_because_of_the_if(place: Database) -> None:
    instance = place.finish("df.if('SELECT true', 'SELECT 1', df.sleep(5) ~> 'SELECT 2') ~> 'SELECT 3'").id
    assert inferred(place, instance) == [
        ("THEN", "completed", "completed"),
        ("IF", "completed", "completed"),
        ("SELECT 1", "completed", "completed"),
        ("THEN", "pending", "skipped"),
        ("SLEEP", "pending", "skipped"),
        ("SELECT 2", "pending", "skipped"),
        ("SELECT true", "completed", "completed"),
        ("SELECT 3", "completed", "completed"),
    ]
    found = {row["node_type"]: row for row in rows(place, "select * from df.instance_nodes(%s)", instance)}
    assert found["SLEEP"]["inferred_status_from_ancestor_id"] == found["IF"]["node_id"]
    assert found["IF"]["inferred_status_from_ancestor_id"] is None


def test_the_loser_of_a_race_is_skipped(place: Database) -> None:
    instance = place.finish("'SELECT 1' | (df.sleep(3600) ~> 'SELECT 2')").id
    states = {what: after for what, _, after in inferred(place, instance)}
    assert states == {
        "RACE": "completed",
        "SELECT 1": "completed",
        "THEN": "skipped",
        "SLEEP": "skipped",
        "SELECT 2": "skipped",
    }


def test_a_failure_shows_in_all_that_holds_it_and_what_would_have_followed_is_skipped(place: Database) -> None:
    instance = place.finish("('SELECT 1' & 'SELECT 1/0') ~> 'SELECT 2'").id
    states = {what: after for what, _, after in inferred(place, instance)}
    assert states == {
        "THEN": "failed",
        "JOIN": "failed",
        "SELECT 1": "completed",
        "SELECT 1/0": "failed",
        "SELECT 2": "skipped",
    }
    errors = dict(place.sql("select coalesce(query, node_type), error from df.nodes where instance_id = %s", instance))
    assert errors["SELECT 1/0"] == "SQL execution failed: error returned from database: division by zero"
    assert errors["JOIN"].startswith("JOIN branch 2 failed: SQL execution failed")


def test_nothing_runs_or_is_pending_in_an_instance_that_was_cancelled(place: Database) -> None:
    instance = place.start("'SELECT 1' ~> (df.sleep(3600) & df.wait_for_signal('go')) ~> 'SELECT 2'")
    place.events.wait_for("parked", instance)
    assert [state for _, _, state in inferred(place, instance)] == [
        "running", "running", "completed", "running", "running", "running", "pending",
    ]  # fmt: skip
    place.client.cancel(instance)
    place.ended(instance)
    assert {state for _, _, state in inferred(place, instance)} == {"completed", "skipped"}
    assert one(place, "select completed_at is not null from df.instances where id = %s", instance)


def test_a_body_is_pending_again_when_its_loop_begins_another_turn(place: Database) -> None:
    """Stored is what the last turn came to; inferred is what this turn has reached."""
    instance = place.start("@> ('SELECT 1' ~> df.wait_for_signal('go') ~> ('SELECT 2' & 'SELECT 3'))")
    place.events.wait_for("parked", instance)
    first = inferred(place, instance)
    place.client.signal(instance, "go")
    place.events.wait_for("parked", instance, times=2)
    second = inferred(place, instance)
    after = {what: state for what, _, state in second if what != "THEN"}
    assert after == {"LOOP": "running", "SELECT 1": "completed", "SIGNAL": "running", "JOIN": "pending",
                     "SELECT 2": "pending", "SELECT 3": "pending"}  # fmt: skip
    assert [state for _, _, state in first] == [state for _, _, state in second]
    place.client.cancel(instance)
    place.ended(instance)


def test_nested_loops_leave_nothing_running_or_pending(place: Database) -> None:
    place.sql("create table log (n int)")
    inner = "df.loop('INSERT INTO log VALUES (1)', 'SELECT count(*) % 2 <> 0 FROM log')"
    instance = place.finish(f"df.loop({inner} ~> 'SELECT 1', 'SELECT count(*) < 6 FROM log')")
    assert instance.status == "completed"
    assert one(place, "select count(*) from log") == 6
    assert {state for _, _, state in inferred(place, instance.id)} == {"completed"}


def test_a_choice_that_breaks_out_of_a_later_turn_was_made(place: Database) -> None:
    """The break has no run of its own, and the branch of the first turn was another."""
    place.sql("create table log (n int)")
    choice = "df.if_rows('r', df.break('enough'), 'INSERT INTO log VALUES (1)')"
    instance = place.finish(f"@> ('SELECT n FROM log' |=> 'r' ~> {choice}) ~> 'SELECT 3'")
    states = {what: after for what, _, after in inferred(place, instance.id)}
    assert (states["IF"], states["BREAK"]) == ("completed", "completed")
    assert states["INSERT INTO log VALUES (1)"] == "skipped"


def test_a_stamp_names_scopes_and_turns(place: Database) -> None:
    """{scope}::{turn}: a branch and a loop are scopes of their own, numbered from 1."""
    instance = place.finish("'SELECT 1' ~> (df.loop('SELECT 2', 'SELECT false') & 'SELECT 3')").id
    found = rows(place, "select * from df.instance_nodes(%s)", instance)
    ids = {row["query"] or row["node_type"]: row["node_id"] for row in found}
    loop = next(row["node_id"] for row in found if row["node_type"] == "LOOP")
    stamps = {row["query"] or row["node_type"]: json.loads(row["status_details"])["execution_id"] for row in found}
    assert stamps["SELECT 1"] == f"{instance}::1"
    assert stamps["SELECT 2"] == stamps["SELECT false"] == f"{instance}::1::{loop}::1"
    assert stamps["SELECT 3"] == f"{instance}::1::{ids['SELECT 3']}::1"


def test_nodes_of_one_instance_are_not_mixed_with_those_of_another(quiet: Database) -> None:
    """Node ids are unique within an instance only."""
    first, second = quiet.start("'SELECT 1'"), quiet.start("'SELECT 2'")
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("set constraints all deferred")
        connection.execute("update df.nodes set id = '00000001'")
        connection.execute("update df.instances set root_node = '00000001'")
    for instance, query in ((first, "SELECT 1"), (second, "SELECT 2")):
        assert quiet.sql("select query from df.instance_nodes(%s)", instance) == [(query,)]
        assert f"SQL: {query} ○" in explained(quiet, instance)


def test_the_old_form_of_instance_nodes_shows_what_is_stored(place: Database) -> None:
    instance = place.finish("'SELECT 1' | df.sleep(3600)").id
    found = rows(place, "select * from df.instance_nodes(%s, 5)", instance)
    assert [(row["execution_id"], row["node_type"], row["status"]) for row in found][:2] == [
        (1, "RACE", "completed"), (1, "SQL", "completed"),
    ]  # fmt: skip


# Runs, families, waits.


def test_runs_say_what_ran_how_often_when_and_what_the_server_said(place: Database) -> None:
    instance = place.finish("'SELECT 7 AS n, ''it''''s'' AS t' |=> 'x' ~> 'SELECT $x.t, $x / 0'").id
    first, second = rows(place, "select * from df.instance_runs(%s)", instance)
    assert (first["result_name"], first["status"], first["attempts"]) == ("x", "completed", 1)
    assert second["sql"] == "SELECT 'it''s', 7 / 0"
    assert (second["status"], second["sqlstate"]) == ("failed", "22012")
    assert "division by zero" in second["error"]
    assert first["started_at"] <= first["finished_at"] <= second["started_at"] <= second["finished_at"]
    assert first["child_instance_ids"] == []


def test_runs_keep_detail_hint_and_position_of_an_error(place: Database) -> None:
    place.sql("create table orders (amount int check (amount > 0))")
    (run,) = rows(place, "select * from df.instance_runs(%s)", place.finish("'SELECT amout FROM orders'").id)
    assert (run["sqlstate"], run["position"]) == ("42703", 8)
    assert "orders.amount" in run["hint"]
    (run,) = rows(place, "select * from df.instance_runs(%s)", place.finish("'INSERT INTO orders VALUES (-5)'").id)
    assert (run["sqlstate"], run["detail"]) == ("23514", "Failing row contains (-5).")


def test_parents_and_children_name_each_other(place: Database) -> None:
    parent = place.finish(
        "df.call_child(df.call_child('SELECT 1', 'grandchild'), 'child') |=> 'c' ~> 'SELECT 1'", "parent"
    )
    family = rows(place, "select * from df.instance_family(%s)", parent.id)
    assert [(row["generation"], row["label"], row["status"]) for row in family] == [
        (0, "parent", "completed"), (1, "child", "completed"), (2, "grandchild", "completed"),
    ]  # fmt: skip
    assert [row["parent_instance_id"] for row in family] == [None, family[0]["instance_id"], family[1]["instance_id"]]
    started, awaited, _ = rows(place, "select * from df.instance_runs(%s)", parent.id)
    assert started["child_instance_ids"] == awaited["child_instance_ids"] == [family[1]["instance_id"]]
    assert started["node_id"] == family[1]["parent_node_id"]


def test_what_waits_for_a_signal_is_released_by_the_sql_it_shows(place: Database) -> None:
    instance = place.start("df.wait_for_signal('it''s \"go\"; --', 3600)", "o'label")
    place.events.wait_for("parked", instance)
    (wait,) = rows(place, "select * from df.waiting()")
    assert (wait["label"], wait["waits_for"], wait["what"]) == ("o'label", "signal", 'it\'s "go"; --')
    assert (wait["until"] - wait["since"]).total_seconds() == pytest.approx(3600, abs=1)
    assert place.sql(wait["release"]) == [("OK",)]
    assert json.loads(place.ended(instance).result or "")["timed_out"] is False
    assert place.sql("select * from df.waiting()") == []


def test_what_waits_for_an_instance_shows_what_would_release_that_one(place: Database) -> None:
    parent = place.start("df.call_child(df.call_child(df.wait_for_signal('go'), 'inner'), 'outer')", "top")
    place.until("select count(*) = 3 from df.runs where status = 'waiting'")
    waits = {row["label"]: row for row in rows(place, "select * from df.waiting()")}
    assert [waits[label]["waits_for"] for label in ("top", "outer", "inner")] == [
        "await_instance",
        "await_instance",
        "signal",
    ]
    assert len({row["release"] for row in waits.values()}) == 1
    assert [row["label"] for row in rows(place, "select * from df.waiting(%s)", parent)] == ["top"]
    place.sql(waits["top"]["release"])
    assert place.ended(parent).status == "completed"


def test_what_only_time_releases_says_until_when(place: Database) -> None:
    place.events.wait_for("parked", place.start("df.sleep(3600)", "sleep"))
    place.events.wait_for("parked", place.start("df.wait_for_schedule('0 3 * * *')", "schedule"))
    waits = {row["label"]: row for row in rows(place, "select * from df.waiting()")}
    assert (waits["sleep"]["what"], waits["sleep"]["release"]) == ("3600 seconds", None)
    assert (waits["schedule"]["what"], waits["schedule"]["release"]) == ("0 3 * * *", None)
    assert waits["schedule"]["until"].strftime("%H:%M:%S") == "03:00:00"


def test_an_instance_that_no_worker_has_seen_waits_for_one(quiet: Database) -> None:
    instance = quiet.start("'SELECT 1'")
    (wait,) = rows(quiet, "select * from df.waiting()")
    assert (wait["instance_id"], wait["waits_for"], wait["until"], wait["release"]) == (instance, "worker", None, None)


def test_instances_that_wait_in_a_circle_are_listed_all_the_same(place: Database) -> None:
    """Each waits for the other's end; the question must come to an end itself."""
    first = place.start(
        "df.wait_for_signal('who') |=> 's' ~> 'SELECT ($s::jsonb)->>''data'' AS id' |=> 'o' ~> df.await_instance('$o.id')"
    )
    second = place.start(f"df.await_instance('{first}')")
    place.client.signal(first, "who", second)
    place.until("select count(*) = 2 from df.runs where status = 'waiting' and awaited_id is not null")
    assert [(row["waits_for"], row["release"]) for row in rows(place, "select * from df.waiting()")] == [
        ("await_instance", None), ("await_instance", None),
    ]  # fmt: skip


# df.explain.


def test_explain_draws_the_example_of_the_reference(quiet: Database) -> None:
    text = "'SELECT 1' |=> 'a' ~> df.if('SELECT $a > 0', df.sleep(1) ~> 'SELECT 2', 'SELECT 3')"
    drawn: str = one(quiet, "select df.explain(%s)", text)
    assert [line.rstrip() for line in drawn.split("\n")] == [
        "SQL: SELECT 1 |=> 'a'",
        "→ IF",
        "    ? condition:",
        "      └─SQL: SELECT $a > 0",
        "    ✓ then:",
        "      └─SLEEP 1s",
        "      → SQL: SELECT 2",
        "    ✗ else:",
        "      └─SQL: SELECT 3",
    ]
    assert {len(line) for line in drawn.split("\n")} == {len("      └─SQL: SELECT $a > 0") + 4}


DRAWN = (
        ("SELECT 1", "SQL: SELECT 1"),
        ("  select 1;  ", "SQL: select 1"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SQL: WITH a AS (SELECT 1) SELECT * FROM a"),
        ("SELECT * FROM t WHERE a @> b ~> c", "SQL: SELECT * FROM t WHERE a @> b ~> c"),
        ("SELECT df_like.column FROM df_like", "SQL: SELECT df_like.column FROM df_like"),
        ("'A'", "SQL: A"),
        ("$$it's$$", "SQL: it's"),
        ("df.sleep(5)", "SLEEP 5s"),
        ("@> 'x'", "LOOP (infinite)\n    ↻ body:\n      └─SQL: x"),
        ("'A' & 'B'", "JOIN (2)\n    ║ branch 1:\n      ├─SQL: A\n    ║ branch 2:\n      └─SQL: B"),
        ("('A' | 'B') |=> 'first'", "RACE |=> 'first'\n    ║ branch 1:\n      ├─SQL: A\n    ║ branch 2:\n      └─SQL: B"),
        ("df.wait_for_signal('go', 30) |=> 's'", "SIGNAL 'go' (30s) |=> 's'"),
        ("df.wait_for_schedule('0 3 * * *')", "WAIT '0 3 * * *'"),
        ("df.await_instance('$c.id', 60) |=> 'r'", "AWAIT_INSTANCE '$c.id' (60s) |=> 'r'"),
        ("df.http('https://example.org/a/path/that/is/far/too/long/to/show', 'get')",
         "HTTP GET https://example.org/a/path/that/is/fa..."),
        ("df.break('a value longer than twenty')", "BREAK 'a value longer th...'"),
        ("df.break()", "BREAK"),
        ("'" + "é" * 60 + "'", "SQL: " + "é" * 47 + "..."),
        ("'" + "🐘" * 50 + "'", "SQL: " + "🐘" * 50),
        ("'a\nb' ~> 'c'", "SQL: a\nb\n→ SQL: c"),
        ("df.loop('a', 'b') |=> 'l'", "LOOP (while) |=> 'l'\n    ↻ body:\n      └─SQL: a\n    ? while:\n      └─SQL: b"),
        ("df.if_rows('r', 'a', 'b')", "IF\n    ✓ then:\n      └─SQL: a\n    ✗ else:\n      └─SQL: b"),
        ("df.call_child('a' ~> 'b', 'it''s', '{\"timeout_seconds\": 9}') |=> 'c'",
         "CALL_CHILD 'it's' (9s) |=> 'c'\n    ↳ child:\n      └─SQL: a\n      → SQL: b"),
        ("'a' ~> null", "Expression returned NULL"),
        ("", "Cannot explain input: "),
        ("hello world", "Cannot explain input: hello world"),
        ("00000000", "Instance '00000000' not found"),
        ("ABCDEF01", "Instance 'abcdef01' not found"),
        ('{"node_type":"FOO"}', "Invalid durable function graph: root: Unknown node_type 'FOO'. Valid types: SQL, THEN,"),
        ('{"node_type":"THEN","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"X"}}',
         "Invalid durable function graph: root.right: Unknown node_type 'X'."),
        ('{"node_type":"SQL"', "Failed to parse Durofut JSON: "),
        ('{"node_type":"SQL","query":"\\u0000"}', "Failed to parse Durofut JSON: "),
)  # fmt: skip


def test_explain_of_a_text(any_database: str) -> None:
    """Refusals go on: only their beginning is compared."""
    with psycopg.connect(any_database, autocommit=True) as connection:
        for text, expected in DRAWN:
            row = connection.execute("select df.explain(%s)", [text]).fetchone()
            assert row is not None
            found = "\n".join(line.rstrip() for line in row[0].split("\n"))
            if expected.startswith(("Cannot", "Invalid", "Failed")):
                assert found.startswith(expected.rstrip())
            else:
                assert found == expected


def test_explain_takes_the_json_that_the_builders_make(quiet: Database) -> None:
    assert one(quiet, "select df.explain('a' ~> df.sleep(1)) = df.explain($$'a' ~> df.sleep(1)$$)") is True


def test_explain_starts_sets_and_stores_nothing(quiet: Database) -> None:
    quiet.sql("create table log (n int)")
    quiet.sql(
        "create function noisy() returns text language sql as $$ insert into log values (1); select 'SELECT 1' $$"
    )
    assert explained(quiet, "'a' ~> noisy()") == "SQL: a\n→ SQL: SELECT 1"
    assert "is the id of an instance" in refusal(quiet, "select df.explain($$df.start('SELECT 1')$$)")
    assert "answer of a df function" in refusal(quiet, "select df.explain($$df.setvar('a', 'b')$$)")
    for table in ("log", "df.instances", "df.vars"):
        assert one(quiet, f"select count(*) from {table}") == 0


def test_explain_shows_an_error_of_the_expression_as_it_is(quiet: Database) -> None:
    assert refusal(quiet, "select df.explain('df.sleep(-1)')") == "Sleep duration must be non-negative"
    assert "does not exist" in refusal(quiet, "select df.explain('df.slep(1)')")


def test_explain_of_an_instance_shows_what_each_node_is(place: Database) -> None:
    instance = place.finish(
        "df.if('SELECT true', 'SELECT 1 AS n', 'SELECT 2') |=> 'x' ~> 'SELECT $x / 0'", "my label"
    ).id
    assert explained(place, instance) == "\n".join((
        f"Instance: {instance} (my label)",
        "Status:   ✗ Failed",
        "Output:   SQL execution failed: error returned from database: divis...",
        "",
        "IF |=> 'x' ✓",
        "    ? condition:",
        "      └─SQL: SELECT true ✓",
        "    ✓ then:",
        "      └─SQL: SELECT 1 AS n ✓",
        "    ✗ else:",
        "      └─SQL: SELECT 2 ⊘",
        "→ SQL: SELECT $x / 0 ✗",
    ))  # fmt: skip
    assert explained(place, instance.upper()) == explained(place, instance)


def test_explain_of_an_instance_that_waits_and_of_one_that_was_cancelled(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go') | (df.sleep(3600) ~> 'SELECT 1')")
    place.events.wait_for("parked", instance)
    tree = [
        "RACE ⏳",
        "    ║ branch 1:",
        "      ├─SIGNAL 'go' ⏳",
        "    ║ branch 2:",
        "      └─SLEEP 3600s ⏳",
        "      → SQL: SELECT 1 ○",
    ]
    assert explained(place, instance).split("\n") == [f"Instance: {instance}", "Status:   ⏳ Running", "", *tree]
    place.client.cancel(instance, "no longer needed")
    place.ended(instance)
    shown = explained(place, instance).split("\n")
    assert shown[:4] == [f"Instance: {instance}", "Status:   ✗ Cancelled", "Output:   canceled: no longer needed", ""]
    assert {line[-1] for line in shown[4:] if "branch" not in line} == {"⊘"}


def test_explain_of_a_parent_shows_the_steps_of_its_child(place: Database) -> None:
    instance = place.finish("df.call_child('SELECT 1' ~> 'SELECT 2', 'the child') |=> 'c' ~> 'SELECT 3'").id
    assert explained(place, instance).split("\n")[4:] == [
        "CALL_CHILD 'the child' |=> 'c' ✓",
        "    ↳ child:",
        "      └─SQL: SELECT 1",
        "      → SQL: SELECT 2",
        "→ SQL: SELECT 3 ✓",
    ]


def test_every_supported_version_shows_the_same(any_database: str) -> None:
    program = "'SELECT 1' ~> df.loop('SELECT 2 AS n' |=> 'l', 'SELECT false') ~> ('SELECT 3' | df.sleep(3600)) ~> 'SELECT 1/0'"
    with with_worker(any_database) as place:
        instance = place.finish(program, "x").id
        waits = place.start("df.call_child(df.wait_for_signal('go'), 'child')")
        place.until("select count(*) = 2 from df.runs where status = 'waiting'")
        assert explained(place, instance).split("\n")[4:] == [
            "SQL: SELECT 1 ✓", "→ LOOP (while) ✓", "    ↻ body:", "      └─SQL: SELECT 2 AS n |=> 'l' ✓", "    ? while:",
            "      └─SQL: SELECT false ✓", "→ RACE ✓", "    ║ branch 1:", "      ├─SQL: SELECT 3 ✓", "    ║ branch 2:",
            "      └─SLEEP 3600s ⊘", "→ SQL: SELECT 1/0 ✗",
        ]  # fmt: skip
        assert [row["sqlstate"] for row in rows(place, "select * from df.instance_runs(%s)", instance)][-1] == "22012"
        assert len(rows(place, "select * from df.instance_family(%s)", waits)) == 2
        assert len({row["release"] for row in rows(place, "select * from df.waiting()")}) == 1
        assert one(place, "select total_instances from df.metrics()") == 3
        assert [row["status"] for row in rows(place, "select * from df.list_instances(null, 5, 'x')")] == ["failed"]
        assert one(place, "select status from df.instance_executions(%s)", instance) == "Failed"


def test_the_largest_graph_is_listed_and_drawn_within_seconds(quiet: Database) -> None:
    quiet.sql(
        "create function wide(n int) returns text language sql as $$"
        " select case when n = 1 then 'SELECT 1' else df.join(wide(n / 2), wide(n - n / 2)) end $$"
    )
    instance = one(quiet, "select df.start(wide(5000))")
    with psycopg.connect(quiet.dsn) as connection:
        connection.execute("set statement_timeout = '20s'")
        nodes = connection.execute("select * from df.instance_nodes(%s)", [instance]).fetchall()
        tree = connection.execute("select df.explain(%s)", [instance]).fetchone()
    assert len(nodes) == 9999
    assert tree is not None
    assert len(re.findall("SQL: SELECT 1 ○", tree[0])) == 5000
