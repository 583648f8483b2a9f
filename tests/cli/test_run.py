"""`pgweave run` on a real database: from a file to a result, or to a caret in the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.signals import usual_signals

from pgweave.runtime.client import Client

if TYPE_CHECKING:
    from cli.conftest import Command


def test_a_program_runs_to_its_result(pgweave: Command, database: str) -> None:
    done = pgweave("run", "clean.df", "--dsn", database)
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()] == [["two"], ["───"], ["2"]]
    lines = done.err.splitlines()
    assert lines[0].startswith("started clean: instance ")
    assert any(line.startswith("  ✓ SELECT 1 AS one") for line in lines)
    assert "draw the workflow: pgweave render clean.df -o clean.svg" in lines[-1]
    assert "The data is in database test_" in lines[-1]


def test_columns_and_digits_are_printed_as_they_are_stored(pgweave: Command, database: str) -> None:
    pgweave.write("stored.df", "'SELECT 1.50 AS n, 2 AS n, 12345678901234567890123 AS big'")
    done = pgweave("run", "stored.df", "--dsn", database)
    assert [line.split() for line in done.out.splitlines()[::2]] == [
        ["n", "n", "big"], ["1.50", "2", "12345678901234567890123"],
    ]  # fmt: skip
    out = pgweave("run", "stored.df", "--json", "--dsn", database).out
    assert '"n": 1.50,' in out
    assert '"n": 2,' in out
    assert '"big": 12345678901234567890123' in out


def test_the_result_as_json(pgweave: Command, database: str) -> None:
    """Standard output holds nothing but the JSON, whatever is said to people meanwhile."""
    done = pgweave("run", "clean.df", "--json", "--label", "daily", "--dsn", database)
    found = json.loads(done.out)
    assert (done.code, found["status"], found["label"]) == (0, "completed", "daily")
    assert found["result"]["rows"] == [{"two": 2}]


def test_the_database_may_come_from_the_environment(pgweave: Command, database: str) -> None:
    assert json.loads(pgweave("run", "clean.df", "--json", PGWEAVE_DSN=database).out)["status"] == "completed"


def test_a_failing_step_points_into_the_file(pgweave: Command, database: str) -> None:
    """Through the doubled quotes of the literal and over a value that is longer than its $name."""
    pgweave.write(
        "fails.df",
        "'SELECT 123456 AS number' |=> 'long'\n~> 'SELECT ''it''''s'', $long, nme\n    FROM (SELECT 1 AS name) AS t'\n",
    )
    done = pgweave("run", "fails.df", "--no-check", "--dsn", database)
    assert (done.code, done.out) == (1, "")
    assert 'error[42703]: column "nme" does not exist' in done.err
    assert "--> fails.df:2:32" in done.err
    assert " 2 | ~> 'SELECT ''it''''s'', $long, nme\n   |                                ^^^" in done.err
    assert 'Perhaps you meant to reference the column "t.name".' in done.err


def test_what_the_database_refuses_is_said_before_the_start(pgweave: Command, database: str) -> None:
    pgweave.write("late.df", "'SELECT 1' ~> df.sleep(86400) ~> 'SELECT * FROM not_there'")
    done = pgweave("run", "late.df", "--dsn", database)
    assert (done.code, done.out) == (1, "")
    assert "error[PW513]" in done.err
    assert pgweave("ps", "--dsn", database).out == "No instances.\n"


def test_a_failing_step_of_a_child_points_into_the_file_too(pgweave: Command, database: str) -> None:
    pgweave.write("parent.df", "'SELECT 1'\n~> df.call_child(\n    'SELECT 1' ~> 'SELECT nope',\n    'child'\n)\n")
    done = pgweave("run", "parent.df", "--no-check", "--dsn", database)
    assert done.code == 1
    assert "--> parent.df:3:27" in done.err
    assert "^^^^" in done.err


def test_a_failure_as_json(pgweave: Command, database: str) -> None:
    pgweave.write("fails.df", "'SELECT 1/0'")
    done = pgweave("run", "fails.df", "--json", "--dsn", database)
    found = json.loads(done.out)
    assert (done.code, found["status"], found["error"]["sqlstate"]) == (1, "failed", "22012")


def test_variables_are_put_into_braces(pgweave: Command, database: str) -> None:
    pgweave.write("greets.df", "'SELECT ''{greeting}'' || repeat(''!'', {n}) AS said'")
    done = pgweave("run", "greets.df", "--json", "--var", "greeting=a=b", "--var", "n=3", "--dsn", database)
    assert json.loads(done.out)["result"]["rows"] == [{"said": "a=b!!!"}]


def test_variables_of_the_command_line_win_over_those_of_the_file(pgweave: Command, database: str) -> None:
    pgweave.write("declares.df", "SELECT df.setvar('n', '1');\nSELECT df.start('SELECT {n} AS n', 'declares');")
    assert json.loads(pgweave("run", "declares.df", "--json", "--dsn", database).out)["result"]["rows"] == [{"n": 1}]
    done = pgweave("run", "declares.df", "--json", "--var", "n=2", "--dsn", database)
    assert json.loads(done.out)["result"]["rows"] == [{"n": 2}]


def test_the_companion_file_is_run_first(pgweave: Command, database: str) -> None:
    pgweave.write("counts.df", "'SELECT count(*) AS n FROM made'")
    pgweave.write("counts.setup.sql", "CREATE TABLE IF NOT EXISTS made (n integer);\nINSERT INTO made VALUES (1);")
    done = pgweave("run", "counts.df", "--json", "--dsn", database)
    assert "set-up: counts.setup.sql\n" in done.err
    assert json.loads(done.out)["result"]["rows"] == [{"n": 1}]
    done = pgweave("run", "counts.df", "--json", "--no-setup", "--dsn", database)
    assert json.loads(done.out)["result"]["rows"] == [{"n": 1}]


def test_a_companion_file_that_fails_leaves_nothing_behind(pgweave: Command, database: str) -> None:
    pgweave.write("clean.setup.sql", "CREATE TABLE half (n integer);\n\nSELECT nope;\n")
    done = pgweave("run", "clean.df", "--dsn", database)
    assert (done.code, done.out) == (2, "")
    assert 'clean.setup.sql:3: the set-up failed: column "nope" does not exist' in done.err
    assert "--no-setup" in done.err
    with psycopg.connect(database) as connection:
        assert connection.execute("select to_regclass('half'), (select count(*) from df.instances)").fetchone() == (
            None,
            0,
        )


def test_a_program_with_an_error_never_starts(pgweave: Command, database: str) -> None:
    pgweave.write("undefined.df", "'SELECT 1' ~> 'SELECT $nobody'")
    pgweave.write("undefined.setup.sql", "CREATE TABLE too_early (n integer)")
    assert pgweave("run", "undefined.df", "--dsn", database).code == 1
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from df.instances").fetchone() == (0,)
        assert connection.execute("select to_regclass('too_early')").fetchone() == (None,)


def test_a_role_that_may_not_be_a_worker_is_told_so_before_anything_is_started(pgweave: Command, database: str) -> None:
    name = f"submitter_{os.getpid()}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create role {name} login".encode())
        connection.execute("select df.grant_usage(%s)", [name])
        try:
            dsn = make_conninfo(database, user=name)
            done = pgweave("run", "clean.df", "--dsn", dsn)
            assert (done.code, done.out) == (2, "")
            assert done.err.splitlines() == [
                f"pgweave: The role {name} may not work off workflows.",
                (
                    "  Start a worker as a role that may (`pgweave worker`), or let the owner of schema df admit this one:"
                    f" pgweave db enrol --worker {name}"
                ),
                "  --no-wait starts the workflow and leaves it to a worker that runs.",
            ]
            assert connection.execute("select count(*) from df.instances").fetchone() == (0,)
            identifier = pgweave("run", "clean.df", "--no-wait", "--dsn", dsn).out.strip()
            assert connection.execute("select id from df.instances").fetchone() == (identifier,)
        finally:
            connection.execute(f"drop owned by {name}; drop role {name}".encode())


def test_no_wait_prints_the_id_and_leaves_the_work_to_a_worker(pgweave: Command, database: str) -> None:
    done = pgweave("run", "clean.df", "--no-wait", "--dsn", database)
    identifier = done.out.strip()
    assert (done.code, len(identifier)) == (0, 8)
    with Client(database) as client:
        assert client.status(identifier) == "pending"
        assert pgweave("worker", "--once", "--dsn", database).code == 0
        assert client.status(identifier) == "completed"
    assert json.loads(pgweave("run", "clean.df", "--no-wait", "--json", "--dsn", database).out).keys() == {
        "instance_id"
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_kept_for_the_next_worker(
    pgweave: Command, database: str, number: signal.Signals
) -> None:
    pgweave.write("waits.df", "df.wait_for_signal('go') ~> 'SELECT 1 AS one'")
    process = subprocess.Popen(
        [sys.executable, "-m", "pgweave", "run", "waits.df", "--dsn", database],
        stderr=subprocess.PIPE,
        cwd=pgweave.folder,
        env=pgweave.environment(),
        text=True,
        preexec_fn=usual_signals,  # noqa: PLW1509 - sets signals and nothing else
    )
    assert process.stderr is not None
    before = []
    for line in process.stderr:  # ends with the process, so nothing is waited for in vain
        before.append(line)
        if "wait for signal go  waiting" in line:
            process.send_signal(number)
            break
    identifier = before[0].split()[-1]
    said = process.stderr.read()
    assert process.wait(30) == 130
    assert said.endswith("Interrupted. What was started is kept; `pgweave worker` goes on with it.\n")
    assert "Traceback" not in said
    process.stderr.close()
    with Client(database) as client:
        client.signal(identifier, "go")
        assert pgweave("worker", "--once", "--dsn", database).code == 0
        assert client.status(identifier) == "completed"
