"""Values into text: what stands where, and that no value changes the shape of a statement."""

from __future__ import annotations

import json

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgweave.runtime.worker.substitution import ValueProblem, is_true, render_raw, render_sql


def rowset(**columns: object) -> str:
    return json.dumps({"rows": [columns], "row_count": 1}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("template", "names", "expected"),
    [
        ("SELECT $n", {"n": rowset(a=5)}, "SELECT 5"),
        ("SELECT 10-$n", {"n": rowset(a=-5)}, "SELECT 10-(-5)"),
        ("SELECT $n::text", {"n": '{"rows":[{"a":1.50}],"row_count":1}'}, "SELECT 1.50::text"),
        ("SELECT $s", {"s": rowset(a="it's")}, "SELECT 'it''s'"),
        ("SELECT $s", {"s": rowset(a="back\\slash")}, "SELECT 'back\\slash'"),
        ("SELECT 'Dear $u, hello'", {"u": rowset(a="O'Hara")}, "SELECT 'Dear O''Hara, hello'"),
        ("SELECT E'$u'", {"u": rowset(a="a\\'b")}, "SELECT E'a\\\\''b'"),
        ('SELECT * FROM "$t"', {"t": rowset(a='odd"name')}, 'SELECT * FROM "odd""name"'),
        ("SELECT 1 -- $x", {"x": rowset(a=1)}, "SELECT 1 -- $x"),
        ("SELECT $$ $x $$", {"x": rowset(a="v")}, "SELECT $$ v $$"),
        ("SELECT $b", {"b": rowset(a=True)}, "SELECT true"),
        ("SELECT $j", {"j": rowset(a={"k": [1]})}, """SELECT '{"k":[1]}'"""),
        ("SELECT $e", {"e": '{"instance_id":"a","status":"completed"}'}, """SELECT '{"instance_id":"a","status":"completed"}'"""),
        ("SELECT $e.status", {"e": '{"status":"completed"}'}, "SELECT 'completed'"),
        ("SELECT $r.b", {"r": rowset(a=1, b=2)}, "SELECT 2"),
        ("SELECT $r.b?", {"r": rowset(b=None)}, "SELECT NULL"),
        ("SELECT $r?", {"r": '{"rows":[]}'}, "SELECT NULL"),
        ("SELECT $unknown", {"x": "1"}, "SELECT $unknown"),
        ("SELECT $1", {"x": "1"}, "SELECT $1"),
        ("SELECT $xy", {"x": "1"}, "SELECT $xy"),
        ("SELECT * FROM $r.*", {"r": '{"rows":[{"a":1,"b":"x"},{"a":2,"b":null}]}'},
         """SELECT * FROM (VALUES (1,'x'::text),(2,NULL)) AS "r"("a", "b")"""),
        ("SELECT '{v}' AS {v}", {}, "SELECT 'weave' AS weave"),
    ],
)  # fmt: skip
def test_a_value_is_written_by_where_it_stands(template: str, names: dict[str, str], expected: str) -> None:
    assert render_sql(template, names, {"v": "weave"}).text == expected


@pytest.mark.parametrize(
    ("template", "result", "message"),
    [
        ("SELECT $x", '{"rows":[]}', "$x has no rows — query returned zero results"),
        ("SELECT $x", '{"rows":[{"a":null}]}', "$x is NULL — first column of first row is NULL"),
        ("SELECT $x.a", '{"rows":[{"a":null}]}', "$x.a is NULL"),
        ("SELECT $x.b", '{"rows":[{"a":1,"c":2}]}', "$x.b: result has no field 'b' (available: a, c)"),
        ("SELECT $x.a", "[1]", "$x.a: result is neither a row set nor a JSON object"),
        ("SELECT * FROM $x.*", "[1]", "$x.* — invalid result format"),
    ],
)
def test_a_value_that_is_not_there_says_which_and_why(template: str, result: str, message: str) -> None:
    with pytest.raises(ValueProblem) as caught:
        render_sql(template, {"x": result}, {})
    assert str(caught.value) == message


def test_inserted_text_is_not_looked_at_again() -> None:
    names = {"a": rowset(v="$b {c}"), "b": rowset(v="SECRET")}
    assert render_sql("SELECT $a, '{c}'", names, {"c": "$b"}).text == "SELECT '$b {c}', '$b'"


def test_raw_texts_get_plain_values() -> None:
    assert render_raw("$c.instance_id", {"c": rowset(instance_id="a1b2c3d4")}, {}) == "a1b2c3d4"


