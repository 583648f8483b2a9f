"""What `$name` is, by what the step before has come to: scalars, objects, counts, typed rows."""

from __future__ import annotations

import json

import psycopg
import pytest
from support.work import Database, with_worker

from pgweave.runtime.http.http_values import render_body, render_url
from pgweave.runtime.worker.substitution import ValueProblem, render_raw, render_sql


@pytest.mark.parametrize(
    ("result", "code", "quoted", "raw"),
    [
        ('"gave up"', "'gave up'", "gave up", "gave up"),
        ('"it\'s"', "'it''s'", "it''s", "it's"),
        ('"\\"deep\\""', "'\"deep\"'", '"deep"', '"deep"'),
        ("12.50", "12.50", "12.50", "12.50"),
        ("-3", "(-3)", "-3", "-3"),
        ("true", "true", "true", "true"),
        ("false", "false", "false", "false"),
        ("null", "NULL", "", "null"),
        ('{"a": 1.0}', "'{\"a\": 1.0}'", '{"a": 1.0}', '{"a": 1.0}'),
        ('[1,"x"]', "'[1,\"x\"]'", '[1,"x"]', '[1,"x"]'),
    ],
)
def test_a_json_scalar_is_its_value_and_an_object_or_array_its_json(
    result: str, code: str, quoted: str, raw: str
) -> None:
    names = {"o": result}
    assert render_sql("SELECT $o", names, {}).text == f"SELECT {code}"
    assert render_sql("SELECT '$o'", names, {}).text == f"SELECT '{quoted}'"
    if result != '{"a": 1.0}':  # of an object raw texts get its JSON, compact or as it came
        assert render_raw("$o", names, {}) == raw


def test_a_json_scalar_is_its_text_in_urls_and_bodies_too() -> None:
    names = {"o": '"gave up"', "n": "null", "e": '{"k":"v w","n":7}'}
    assert render_url("https://x.test/$o/$e.k", names, {}) == "https://x.test/gave%20up/v%20w"
    body = render_body('{"a":"$o","b":$o,"c":$n,"d":"$e.k","e":$e.n}', names, {}, "application/json")
    assert json.loads(body) == {"a": "gave up", "b": "gave up", "c": None, "d": "v w", "e": 7}
    assert render_body("o=$o", names, {}, "text/plain") == "o=gave up"


def test_a_key_of_an_object_is_read_inside_quotes_too() -> None:
    assert render_sql("SELECT '$e.k', $e.n", {"e": '{"k":"v","n":7}'}, {}).text == "SELECT 'v', 7"


DELETED = '{"rows":[],"row_count":0,"rows_affected":1000}'


@pytest.mark.parametrize(
    ("result", "template", "expected"),
    [
        (DELETED, "SELECT $d.rows_affected", "SELECT 1000"),
        (DELETED, "SELECT '$d.row_count rows'", "SELECT '0 rows'"),
        ('{"rows":[{"a":1}],"row_count":1,"rows_affected":1}', "SELECT $d.rows_affected", "SELECT 1"),
        ('{"rows":[{"row_count":7}],"row_count":1,"rows_affected":1}', "SELECT $d.row_count", "SELECT 7"),
        ('{"rows":[{"row_count":null}],"row_count":1,"rows_affected":1}', "SELECT $d.row_count?", "SELECT NULL"),
    ],
)
def test_counts_can_be_read_of_every_statement_and_a_column_of_that_name_wins(
    result: str, template: str, expected: str
) -> None:
    assert render_sql(template, {"d": result}, {}).text == expected


def test_a_column_that_is_named_like_a_count_wins_without_rows_too() -> None:
    with pytest.raises(ValueProblem, match="has no rows"):
        render_sql("SELECT $d.row_count", {"d": '{"rows":[],"row_count":0,"columns":["row_count"]}'}, {})


def test_the_value_of_a_break_is_compared_as_what_it_says(place: Database) -> None:
    ended = place.finish("(@> df.break('gave up')) |=> 'o' ~> 'SELECT $o = ''gave up'' AS same, ''$o'' AS text'")
    assert place.client.result(ended.id)["rows"] == [{"same": True, "text": "gave up"}]  # type: ignore[index]


def test_deleting_in_batches_ends_when_nothing_is_left(place: Database) -> None:
    place.sql("create table heap as select from generate_series(1, 55)")
    batch = "'DELETE FROM heap WHERE ctid IN (SELECT ctid FROM heap LIMIT 10)' |=> 'd'"
    ended = place.finish(f"df.loop({batch}, 'SELECT $d.rows_affected > 0')")
    assert ended.status == "completed"
    assert place.sql("select count(*) from heap") == [(0,)]


def test_a_dollar_sign_can_be_written_where_a_result_has_that_name(place: Database) -> None:
    """docs/values.md, "A dollar sign that means itself"."""
    names = {"min": '{"rows":[{"a":1}],"row_count":1}', "b": '"x"'}
    path = render_sql(r"""SELECT jsonb_path_exists('[2]', E'$[*] ? (@ > \$min)', '{"min": 1}')""", names, {}).text
    assert place.sql(path) == [(True,)]
    assert place.sql(render_sql(r"SELECT E'a\$b', 'a' ~ E'a\$'", names, {}).text) == [("a$b", True)]
    assert json.loads(render_body(r'{"q":"\u0024min"}', names, {}, "application/json")) == {"q": "$min"}
    assert render_url("https://x.test/%24min", names, {}) == "https://x.test/%24min"


@pytest.mark.parametrize("value", ["it's \\", "\\'; DROP TABLE t; --", "a\nb $x"])
def test_a_value_is_data_in_a_session_where_backslashes_are_escapes(place: Database, value: str) -> None:
    names = {"x": json.dumps({"rows": [{"v": value}], "row_count": 1})}
    template = r"SELECT $x, '$x', 'it\'s $x', E'$x', (SELECT v FROM $x.*)"
    text = render_sql(template, names, {}, backslashes=True).text
    with psycopg.connect(place.dsn) as connection:
        connection.execute("set standard_conforming_strings = off; set escape_string_warning = off")
        row = connection.execute(text.encode()).fetchone()
    assert row == (value, value, f"it's {value}", value, value)


@pytest.fixture
def place(database: str) -> object:
    """A database with a worker."""
    with with_worker(database) as found:
        yield found
