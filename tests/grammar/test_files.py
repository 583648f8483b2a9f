"""Workflows are found in every kind of file, know where they stand, and what stands around them is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shape import shape

from pgweave.grammar import nodes
from pgweave.grammar.parser import Parsed, parse, parse_as
from pgweave.grammar.reading.extraction import Form, form_of
from pgweave.grammar.span import Source


def read(name: str, text: str) -> Parsed:
    return parse(Source(name, text))


def found(name: str, text: str) -> list[str]:
    """Shapes of the workflows in a text that must have no findings; the text of each begins and ends with its call."""
    parsed = read(name, text)
    assert parsed.diagnostics == ()
    for definition in parsed.module.definitions:
        written = definition.span.of(text)
        assert written.lower().startswith(("df.", '"df".')), written
        assert written.endswith(")"), written
    return [shape(definition.node) for definition in parsed.module.definitions]


FORMS = {
    "flow.df": Form.PROGRAM, "dir.sql/flow": Form.PROGRAM, "<cell>": Form.PROGRAM, "<stdin>": Form.PROGRAM,
    "": Form.PROGRAM, "a.SQL": Form.SQL, "x/y.pgsql": Form.SQL, "README.md": Form.MARKDOWN, "a.b.Markdown": Form.MARKDOWN,
}  # fmt: skip


@pytest.mark.parametrize(("name", "form"), FORMS.items())
def test_the_suffix_tells_how_to_read_a_file(name: str, form: Form) -> None:
    assert form_of(name) is form


SQL = {
    "SELECT df.start('a');": ["a"],
    "select DF.Start('a'), \"df\".\"start\"('b') from t where x = 1 and ({y}": ["a", "b"],
    "SELECT * FROM df.start('a' ~> 'b', 'l') AS id JOIN t USING (id)": ["seq(a, b)"],
    "INSERT INTO runs (id) SELECT df.start('a') FROM t RETURNING id": ["a"],
    "WITH s AS (SELECT df.start('a') AS id) UPDATE t SET id = s.id FROM s": ["a"],
    "VALUES (1, ARRAY[df.start('a')])": ["a"],
    "CREATE TABLE t AS SELECT CASE WHEN df.start('a') IS NULL THEN 1 END": ["a"],
    "BEGIN; SELECT df.start('a') \\gset\nSELECT df.explain('b'); COMMIT;": ["a", "b"],
    "SELECT df.start('a', :'label', database => :db)": ["a"],
    "SELECT df.start(flow) FROM saved": ["<flow>"],
    "\\set it's broken ( $$\nSELECT df.start('a') \\g out.txt\n\\i other.sql": ["a"],
    "\\set x 1 \\\\ SELECT df.start('a')": ["a"],
    "SELECT 1 \\; SELECT df.start('a')": ["a"],
    "COPY t (a) FROM stdin;\nit's df.start('no'\n\\.\nSELECT df.start('a')": ["a"],
    "\\copy t from stdin\n'\n\\.\nSELECT df.start('a')": ["a"],
    "\\copy t from 'file'\nSELECT df.start('a')": ["a"],
    "DO $$ BEGIN PERFORM df.start('a'); END $$": ["a"],
    "DO $o$ DECLARE id text := df.start('a'); BEGIN id := df.start('b'); EXECUTE $$SELECT df.start('c')$$; END $o$":
        ["a", "b", "c"],
    "do language plpgsql 'begin perform df.start(''it''''s''); end'": ["it's"],
    "DO LANGUAGE plpython3u $$ plpy.execute(df.start('a' & )) $$": [],
    "CREATE FUNCTION f(p text) RETURNS text AS $f$ SELECT df.start('a', p) $f$ LANGUAGE sql; SELECT df.start('b')":
        ["a", "b"],
    "CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN RETURN df.start(p_flow); END $$": ["<p_flow>"],
    "CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT df.start('a'); END": ["a"],
    "CREATE FUNCTION f() RETURNS text RETURN df.start('a')": ["a"],
    "SELECT cron.schedule('n', '0 3 * * *', $$SELECT df.start('a')$$)": ["a"],
    "SELECT $$ talk about df.start( and more $$": [],
    "COMMENT ON TABLE t IS $$ df.start('a') $$": [],
    "CREATE FUNCTION df.start(fut text) RETURNS text AS $$ $$ LANGUAGE sql": [],
    "GRANT EXECUTE ON FUNCTION df.start(text, text, text, text) TO alice": [],
    "DROP FUNCTION a(), df.start(text)": [],
    "df.start(fut text, label text DEFAULT NULL) RETURNS text; df.setvar(name text, value text)": [],
    "SELECT other.df.start('a'), x.start('b'), start('c'), df.start, df.status('d')": [],
    "-- df.start('a' &)\n/* df.start( */ SELECT 'df.start(''a'' &)', \"df.start(\"": [],
    "SELECT B'01', U&'\\zz', 12ab, a &@> b, 'x' ~> df.sleep('never'); it''s": [],
    "SELECT df.explain('a1b2c3d4'), df.explain('SELECT 1'), df.explain($$'a' ~> df.sleep(1)$$)":
        ["SELECT 1", "seq(a, sleep())"],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize(("text", "shapes"), SQL.items())
def test_workflows_in_sql_are_found_wherever_they_stand(text: str, shapes: list[str]) -> None:
    assert found("x.sql", text) == shapes


def test_what_is_wrong_inside_of_a_call_is_reported_and_nothing_else() -> None:
    text = "SELEKT 12ab; SELECT df.start('a' ~> df.slep(1), lable => 'x') 'oops'; SELECT df.start('b'&@>'c'); \\q"
    assert [(d.code, d.span.of(text)) for d in read("x.sql", text).diagnostics] == [
        ("PW013", "df.slep"), ("PW014", "lable"), ("PW005", "&@>"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["SELECT df.start('a' ~> ; SELECT df.start('b')", "SELECT df.start(('a'; df.start('b')"]
)
def test_a_call_that_is_never_closed_ends_with_its_statement(text: str) -> None:
    parsed = read("x.sql", text)
    assert [finding.code for finding in parsed.diagnostics] == ["PW003"]
    assert [shape(definition.node) for definition in parsed.module.definitions] == ["b"]


def test_findings_in_a_body_stand_where_the_file_has_them_through_any_quotes() -> None:
    text = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT df.start(''a'' ~> df.slep(1), E''l\\\\x'')';"
    (finding,) = read("x.sql", text).diagnostics
    assert finding.span.of(text) == "df.slep"
    assert finding.fix is not None
    assert finding.fix.edits[0].span.of(text) == "slep"


def test_arguments_that_only_the_database_knows_are_named() -> None:
    (definition,) = read("jobs.sql", "PERFORM df.start('a', v_label, transaction_mode => v_mode)").module.definitions
    assert definition.computed == ("label", "transaction_mode")
    assert (definition.name, definition.label) == ("jobs", None)


def test_variables_in_sql_are_declared_as_far_as_they_are_known() -> None:
    text = "SELECT df.setvar('a', 'x'), df.setvar('b', now()::text), df.setvar(c, 'y'); DO $$ BEGIN PERFORM df.setvar('d', NULL); END $$"
    parsed = read("x.sql", text)
    assert parsed.diagnostics == ()
    assert [(one.name, one.value) for one in parsed.module.variables] == [("a", "x"), ("b", None), ("d", None)]


def test_a_program_may_select_from_its_start() -> None:
    text = "SELECT * FROM df.start('a', 'x') AS id; select * from df.start('b') run, df.start('c')"
    assert found("x.df", text) == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["SELECT now()", "SELECT * FROM t", "SELECT df.start('a'), count(*)", "DO $$ $$"])
def test_other_sql_in_a_program_is_no_workflow(text: str) -> None:
    assert [finding.code for finding in read("x.df", text).diagnostics] == ["PW024"]


MARKDOWN = """\ufeff# Flows with df.start('no')

