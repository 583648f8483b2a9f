"""Variables that are given to a start belong to that start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from support.work import with_worker

from pgweave.api import parse
from pgweave.workflow import start

if TYPE_CHECKING:
    from support.work import Database


def text(place: Database, instance: str) -> object:
    place.client.wait(instance, 60)
    result = place.client.result(instance)
    assert isinstance(result, dict), place.client.instance(instance)
    return result["rows"][0]["v"]


def test_variables_given_to_a_start_are_for_it_and_its_children_alone(database: str) -> None:
    seen = "'SELECT ''{v}'' AS v'"
    child = f"df.call_child({seen}, 'kid') |=> 'c' ~> 'SELECT ($c.result)::jsonb #>> ''{{rows,0,v}}'' AS v'"
    with with_worker(database) as place:
        place.client.setvar("v", "role")
        (first, kid) = (parse(f"SELECT df.start({program})") for program in (seen, child))
        assert text(place, start(place.client, first, variables={"v": "given"})) == "given"
        assert text(place, start(place.client, kid, variables={"v": "given"})) == "given"
        assert text(place, start(place.client, first)) == "role"
        assert place.sql("select df.getvar('v')") == [("role",)]


def test_what_a_text_declares_is_for_its_own_starts(database: str) -> None:
    with with_worker(database) as place:
        declared = parse("SELECT df.setvar('w', 'text'); SELECT df.start('SELECT ''{w}'' AS v')")
        assert text(place, start(place.client, declared)) == "text"
        assert text(place, start(place.client, declared, variables={"w": "given"})) == "given"
        assert place.sql("select count(*) from df.vars") == [(0,)]


def test_in_sql_variables_of_a_start_are_a_setting_of_its_transaction(database: str) -> None:
    with with_worker(database) as place, psycopg.connect(database) as connection:
        connection.execute("""set local pgweave.variables = '{"v": "north"}'""")
        row = connection.execute("select df.start('SELECT ''{v}'' AS v')").fetchone()
        connection.commit()
        assert row is not None
        assert text(place, row[0]) == "north"