def test_offsets_in_the_rendered_text_lead_back_to_the_template() -> None:
    template = "SELECT '{v}', nobody, $x, nope, '{v}', none"
    rendered = render_sql(template, {"x": rowset(a="a long value")}, {"v": "much longer than that"})
    for word in ("nobody", "nope", "none"):  # with values before them of both kinds, or of one
        assert rendered.origin(rendered.text.index(word)) == template.index(word)


HOSTILE = st.text(
    alphabet=st.one_of(st.sampled_from(list("'\"\\$-/*{}[]();.?:,E\n\r\t aexyz01é￿")), st.characters(codec="utf-8", exclude_characters="\0")),
    max_size=40,
)  # fmt: skip
PLACES = (
    "SELECT $x::text AS got",
    "SELECT '$x' AS got",
    "SELECT E'$x' AS got",
    "SELECT $x::text AS got -- $x",
    "SELECT /* $x */ $x::text AS got",
    "SELECT $x::text AS got, 'a''$x' AS other, 1 AS \"c\"",
    "SELECT ($x)::text AS got WHERE $x::text = '$x'",
    "SELECT ''||$x AS got",
    "SELECT $x\n::text AS got",
    "SELECT $x AS got, 'a'\n'b' AS c",
    "SELECT $x AS got FROM (SELECT 'a'\n,$x) AS t",
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("SELECT 'a'$x", "SELECT 'a' ('v') "),
        ("SELECT 'a'\n$x", "SELECT 'a'\n ('v') "),
        ("SELECT $x\n -- why\n'a'", "SELECT  ('v') \n -- why\n'a'"),
        ("SELECT $n.5", "SELECT 1 .5"),
        ('SELECT "a"$n', 'SELECT "a" 1'),
    ],
)
def test_a_value_does_not_grow_together_with_what_stands_beside_it(template: str, expected: str) -> None:
    assert render_sql(template, {"x": rowset(a="v"), "n": rowset(a=1)}, {}).text == expected


@settings(max_examples=200, deadline=None)
@given(value=HOSTILE)
def test_a_hostile_value_in_the_body_of_a_do_block_arrives_as_data(value: str) -> None:
    template = "DO $body$ BEGIN PERFORM set_config('test.got', $x || '' || $x, false); END $body$"
    _session().execute(render_sql(template, {"x": rowset(v=value)}, {}).text.encode())
    row = _session().execute("select current_setting('test.got')").fetchone()
    assert row is not None
    assert row[0] == value + value


@settings(max_examples=200, deadline=None)
@given(value=HOSTILE)
def test_a_value_in_a_dollar_quoted_text_arrives_as_data_or_is_refused(value: str) -> None:
    try:
        text = render_sql("SELECT $q$<$x>$q$ AS got, 1 AS one", {"x": rowset(v=value)}, {}).text
    except ValueProblem:
        assert "$" in value
        return
    assert _session().execute(text.encode()).fetchone() == (f"<{value}>", 1)


@settings(max_examples=300, deadline=None)
@given(value=HOSTILE, place=st.sampled_from(PLACES))
def test_a_hostile_value_arrives_as_data(value: str, place: str) -> None:
    """Seen through PostgreSQL's own eyes: the statement has one result, and it holds the value."""
    rendered = render_sql(place, {"x": rowset(v=value)}, {}).text
    row = _session().execute(rendered.encode()).fetchone()
    assert row is not None
    assert row[0] == value


_sessions: list[psycopg.Connection[tuple[object, ...]]] = []


def _session() -> psycopg.Connection[tuple[object, ...]]:
    return _sessions[0]


@pytest.fixture(scope="module", autouse=True)
def _connected(server: object) -> object:
    with psycopg.connect(server.dsn, autocommit=True) as connection:  # type: ignore[attr-defined]
        _sessions.append(connection)
        yield
        _sessions.clear()


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True), (False, False), (0, False), (2, True), (0.0, False), ("", False), ("t", True), ("no", False),
        ("F", False), ("0.000", False), ("nan", True), ("n", True), ("off", True), (None, False), ([], False), ([0], True),
        ({}, False), ({"a": 0}, True), (" false ", False),
    ],
)  # fmt: skip
def test_truth_is_that_of_the_first_column_of_the_first_row(value: object, truth: bool) -> None:
    assert is_true(rowset(a=value, b=not truth)) is truth
    assert is_true(json.dumps(value)) is truth


def test_no_rows_are_false_and_an_envelope_is_true() -> None:
    assert not is_true('{"rows":[],"row_count":0}')
    assert is_true('{"signal_name":"go","timed_out":true,"data":null}')
    assert is_true('{"rows":[{}]}')
