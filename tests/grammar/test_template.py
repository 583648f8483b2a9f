"""Placeholders and their places, as the compiler and the worker see them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgweave.grammar.template import Context, scan_raw, scan_sql, statement_count

C, S, E, U, Q, K, D = (
    Context.CODE, Context.STRING, Context.ESCAPE_STRING, Context.UNICODE_STRING, Context.IDENTIFIER, Context.COMMENT,
    Context.DOLLAR,
)  # fmt: skip

PLACES: dict[str, list[tuple[str, Context]]] = {
    "select $a, $a.b, $a?, $a.b?, $a.*, {a}": [
        ("$a", C),
        ("$a.b", C),
        ("$a?", C),
        ("$a.b?", C),
        ("$a.*", C),
        ("{a}", C),
    ],
    "select '$a {b}', E'$a', U&'$a', \"$a\" -- $a\n/* $a */ $b": [
        ("$a", S),
        ("{b}", S),
        ("$a", E),
        ("$a", U),
        ("$a", Q),
        ("$a", K),
        ("$a", K),
        ("$b", C),
    ],
    r"select E'\$a $b \'$c'": [("$b", E), ("$c", E)],
    "select '''$a' '$b'": [("$a", S), ("$b", S)],
    "select 'x' -- c\n '$a', 'x' '$b'": [("$a", S), ("$b", S)],
    "select E'x'\n'\\$a $b'": [("$b", E)],
    "select $1, $x.5, $z.a.b, a$b, 1$c": [("$x", C), ("$z.a", C), ("$c", C)],
    "select $$ $a $$, $t$ $b $t$": [("$a", D), ("$b", D)],
    "select $body$ $a $$ $b $body$, $c": [("$a", D), ("$b", D), ("$c", C)],
    "select $a$ || 1": [("$a", C)],
    "do $$ begin perform $a; raise notice '$b'; execute $q$ $c $q$; end $$": [("$a", C), ("$b", S), ("$c", D)],
    "do language plpgsql $$ begin perform $a; end $$": [("$a", C)],
    "do language 'plpgsql' $$ begin perform $a; end $$": [("$a", C)],
    "do language plpython3u $$ print($a) $$": [("$a", D)],
    "create function f() returns int as $f$ select $a $f$ language sql": [("$a", C)],
    "create or replace procedure f() language plpgsql as $f$ begin $a; end $f$": [("$a", C)],
    "create table t(); select $$ $a $$": [("$a", D)],
    "do $$ begin end $$; select $$ $a $$": [("$a", D)],
    "/* /* $a */ $b */ $c": [("$a", K), ("$b", K), ("$c", C)],
    '{"id": "{cust}"}': [("{cust}", Q)],
    "select '{1,2}'::int[], '{ }', '{a b}', {}": [],
    "select '$.a', '$', $": [],
    "select '$a": [("$a", S)],
    "select $na\u00efve": [("$na", C)],
    "select $a::jsonb->>'x', $b.c?::int": [("$a", C), ("$b.c?", C)],
}


@pytest.mark.parametrize(("text", "places"), PLACES.items())
def test_every_placeholder_is_found_with_its_place_in_sql(text: str, places: list[tuple[str, Context]]) -> None:
    assert [(found.span.of(text), found.context) for found in scan_sql(text)] == places


def test_the_parts_of_a_placeholder_are_told_apart() -> None:
    star, column, brace = scan_sql("select * from $rows.*, f($a.b?, {v})")
    assert (star.name, star.column, star.star, star.nullable, star.brace) == ("rows", None, True, False, False)
    assert (column.name, column.column, column.star, column.nullable, column.brace) == ("a", "b", False, True, False)
    assert (brace.name, brace.column, brace.star, brace.nullable, brace.brace) == ("v", None, False, False, True)


def test_raw_text_has_no_quotes_of_its_own() -> None:
    text = "https://x/$a?q='{b}' -- $c.d"
    assert [found.span.of(text) for found in scan_raw(text)] == ["$a?", "{b}", "$c.d"]
    assert {found.context for found in scan_raw(text)} == {Context.RAW}


COUNTS = {
    "": 0, ";;": 0, "-- x\n;/* ; */": 0, "select 1": 1, "select 1;": 1, "select ';' ;": 1, "a;b": 2, "a;;b;": 2,
    "select $$;$$; select \";\"": 2, "create rule r as on insert to t do (a; b)": 1, "begin; commit;": 2,
    "create function f() returns int begin atomic select 1; select case when true then 1 end; end; select 2": 2,
    "create or replace function f() returns int begin atomic select 1; end": 1, "select $a; select {b};": 2,
    "do $$ begin a; b; end $$": 1, "'": 1, "select 1) ; (a;b": 2,
}  # fmt: skip


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_statements_are_counted_as_psql_counts_them(text: str, count: int) -> None:
    assert statement_count(text) == count


@given(st.text(alphabet="'\"$aE{}/*-\\;\n ?.x_1(U&", max_size=60))
def test_any_text_can_be_scanned(text: str) -> None:
    statement_count(text)
    spans = [found.span for found in scan_sql(text)]
    assert spans == sorted(spans)
    assert all(one.end <= next_.start for one, next_ in pairwise(spans))
