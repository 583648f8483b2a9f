"""What a program does, sentence by sentence: the observable behaviour of the language, typed as people type it.

Most sentences are a program and its outcome in `tests/golden/behaviour/*.md`; `PGWEAVE_UPDATE_GOLDEN=1` writes the
outcomes. What takes more than one program and its end is a test below.

The numbers are those of the checklist in the language reference that this suite follows; where it says "fixed", we
differ from it on purpose. Not here, because they have a place of their own:

    2 11 12 21-24 29 41 45 52 64 71 78 90 95 101 102 109 143-147 149   test_line
    7 38-40 72 81 131-134 148 150                                      tests/compiler/test_sql_surface, test_server_agrees
    25-27 33 61 108 120 125-130                                        test_monitoring (26: a loser is skipped, not failed)
    62 79 80 100 111-119 124                                           test_privileges, test_roles
    92 test_cron; 106 107 122 do not apply: starting is inserting; 123 test_telemetry; 135-142 test_http_steps, test_ssrf
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from support.checker import check
from support.lockstep import SimulatedWorker, Stage
from support.work import with_worker

from pgweave.compiler import lower
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.runtime.worker.service import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.database import TemplateDatabases
    from support.work import Database

GOLDEN = Path(__file__).parents[1] / "golden" / "behaviour"
FILES = sorted(GOLDEN.glob("*.md"))
UPDATE = os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1"
CASE = re.compile(r"^## ([^\n]+)\n\n```sql\n(.*?)\n```\n\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shared(databases: TemplateDatabases) -> Iterator[Database]:
    """One worker for all cases; each finds the log empty."""
    dsn = databases.create()
    with with_worker(dsn) as place:
        place.sql("create table log (step text, at timestamptz default clock_timestamp())")
        place.client.setvar("v", "value")
        place.client.setvar("t", "log")
        place.client.setvar("n", "2")
        yield place
        check(dsn)
    databases.drop(dsn)


@pytest.fixture
def place(shared: Database) -> Database:
    shared.sql("truncate log")
    return shared


def log(step: str) -> str:
    """A step that leaves a line in the log."""
    return f"$$INSERT INTO log VALUES ('{step}')$$"


def steps(place: Database) -> list[str]:
    return [step for (step,) in place.sql("select step from log order by at")]


@dataclass(frozen=True)
class Case:
    """A program of a golden file. outcome: how its instance ended, and which lines its steps left in the log."""

    file: Path
    title: str
    program: str
    outcome: str


def cases(file: Path) -> list[Case]:
    found = re.findall(CASE, file.read_text(encoding="utf-8"))
    return [Case(file, *parts) for parts in found]


def run(place: Database, program: str) -> str:
    instance = place.finish(program, "the label")
    ending = instance.result if instance.error is None else instance.error["message"]
    logged = steps(place)
    return f"{instance.status}: {ending}\n" + (f"log: {', '.join(logged)}\n" if logged else "")


@pytest.mark.parametrize("case", [case for file in FILES for case in cases(file)], ids=lambda case: case.title)
def test_a_program_ends_as_the_text_below_it_says(place: Database, case: Case) -> None:
    outcome = run(place, case.program)
    if UPDATE:
        text = case.file.read_text(encoding="utf-8")
        before, after = (f"```sql\n{case.program}\n```\n\n```text\n{found}```\n" for found in (case.outcome, outcome))
        assert text.count(f"## {case.title}\n\n{before}") == 1
        case.file.write_text(text.replace(f"{case.title}\n\n{before}", f"{case.title}\n\n{after}"), encoding="utf-8")
        return
    assert outcome == case.outcome


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_program_of_a_file_is_run(file: Path) -> None:
    assert len(cases(file)) == file.read_text(encoding="utf-8").count("```sql\n") > 0


# What takes more than a program and its end.


def test_4_a_chain_of_200_steps_completes_and_is_399_nodes(place: Database) -> None:
    instance = place.finish(" ~> ".join(f"'SELECT {n} AS n'" for n in range(200)))
    assert json.loads(instance.result or "")["rows"] == [{"n": 199}]
    assert len(place.client.nodes(instance.id)) == 399


def test_6_and_8_a_stored_graph_can_be_started_many_times_each_with_an_id_of_its_own(place: Database) -> None:
    (graph,) = place.sql(f"select {log('a')} ~> {log('b')}")[0]
    started = [place.sql("select df.start(%s)", graph)[0][0] for _ in range(3)]
    assert len(set(started)) == 3
    for instance in started:
        assert len(instance) == 8
        assert set(instance) <= set("0123456789abcdef")
        assert place.ended(instance).status == "completed"
    assert sorted(steps(place)) == ["a"] * 3 + ["b"] * 3


def test_9_and_10_a_step_that_fails_fails_its_node_and_its_instance_in_lower_case(place: Database) -> None:
    instance = place.finish("'SELECT 1/0'")
    assert place.sql("select df.status(%s)", instance.id) == [("failed",)]
    assert [node.status for node in place.client.nodes(instance.id)] == ["failed"]


def test_16_joins_inside_joins_give_arrays_inside_arrays(place: Database) -> None:
    joined = json.loads(place.finish("('SELECT 1 AS n' & 'SELECT 2 AS n') & 'SELECT 3 AS n'").result or "")
    assert [[branch["rows"][0]["n"] for branch in joined[0]], joined[1]["rows"][0]["n"]] == [[1, 2], 3]


def test_20_and_74_label_and_id_are_there_inside_branches_and_loops(place: Database) -> None:
    told = "$$INSERT INTO log VALUES ('{sys_label} {sys_instance_id}')$$"
    instance = place.finish(f"({told} & {told}) ~> df.loop({told}, 'SELECT false')", "it's me")
    assert instance.status == "failed", "a quote in a label is raw text, as {name} is everywhere"
    instance = place.finish(f"({told} & {told}) ~> df.loop({told}, 'SELECT false')", "me")
    assert steps(place) == [f"me {instance.id}"] * 3


def test_28_more_branches_than_sessions_all_complete(place: Database) -> None:
    instance = place.finish(" & ".join(log("a") for _ in range(60)))
    assert instance.status == "completed", instance.error
    assert steps(place) == ["a"] * 60


def test_42_the_prefix_operator_is_df_loop(place: Database) -> None:
    ((operator, function),) = place.sql("select @> ('SELECT 1' ~> 'SELECT 2'), df.loop('SELECT 1' ~> 'SELECT 2')")
    assert operator == function


def test_a_loop_that_continues_on_failure_goes_on_after_a_step_that_failed(place: Database) -> None:
    place.sql("create sequence turns")
    body = "$$SELECT 1 / (CASE WHEN nextval('turns') < 3 THEN 0 ELSE 1 END) AS n$$"
    instance = place.finish(f"df.loop({body}, 'SELECT false', continue_on_failure => true)")
    assert instance.status == "completed", instance.error
    assert place.sql("select last_value from turns") == [(3,)]
    written = place.sql(f"select df.loop({body}, 'SELECT false', continue_on_failure => true)")
    assert written == [
        (lower.tree(parse(Source("t", f"df.loop({body}, 'SELECT false', 'yes')")).module.definitions[0]),)
    ]
    failed = place.finish("df.loop('SELECT 1', 'SELECT 1 / 0', continue_on_failure => true)")
    assert failed.status == "failed"


def test_49_fixed_an_instance_whose_break_was_stray_has_no_result(place: Database) -> None:
    instance = place.finish("df.break('x')")
    assert place.sql("select df.result(%s), df.status(%s)", instance.id, instance.id) == [(None, "failed")]


def test_51_and_93_an_instance_that_loops_or_waits_is_running(place: Database) -> None:
    looping = place.start(f"@> ({log('turn')} ~> df.sleep(1))")
    waiting = place.start("df.wait_for_signal('never')")
    for instance in (looping, waiting):
        place.events.wait_for("parked", instance)
        assert place.client.status(instance) == "running"
        place.client.cancel(instance)
        assert place.ended(instance).status == "cancelled"


def test_52_an_endless_loop_takes_its_time_also_beside_something_that_waits(place: Database) -> None:
    """About one turn in a second, where the reference says: never more."""
    instance = place.finish(f"(@> {log('turn')}) | df.sleep(3)")
    assert instance.result == '{"slept": true, "seconds": 3}'
    assert 2 <= len(steps(place)) <= 5


def test_52_an_endless_loop_takes_its_time_also_beside_a_running_step(place: Database) -> None:
    """The lease cannot be released as long as the step runs; the loop has to wait all the same."""
    instance = place.finish(f"(@> {log('turn')}) | 'SELECT 1 AS won FROM pg_sleep(2.5)'")
    assert json.loads(instance.result or "")["rows"] == [{"won": 1}]
    assert 2 <= len(steps(place)) <= 4


def test_each_of_two_endless_loops_takes_its_time(place: Database) -> None:
    instance = place.start(f"(@> {log('one')}) & (@> ({log('two')} ~> {log('and')}))")
    place.until("(select count(*) from log) >= 6")
    place.client.cancel(instance)
    assert place.ended(instance).status == "cancelled"
    assert max(Counter(steps(place)).values()) <= 4


def test_the_turns_of_a_loop_are_shown_with_their_own_results_and_steps(place: Database) -> None:
    """The second turn ends as the first did, with another result; then a long step of it is running."""
    instance = place.start(
        "('SELECT 0 AS n' |=> 't') ~> @> (('SELECT $t.n + 1 AS n' |=> 't') ~> 'SELECT $t.n AS turn' |=> 'r'"
        " ~> df.wait_for_signal('go') ~> $$SELECT 1 FROM pg_sleep(CASE WHEN $t.n > 1 THEN 600 ELSE 0 END)$$)"
    )
    for turn in (1, 2):
        place.events.wait_for("parked", instance, times=turn)
        shown = [node.result for node in place.client.nodes(instance) if node.result_name == "r"]
        stored = place.sql(
            "select result #>> '{rows,0,turn}' from df.nodes where result_name = 'r' and instance_id = %s", instance
        )
        assert (len(shown), stored) == (1, [(str(turn),)])
        place.client.signal(instance, "go")
    long = f"from df.nodes where instance_id = '{instance}' and query like '%pg_sleep%'"
    place.until(f"(select status = 'running' and status_details ->> 'iteration' = '[2]' {long})")
    (running,) = (run for run in place.client.runs(instance) if run.status == "running")
    assert list(running.iteration) == [2]
    place.client.cancel(instance)
    assert place.ended(instance).status == "cancelled"


@pytest.mark.parametrize("name", ["1st", "two words", "x; drop table log", "", "ünicode"])
def test_72_a_name_that_is_none_is_refused_when_it_is_given(place: Database, name: str) -> None:
    with pytest.raises(psycopg.DatabaseError, match="result name"):
        place.sql("select 'SELECT 1' |=> %s", name)


@pytest.mark.parametrize(
    ("payload", "data"),
    [('{"a": 1}', {"a": 1}), ("7", 7), ("not json", "not json"), ("", ""), ("null", None), ('"text"', "text"), ("NaN", "NaN"),
     ('{"a": "\\u0000"}', '{"a": "\\u0000"}')],
)  # fmt: skip
def test_94_and_97_a_payload_arrives_under_data_as_json_or_as_a_text(
    place: Database, payload: str, data: object
) -> None:
    instance = place.start("df.wait_for_signal('go')")
    place.events.wait_for("parked", instance)
    place.sql("select df.signal(%s, 'go', %s)", instance, payload)
    assert json.loads(place.ended(instance).result or "") == {"signal_name": "go", "timed_out": False, "data": data}


def test_94_a_signal_without_a_payload_carries_an_empty_object(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go')")
    place.sql("select df.signal(%s, 'go')", instance)
    assert json.loads(place.ended(instance).result or "")["data"] == {}


def test_98_a_signal_reaches_a_wait_inside_the_branch_of_a_race(place: Database) -> None:
    instance = place.start(
        f"((df.wait_for_signal('go') |=> 's') ~> {log('approved')}) | (df.sleep(600) ~> {log('late')})"
    )
    place.events.wait_for("parked", instance)
    place.client.signal(instance, "go", {"by": "ann"})
    assert place.ended(instance).status == "completed"
    assert steps(place) == ["approved"]


def test_4_of_the_surprises_fixed_one_signal_goes_to_one_wait(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go') & df.wait_for_signal('go')")
    place.events.wait_for("parked", instance)
    place.client.signal(instance, "go", 1)
    place.events.wait_for("parked", instance, times=2)
    assert place.client.status(instance) == "running"
    place.client.signal(instance, "go", 2)
    assert [branch["data"] for branch in json.loads(place.ended(instance).result or "")] == [1, 2]


def test_a_signal_of_another_name_is_kept_for_whom_it_is(place: Database) -> None:
    instance = place.start(
        "(df.wait_for_signal('b') |=> 'b') ~> (df.wait_for_signal('a') |=> 'a') ~> 'SELECT $a.data AS a, $b.data AS b'"
    )
    place.client.signal(instance, "a", 1)
    place.client.signal(instance, "b", 2)
    assert json.loads(place.ended(instance).result or "")["rows"] == [{"a": 1, "b": 2}]


def test_91_waits_for_every_minute_fire_on_one_minute_after_the_other(database: str) -> None:
    """On a simulated clock. A minute that was missed is skipped."""
    with psycopg.connect(database, autocommit=True) as connection:
        ticks = []
        stage = Stage(connection, lambda heard: None)
        now = datetime(2030, 1, 1, 11, 58, 30, tzinfo=UTC)

        def work(until: datetime) -> None:
            connection.execute("select set_config('pgweave.fake_now', %s, false)", [until.isoformat()])
            worker = SimulatedWorker(stage, Settings())
            while worker.claim() or worker.ready():
                for actor in worker.ready():
                    actor.step()

        with stage.open():
            connection.execute("select set_config('pgweave.fake_now', %s, false)", [now.isoformat()])
            connection.execute("select df.start(@> df.wait_for_schedule('* * * * *'))")
            for pause in (0, 30, 60, 60, 330, 60):
                now += timedelta(seconds=pause)
                work(now)
                (due,) = connection.execute("select ready_at from df.queue").fetchone() or (None,)
                ticks.append(f"{due:%H:%M:%S}")
    assert ticks == ["11:59:00", "12:00:00", "12:01:00", "12:02:00", "12:07:00", "12:08:00"]


def test_103_a_start_in_a_transaction_of_its_own_survives_what_the_caller_does(any_database: str) -> None:
    """It needs dblink, which not every server has; where it is missing the error says so."""
    with with_worker(any_database) as place:
        start = "select df.start('SELECT 1', transaction_mode => 'new')"
        with pytest.raises(psycopg.DatabaseError, match="needs the extension dblink"):
            place.sql(start)
        if not place.sql("select 1 from pg_available_extensions where name = 'dblink'"):
            return
        place.sql("create extension dblink")
        with psycopg.connect(place.dsn) as connection:
            row = connection.execute(start.encode()).fetchone()
            assert row is not None
            assert place.ended(row[0]).status == "completed", "it ran while the caller's transaction is still open"
            connection.rollback()
        assert place.client.status(row[0]) == "completed"


def test_104_an_unknown_transaction_mode_is_refused(place: Database) -> None:
    with pytest.raises(psycopg.DatabaseError, match='invalid transaction_mode "later"'):
        place.sql("select df.start('SELECT 1', transaction_mode => 'later')")


def test_105_three_arguments_are_graph_label_and_database(place: Database) -> None:
    (name,) = place.sql("select current_database()")[0]
    (instance,) = place.sql("select df.start('SELECT 1', 'label', %s)", name)[0]
    ended = place.ended(instance)
    assert (ended.label, ended.database) == ("label", name)


def test_110_fixed_an_instance_has_an_end_however_it_ended(place: Database) -> None:
    failed, cancelled = place.finish("'SELECT 1/0'"), place.start("df.sleep(3600)")
    place.client.cancel(cancelled)
    assert failed.completed_at is not None
    assert place.ended(cancelled).completed_at is not None


def test_121_an_unknown_database_is_refused_and_a_dropped_one_fails_the_step(
    place: Database, databases: TemplateDatabases
) -> None:
    with pytest.raises(psycopg.DatabaseError, match='database "nowhere" does not exist'):
        place.sql("select df.start('SELECT 1', database => 'nowhere')")
    other = databases.create()
    (instance,) = place.sql(
        "select df.start(df.wait_for_signal('go') ~> 'SELECT 1', database => %s)", conninfo_to_dict(other)["dbname"]
    )[0]
    databases.drop(other)
    place.client.signal(instance, "go")
    error = place.ended(instance).error or {}
    assert str(error["message"]).startswith("Failed to connect to database 'test_")
    assert str(error["message"]).endswith("does not exist")


def test_19_to_21_of_the_surprises_fixed_what_is_rolled_back_was_never_said(place: Database) -> None:
    instance = place.start("df.wait_for_signal('go', 2)")
    with psycopg.connect(place.dsn) as connection:
        connection.execute("select df.signal(%s, 'go'), df.cancel(%s)", [instance, instance])
        assert connection.execute("select df.status(%s)", [instance]).fetchone() == ("cancelled",)
        connection.rollback()
    assert json.loads(place.ended(instance).result or "")["timed_out"] is True


def test_43_of_the_surprises_fixed_a_start_with_a_key_happens_once(place: Database) -> None:
    query = f"select df.start({log('a')}, idempotency_key => 'order 7') from generate_series(1, 3)"
    instances = {instance for (instance,) in place.sql(query) + place.sql(query)}
    assert len(instances) == 1
    assert place.ended(instances.pop()).status == "completed"
    assert steps(place) == ["a"]


def test_148_the_names_of_a_child_do_not_show_in_its_parents_statement(place: Database) -> None:
    call = "df.call_child('SELECT $secret_name, {secret_variable}', 'c')"
    ((once, again),) = place.sql(f"select {call}, {call}")
    assert once == again
    assert "secret" not in once


def test_children_in_every_kind_of_block_are_started_once_each(place: Database) -> None:
    child = "df.call_child($$INSERT INTO log VALUES ('{}')$$, '{}')"
    join, race, loop, branch = (child.format(name, name) for name in ("join", "race", "loop", "if"))
    instance = place.finish(
        f"({join} & {log('beside')}) ~> ({race} | df.wait_for_signal('never'))"
        f" ~> df.loop({loop}, $$SELECT count(*) < 2 FROM log WHERE step = 'loop'$$) ~> ('SELECT true' ?> {branch} !> 'SELECT 1')"
    )
    assert instance.status == "completed", instance.error
    assert sorted(steps(place)) == ["beside", "if", "join", "loop", "loop", "race"]
    labels: list[Any] = [found.label for found in place.client.family(instance.id)]
    assert sorted(labels[1:]) == ["if", "join", "loop", "loop", "race"]
