"""Row sets have the types that PostgreSQL gave the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.work import with_worker

from pgweave.runtime.worker.substitution import Result, has_alias, render_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.work import Database

KINDS = (
    "create schema zoo; create type zoo.mood as enum ('sad', 'it''s \"fine\"');"
    " create type public.pair as (a integer, b text);"
    " create domain public.even as integer check (value % 2 = 0);"
    " create table kinds (i smallint, b bigint, n numeric(10,2), r real, f float8, t text, v varchar(5), c char(3), y bytea,"
    " d date, s timestamp, z timestamptz, l interval, u uuid, j json, k jsonb, o boolean, a integer[], g text[][],"
    " m zoo.mood, e public.even, p public.pair, q public.pair[], h int4range, w daterange, x zoo.mood[], net inet, bits bit(3))"
)
ROW = (
    """insert into kinds values (1, 9007199254740993, 1.50, 0.1, 'NaN', E'it''s $b.* {v} \\\\ "q"\\n', 'v', 'c', '\\xff00',"""
    """ '0044-03-15 BC', 'infinity', '2026-01-02 03:04:05.678+02', '-1 mon 2 days -03:04', gen_random_uuid(),"""
    """ '{"b": 1.0, "a": "x"}', '"text"', true, '{1,NULL,3}', '{{a,"b c"},{NULL,"\\"\\\\\\\\"}}', 'it''s "fine"', 4, (7, 'a,b'),"""
    """ array[(1,'x')::public.pair, null], '[1,5)', '[2026-01-01,2026-02-01)', array['sad']::zoo.mood[], '10.0.0.1/8', B'101')"""
)


def test_every_type_comes_back_as_itself_with_rows_without_rows_and_with_nulls(place: Database) -> None:
    place.sql(KINDS)
    place.sql(ROW)
    place.sql("insert into kinds default values")
    for number, where in enumerate(("true", "false", "i is null")):
        place.sql(f"create table copy_{number} as select * from kinds with no data")
        ended = place.finish(
            f"'SELECT * FROM kinds WHERE {where}' |=> 'b' ~> 'INSERT INTO copy_{number} SELECT * FROM $b.*'"
        )
        assert ended.status == "completed", ended.error
        differences = (
            f"(table copy_{number} except all select * from kinds where {where})",
            f"(select * from kinds where {where} except all table copy_{number})",
        )
        for difference in differences:
            # json has no equality; as text it has.
            question = difference.replace("table copy", "select * from copy").replace("select *", COMPARED)
            assert place.sql(f"select count(*) from {question} as d") == [(0,)], where


COMPARED = "select i, b, n, r, f, t, v, c, y, d, s, z, l, u, j::text, k, o, a, g, m, e, p, q, h, w, x, net, bits"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1::int AS id WHERE false",
        "SELECT NULL::int AS id",
        "INSERT INTO kept VALUES (1) RETURNING id",
        "VALUES (1)",
    ],
)
def test_a_sum_does_not_depend_on_the_rows(place: Database, query: str) -> None:
    place.sql("create table kept (id integer)")
    column = "column1" if query.startswith("VALUES") else "id"
    ended = place.finish(f"'{query}' |=> 'b' ~> 'SELECT sum({column}) AS s, pg_typeof(sum({column})) AS t FROM $b.*'")
    assert ended.status == "completed", ended.error
    assert place.client.result(ended.id)["rows"][0]["t"] == "bigint"  # type: ignore[index]


def test_what_people_see_of_a_result_is_without_types(place: Database) -> None:
    ended = place.finish("'SELECT 1 AS id' |=> 'b' ~> 'SELECT id FROM $b.*'")
    assert ended.result == '{"rows":[{"id":1}],"row_count":1,"rows_affected":1}'
    assert place.sql('select count(*) from df.runs where columns::text = \'[["id", "integer"]]\'') == [(2,)]


def test_types_survive_turns_of_a_loop_and_another_worker(database: str) -> None:
    program = (
        "'SELECT 1::int2 AS id WHERE false' |=> 'b' ~> df.loop("
        "df.wait_for_signal('go') ~> 'SELECT pg_typeof(id) AS t FROM (SELECT 1) AS one LEFT JOIN $b.* ON true' |=> 't',"
        " 'SELECT $s.n < 2')"
    )
    program = program.replace(
        "df.wait_for_signal('go')", "df.wait_for_signal('go') |=> 'g' ~> 'SELECT $g.data::text::int AS n' |=> 's'"
    )
    with with_worker(database) as place:
        instance = place.start(program)
        place.events.wait_for("parked", instance)
        place.client.signal(instance, "go", 1)
        place.events.wait_for("parked", instance, 2)
    with with_worker(database) as place:
        place.client.signal(instance, "go", 2)
        assert place.ended(instance).status == "completed"
        assert place.client.result(instance)["rows"] == [{"t": "smallint"}]  # type: ignore[index]


def test_rows_of_a_type_that_is_gone_say_so(place: Database) -> None:
    place.sql("create type mood as enum ('sad')")
    instance = place.start("$$SELECT 'sad'::mood AS m$$ |=> 'b' ~> df.wait_for_signal('go') ~> 'SELECT m FROM $b.*'")
    place.events.wait_for("parked", instance)
    place.sql("drop type mood")
    place.client.signal(instance, "go")
    ended = place.ended(instance)
    assert ended.error is not None
    assert ended.error["message"].endswith('type "public.mood" does not exist')


@pytest.mark.parametrize(
    ("after", "alias"),
    [
        (" AS x", True), (" x", True), (' "where"', True), ("/* why */ x", True), (" -- c\n as x(a)", True), ("\tX", True),
        ("", False), (" WHERE true", False), (", t", False), (" CROSS JOIN t", False), (" order by 1", False), (")", False),
        (" LOOP", False), (" -- x", False), ("\nLEFT JOIN t ON true", False),
    ],
)  # fmt: skip
def test_an_alias_is_told_from_what_else_follows_a_table(after: str, alias: bool) -> None:
    assert has_alias("$b.*" + after, 4) is alias


@pytest.mark.parametrize("result", [Result('{"rows":[{"id":1}]}', '[["id","integer"]]'), '{"rows":[{"id":1}]}'])
@pytest.mark.parametrize("alias", ["AS x", "x", 'AS "x"'])
def test_a_row_set_can_be_given_a_name(place: Database, result: str, alias: str) -> None:
    assert place.sql(render_sql(f"SELECT x.id FROM $b.* {alias} WHERE x.id = 1", {"b": result}, {}).text) == [(1,)]
    assert place.sql(render_sql("SELECT b.id FROM $b.* WHERE b.id = 1", {"b": result}, {}).text) == [(1,)]


def test_results_from_before_types_were_recorded_still_work(place: Database) -> None:
    old = '{"rows":[],"row_count":0,"rows_affected":0,"columns":["id","name"]}'
    assert place.sql(render_sql("SELECT id, name FROM $b.*", {"b": old}, {}).text) == []
    assert place.sql(render_sql("SELECT id FROM $b.*", {"b": '{"rows":[{"id":1},{"id":null}]}'}, {}).text) == [
        (1,),
        (None,),
    ]


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    """A database with a worker."""
    with with_worker(database) as found:
        yield found