```sql
SELECT df.start('a' ~> 'b');
```

> quoted
> ```df
> df.start('it
> is' ~> (SELECT
>   one), 'quoted')
> ```
> df.start('no')

1. a list
   ~~~~Postgres title="x"
   SELECT df.start($$
     deep$$);
   ~~~
   ~~~~
```python
df.start('no')
```
`` ```sql `` and ```sql inline``` df.start('no')
\t```{.sql}\r
\tSELECT df.start('tab')\r
\t```\r
> ```sql
df.start('outside of the quote')
- ```pgsql
  SELECT df.start('open')"""


def test_fences_of_markdown_hold_workflows_without_the_marks_around_them() -> None:
    assert found("README.md", MARKDOWN) == [
        "seq(a, b)", "seq(it\nis, <(SELECT\n  one)>)", "\n  deep", "tab", "open",
    ]  # fmt: skip


def test_every_character_in_a_quoted_fence_knows_its_place() -> None:
    definition = read("README.md", MARKDOWN).module.definitions[1]
    assert definition.name == "quoted"
    assert isinstance(definition.node, nodes.Then)
    assert isinstance(definition.node.first, nodes.Sql)
    query = definition.node.first.query
    assert [MARKDOWN[query.locate(offset)] for offset in range(len(query.value))] == list(query.value)
    assert MARKDOWN[query.locate(query.value.index("s")) - 4 : query.locate(query.value.index("s"))] == "\n> i"


def test_a_mistake_in_a_fence_ends_with_the_fence() -> None:
    text = "```df\n'never closed\n```\n\n```df\n'fine' ~> df.slep(1)\n```\n"
    assert [(d.code, d.span.of(text)) for d in read("a.md", text).diagnostics] == [("PW002", "'"), ("PW013", "df.slep")]


