"""docs/operations.md: what it tells people to type works, and its figures are those of the program."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from support.work import with_worker

from pgweave.runtime import enrolment, migrate
from pgweave.runtime.worker.service import Settings

if TYPE_CHECKING:
    from pgweave.runtime.server.embedded import Server

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def statements(heading: str) -> list[str]:
    """The SQL below a heading, one statement each."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    text = "\n".join(re.findall(r"^```sql\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    return [statement for statement in re.sub(r"--.*", "", text).split(";") if statement.strip()]


def test_a_database_with_three_kinds_of_role_is_set_up_as_it_says(server: Server) -> None:
    roles = ("pgweave_owner", "pgweave_worker", "ann")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("create database shop")
        try:
            shop = make_conninfo(server.dsn, dbname="shop")
            with psycopg.connect(shop, autocommit=True) as connection:
                for statement in statements("Roles"):
                    connection.execute(statement.encode())
            owner = make_conninfo(shop, user="pgweave_owner")
            migrate.install(owner)
            said = [*enrolment.enrol(owner, "pgweave_worker", as_worker=True), *enrolment.enrol(owner, "ann")]
            assert said[-1] == "A worker with this --dsn can log in as ann."
            with psycopg.connect(make_conninfo(shop, user="ann"), autocommit=True) as ann:
                row = ann.execute("select df.start('SELECT current_user AS who')").fetchone()
                assert row is not None
            with with_worker(make_conninfo(shop, user="pgweave_worker")) as working:
                working.client.close()
                working.client = type(working.client)(make_conninfo(shop, user="ann"))
                assert '"ann"' in str(working.ended(row[0]).result)
        finally:
            admin.execute("drop database shop with (force)")
            for role in roles:
                admin.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(role)))


def test_the_statements_for_monitoring_and_retention_run(database: str) -> None:
    with with_worker(database) as place:
        place.finish("'SELECT 1'")
        for statement in [*statements("Monitoring"), *statements("Retention and limits")]:
            place.sql(statement)
        (alarm,) = re.findall(r"`(SELECT count.*?)`", PAGE)
        assert place.sql(alarm) == [(0,)]


def test_the_limits_are_those_in_force(database: str) -> None:
    def number(text: str) -> int:
        digits, _, unit = text.replace(",", "").partition(" ")
        return int(digits) * {"": 1, "MB": 1_000_000}[unit]

    table = re.findall(r"^\| [^|]+ \| (`(?:max|--).*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    said = {
        name: value
        for names, values in table
        for name, value in zip(re.findall(r"`(.*?)`", names), values.split(", "), strict=True)
    }
    with psycopg.connect(database) as connection:
        settings: dict[str, int] = dict(connection.execute("select name, default_value from df.settings").fetchall())
    limits = {name: number(value) for name, value in said.items() if not name.startswith("--")}
    assert limits == {name: settings[name] for name in limits}
    assert len(limits) == 6
    standard = Settings()
    assert number(said["--max-result-bytes"]) == standard.max_result_bytes
    assert (said["--step-seconds"], standard.step_seconds) == ("no limit", 0)
    for name, value in (("concurrency", "8"), ("lease-seconds", "15"), ("poll-seconds", "1")):
        default = next(field.default for field in fields(Settings) if field.name == name.replace("-", "_"))
        assert re.search(rf"`--{name}`[^|.]*?\b{value}\b", PAGE)
        assert default == float(value)
    assert f"| fixed | {standard.max_attempts} |" in PAGE
    assert (settings["retention_days"], settings["retention_instances"]) == (30, 10_000)
