"""The database documents itself: everything in both schemas has a comment, and the reference page is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from support.catalogue import catalogue, generator

if TYPE_CHECKING:
    from collections.abc import Iterator

# Why each may see the caller's search_path.
WITHOUT_SEARCH_PATH = {
    "df_internal.exec_node": "runs the caller's SQL, which has to find what the caller finds; everything else in it is qualified",
    "df_internal.run_statement": "likewise",
    "df_internal.encode_row": "called by it; sets what the text of a value depends on, and the rest is qualified",
    "df.explain": "evaluates the caller's expression; everything else in it is qualified",
}


def undocumented(dsn: str) -> Iterator[str]:
    found = catalogue(dsn)
    for part in ("schema", "relations", "columns", "triggers", "functions", "types", "operators"):
        for row in found[part]:
            internal = part == "relations" and row[1] == "S"  # the sequence of an identity column
            internal |= part == "triggers" and row[1] == "instances_graph_chk"  # a constraint
            if not internal and not row[-1]:
                yield f"{part}: {' '.join(str(word) for word in row[:2])}"


def test_every_function_operator_table_and_column_has_a_comment(database: str) -> None:
    assert list(undocumented(database)) == []


def test_comments_are_sentences(database: str) -> None:
    found = catalogue(database)
    comments = [
        str(row[-1])
        for part in ("relations", "columns", "functions", "types", "operators")
        for row in found[part]
        if row[-1]
    ]
    assert [comment for comment in comments if not comment.endswith((".", "?"))] == []


def test_an_object_without_a_comment_is_noticed(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create function df.new_one() returns int language sql as 'select 1'")
        connection.execute("create table df.new_table (new_column int)")
        connection.execute("comment on table df.new_table is 'One of three.'")
    assert [what.split()[1] for what in undocumented(database)] == ["new_table", "df.new_one()"]


def test_every_function_has_a_fixed_search_path(database: str) -> None:
    """Or a body that was bound to its objects when it was created, which no search_path changes."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select p.oid::regproc::text, p.prosqlbody is not null, p.proconfig from pg_proc as p"
            " where p.pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace)"
        ).fetchall()
    free = {
        name
        for name, bound, settings in rows
        if not bound and "search_path=pg_catalog, pg_temp" not in (settings or [])
    }
    assert free == WITHOUT_SEARCH_PATH.keys()


def test_the_reference_page_is_what_the_database_says(database: str) -> None:
    script = generator()
    page = script.REFERENCE.read_text(encoding="utf-8")
    assert page == script.reference(database), "run `python docs/generate.py`"


def test_schema_df_lists_what_people_call_and_nothing_else(database: str) -> None:
    r"""`\df df.*` is the list of those functions."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("select proname from pg_proc where pronamespace = 'df'::regnamespace").fetchall()
    grouped = [name for names in generator().GROUPS.values() for name in names]
    assert set(grouped) == {row[0] for row in rows}
    assert len(grouped) == len(set(grouped))
