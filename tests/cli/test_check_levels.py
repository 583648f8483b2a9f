"""The three levels of `pgweave check`: text, PostgreSQL's parser, a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Command

SLIP = "'SELECT id FORM orders WHERE'"
MIXED = "'SELECT a()' ~> 'SELECT b()' & 'SELECT c()'\n"


def test_without_postgresqls_parser_one_line_says_so_and_the_rest_is_checked(pgweave: Command) -> None:
    pgweave.write("broken/postgast/__init__.py", "raise ImportError('no wheel for this machine')")
    pgweave.write("flows/slip.df", SLIP)
    pgweave.write("flows/mixed.df", MIXED)
    there = pgweave("check", "flows")
    assert "error[PW510]" in there.out
    assert "postgast" not in there.err
    missing = pgweave("check", "flows", PYTHONPATH=str(pgweave.folder / "broken"))
    assert (missing.code, missing.err.count("postgast is not installed")) == (0, 1)
    assert "PW510" not in missing.out
    assert "warning[PW101]" in missing.out


def test_a_filter_does_not_let_a_text_pass_that_cannot_be_read(pgweave: Command) -> None:
    done = pgweave("check", "broken.df", "--select", "PW2")
    assert (done.code, "error[PW001]" in done.out) == (1, True)
    assert pgweave("check", "broken.df", "--ignore", "PW0").code == 1


def test_safe_fixes_are_written_and_unsafe_ones_only_on_request(pgweave: Command) -> None:
    mixed = pgweave.write("mixed.df", MIXED)
    loop = pgweave.write("loop.df", "@> df.sleep(60) ~> 'SELECT poll()'\n")
    done = pgweave("check", "mixed.df", "loop.df", "--fix")
    assert done.code == 1, "the loop is still an error"
    assert mixed.read_text() == "('SELECT a()' ~> 'SELECT b()') & 'SELECT c()'\n"
    assert loop.read_text() == "@> df.sleep(60) ~> 'SELECT poll()'\n"
    again = pgweave("check", "mixed.df", "loop.df", "--fix", "--unsafe-fixes")
    assert (again.code, loop.read_text()) == (0, "@> (df.sleep(60) ~> 'SELECT poll()')\n")


def test_what_differs_on_pg_durable_is_said_for_that_target_only(pgweave: Command) -> None:
    pgweave.write("weekly.df", "@> (df.wait_for_schedule('0 9 * * 1') ~> 'SELECT report()')")
    assert pgweave("check", "weekly.df").err == "No findings.\n"
    done = pgweave("check", "weekly.df", "--target", "pg_durable")
    assert (done.code, "error[PW403]" in done.out) == (1, True)


def test_a_database_prepares_the_steps_after_the_companion_file(pgweave: Command, database: str) -> None:
    pgweave.write("db.df", "'SELECT name, mayor FROM db'")
    pgweave.write("db.setup.sql", "CREATE TABLE db (name text, mayer text);")
    assert pgweave("check", "db.df").code == 0
    done = pgweave("check", "db.df", "--dsn", database)
    assert (done.code, 'Column "mayor" does not exist' in done.out, "db.mayer" in done.out) == (1, True, True)


def test_a_database_that_cannot_be_reached_is_said_in_a_line(pgweave: Command) -> None:
    done = pgweave("check", "clean.df", "--dsn", "postgresql:///x?host=/nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("pgweave: Cannot connect to PostgreSQL")


def test_files_that_are_checked_together_are_looked_at_together(pgweave: Command) -> None:
    pgweave.write("flows/a.df", "SELECT df.start('SELECT df.start(''SELECT 1'', ''b'')', 'a');\n")
    pgweave.write("flows/b.df", "SELECT df.start('SELECT df.start(''SELECT 1'', ''a'')', 'b');\n")
    assert pgweave("check", "flows/a.df").code == pgweave("check", "flows/b.df").code == 0
    done = pgweave("check", "flows")
    assert (done.code, done.out.count("PW605")) == (1, 1)
    assert "`b` (flows/b.df:1) -> `a`" in done.out
    assert pgweave("check", "flows", "--ignore", "PW605").code == 0