def test_a_text_can_be_read_in_another_form_than_its_name_says() -> None:
    source = Source("<cell>", "INSERT INTO t SELECT df.start('a')")
    assert [finding.code for finding in parse(source).diagnostics] == ["PW024"]
    assert [shape(definition.node) for definition in parse_as(source, Form.SQL).module.definitions] == ["a"]


PIECES = [
    "df.start(", "df.explain(", "df.setvar(", "'a'", ")", "(", "~>", ",", ";", "$$", "$q$", "DO ", "CREATE FUNCTION f() AS ", "'",
    "\\set x", "\\g", "\\\\", "COPY t FROM stdin;", "\n", "\\.", "```sql\n", "```df\n", "```\n", "> ", "- ", "  ", "--", "/*", "*/", '"',
    "E'\\", "’", "\0", "LANGUAGE sql", "x", "{", "&@>", "df.slep(1)", "~~~",
]  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=40).map("".join), st.sampled_from(Form)
)
def test_any_text_can_be_read_in_any_form(text: str, form: Form) -> None:
    parsed = parse_as(Source("x", text), form)
    for finding in parsed.diagnostics:
        assert 0 <= finding.span.start <= finding.span.end <= len(text)
    for definition in parsed.module.definitions:
        assert 0 <= definition.span.start <= definition.span.end <= len(text)


@given(
    st.lists(
        st.sampled_from(["'a'", "'b''c'", "df.sleep(1)", "(SELECT\n 1)", "$$x\ny$$", "E'\\n'"]), min_size=1, max_size=6
    )
)
def test_a_workflow_means_the_same_in_every_kind_of_file(steps: list[str]) -> None:
    """The same call as a program, in SQL, in a body, in a quoted fence: equal workflows."""
    call = f"df.start({' ~> '.join(steps)}, 'l')"
    (alone,) = read("x.df", call).module.definitions
    fence = "\n".join(f"> {line}" for line in f"```df\n{call}\n```".split("\n"))
    for name, text in (
        ("x.sql", f"INSERT INTO t SELECT {call};"),
        ("x.sql", f"DO $body$ BEGIN PERFORM {call}; END $body$"),
        ("x.sql", "DO '" + f"BEGIN PERFORM {call}; END".replace("'", "''") + "'"),
        ("x.md", fence),
    ):
        assert read(name, text).module.definitions == (alone,)
