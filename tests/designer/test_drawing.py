"""What the designer draws: every kind has its block, every block its place in the text, and all of it is plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pace import examples
from support.programs import definitions

from pgweave.designer import drawing
from pgweave.designer.block_palette import PALETTE, new_step
from pgweave.designer.drawing import draw, draw_source, path_of, walk
from pgweave.designer.titles import sql_title
from pgweave.designer.units import Units, width
from pgweave.grammar import nodes
from pgweave.grammar.editing.places import places
from pgweave.grammar.kinds import CALLS, KINDS, Type
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source
from pgweave.grammar.writing.printer import print_definition

if TYPE_CHECKING:
    from pgweave.designer.protocol import Block, Drawing
    from pgweave.grammar.nodes import Definition

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.df"))


def drawn(text: str, name: str = "x.df") -> Drawing:
    return draw_source(Source(name, text))


def root(text: str) -> Block:
    found = drawn(text)["programs"][0]["root"]
    assert found is not None
    return found


def shown(block: Block) -> object:
    """A block in short: its kind, and what it holds."""
    inside = [shown(child["block"]) for child in block["children"]]
    return [block["kind"], *inside] if inside else block["kind"]


def test_steps_that_follow_one_another_are_one_block() -> None:
    assert shown(root("'a' ~> 'b' ~> ('c' ~> 'd')")) == ["SEQUENCE", "SQL", "SQL", "SQL", "SQL"]
    assert shown(root("(('a' ~> 'b') |=> 'x') ~> 'c'")) == ["SEQUENCE", ["SEQUENCE", "SQL", "SQL"], "SQL"]


def test_branches_that_were_added_one_by_one_stand_side_by_side() -> None:
    assert shown(root("'a' & 'b' & 'c'")) == ["JOIN", "SQL", "SQL", "SQL"]
    assert shown(root("'a' | 'b' | 'c'")) == ["RACE", "SQL", "SQL", "SQL"]
    # The result has another shape, and so has the picture.
    assert shown(root("'a' & ('b' & 'c')")) == ["JOIN", "SQL", ["JOIN", "SQL", "SQL"]]


def test_parts_are_drawn_in_the_order_in_which_they_run() -> None:
    roles = [child["role"] for child in root("'c' ?> 'y' !> 'n'")["children"]]
    assert roles == ["condition", "then", "else"]
    assert [child["role"] for child in root("df.loop('b', 'c')")["children"]] == ["body", "condition"]
    call = root("df.call_child('a' ~> 'b', 'report')")
    assert [(child["role"], child["title"]) for child in call["children"]] == [("child", "report")]


def test_every_kind_of_the_language_has_a_block_and_a_place_on_the_palette() -> None:
    """Not what only the database can evaluate: that is written, not pointed at."""
    offered = {drawing.kind_of(new_step(entry["id"])) for entry in PALETTE}
    assert offered == {*KINDS} - {"THEN"} | {"SEQUENCE", "IF_ROWS", "CALL_CHILD"}


@pytest.mark.parametrize("entry", [entry["id"] for entry in PALETTE])
def test_a_new_step_is_a_program_without_errors(entry: str) -> None:
    """But for those that need something before them or around them: a loop to leave, a result to read."""
    step = new_step(entry)
    wrapped = nodes.Loop(body=step, span=step.span) if entry == "break" else step
    definition = nodes.Definition(node=wrapped, name="x", span=step.span)
    found = drawn(print_definition(definition))["findings"]
    assert {one["code"] for one in found if one["severity"] == "error"} <= {"PW201"}


def test_a_form_has_all_that_the_call_takes() -> None:
    text = """df.http('https://x.y', 'GET') ~> df.call_child('a', 'l', '{"timeout_seconds": 5}') ~> df.sleep(9)"""
    http, call, sleep = (child["block"] for child in root(text)["children"])
    assert [field["name"] for field in http["fields"]] == [param.name for param in CALLS["http"].params]
    assert {field["name"]: field["value"] for field in call["fields"]} == {
        "label": "l", "timeout_seconds": 5, "database": None, "on_failure": None, "on_timeout": None, "on_cancel": None,
    }  # fmt: skip
    assert [(field["type"], field["value"], field["required"]) for field in sleep["fields"]] == [("seconds", 9, True)]
    assert all(field["help"] for block in (http, call, sleep) for field in block["fields"])
    taken = {call: {param.name for param in CALLS[call].params if param.type is not Type.STEP} for call in CALLS}
    assert "timeout_seconds" in taken["http"]


def test_a_step_says_which_steps_its_names_come_from() -> None:
    text = "'a' |=> 'x' ~> ('SELECT $x' ?> ('b' |=> 'x') !> 'c') ~> 'SELECT $x.id'"
    first, decision, last = (child["block"] for child in root(text)["children"])
    yes = decision["children"][1]["block"]
    assert decision["children"][0]["block"]["reads"] == [{"name": "x", "from": [first["id"]]}]
    assert last["reads"] == [{"name": "x", "from": [first["id"], yes["id"]]}]


def test_offsets_count_utf_16_units() -> None:
    text = "-- 🐘\n'🐘' ~> 'SELECT 1'"
    block = root(text)["children"][1]["block"]
    encoded = text.encode("utf-16-le")
    start, end = block["span"]
    assert encoded[2 * start : 2 * end].decode("utf-16-le") == "'SELECT 1'"
    units = Units(text)
    for offset in range(len(text) + 1):
        assert units.to_wire(offset) == width(text[:offset])
        assert units.from_wire(units.to_wire(offset)) == offset
    assert units.from_wire(units.to_wire(3) + 1) == 3  # between the halves of the elephant


TITLES = {
    "SELECT 1": "SELECT",
    "-- all of them\nselect region, sum(x) from sales": "SELECT sales",
    "SELECT $a.n FROM $rows.*": "SELECT",
    " INSERT INTO expenses (a) VALUES (1) RETURNING id ": "INSERT expenses",
    "UPDATE ONLY app.seats SET x = (SELECT 1 FROM y)": "UPDATE app.seats",
    "with old as (delete from a returning id) insert into b select * from old": "INSERT b",
    "DELETE FROM events WHERE id IN (SELECT id FROM $old.*)": "DELETE events",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (x)": "CREATE INDEX i",
    "VACUUM ANALYZE t": "VACUUM t",
    "CALL work(1)": "CALL work",
    f"SELECT 1 FROM {'x' * 60}": f"SELECT {'x' * 32}…",
    "": "SQL",
    "$what": "SQL",
    "<script>": "SQL",
}


@pytest.mark.parametrize(("sql", "title"), TITLES.items())
def test_a_step_of_sql_is_called_by_what_it_does(sql: str, title: str) -> None:
    assert sql_title(sql) == title


@given(st.text())
def test_any_text_has_a_title(sql: str) -> None:
    assert 0 < len(sql_title(sql)) <= 40


def test_what_cannot_be_changed_on_the_canvas_says_why() -> None:
    opaque, json_step, computed = (
        child["block"]
        for child in root("""(SELECT 1) ~> '{"node_type":"SLEEP","query":"5"}' ~> ('a' || 'b')""")["children"]
    )
    assert not opaque["editable"]
    assert "text" in (opaque["why_not"] or "")
    assert not json_step["editable"]
    assert computed["editable"]
    assert computed["sql"] is None  # there is no literal to write it into


def test_a_text_that_does_not_parse_shows_what_could_be_read() -> None:
    found = drawn("'SELECT 1' ~> 'SELECT 2';\n'SELECT 3' ~>;\n")
    assert not found["ok"]
    assert len(found["programs"]) == 1
    assert [one["severity"] for one in found["findings"]] == ["error"]


def test_a_finding_stands_on_the_smallest_step_it_is_about_and_offers_its_fix() -> None:
    found = drawn("'SELECT 1' ~> ('SELECT $nobody' & 'SELECT 2')")
    unknown = next(one for one in found["findings"] if one["code"] == "PW201")
    assert unknown["block"] == "0:1.0"
    mixed = next(one for one in drawn("'a' ~> 'b' & 'c'")["findings"] if one["code"] == "PW101")
    assert mixed["fix"]


def test_strings_of_a_hostile_program_arrive_as_they_are() -> None:
    """Escaping belongs to whoever shows them as markup, and nobody does."""
    bad = "<img src=x onerror=alert(1)>"
    found = drawn(f"SELECT df.start('SELECT ''{bad}''' |=> 'x' ~> df.wait_for_signal('{bad}'), '{bad}');")
    program = found["programs"][0]
    assert program["label"] == bad
    assert bad in json.dumps(found)
    assert "&lt;" not in json.dumps(found)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_drawn_as_json_without_findings(path: Path) -> None:
    found = drawn(path.read_text(encoding="utf-8"), str(path))
    assert found["ok"]
    assert found["findings"] == []
    assert json.loads(json.dumps(found)) == found


@settings(max_examples=examples(60), deadline=None)
@given(definitions())
def test_every_step_has_a_block_within_its_parent_and_every_id_leads_back(definition: Definition) -> None:
    parsed = parse(Source("x.df", print_definition(definition)))
    program = draw(parsed, ())["programs"][0]
    assert program["root"] is not None
    blocks = {block["id"]: block for block in walk(program["root"])}
    by_id = {drawing.block_id(place.index, place.path): place for place in places(parsed.module)}
    assert blocks.keys() <= by_id.keys()
    hidden = [place.node for name, place in by_id.items() if name not in blocks]
    assert all(isinstance(node, drawing._MERGED) and node.binding is None for node in hidden)
    units = Units(parsed.module.source.text)
    for name, block in blocks.items():
        place = by_id[name]
        assert path_of(name) == (place.index, place.path)
        if block["why_not"] is None:
            assert block["span"] == [units.to_wire(place.outer.start), units.to_wire(place.outer.end)]
        for child in block["children"]:
            assert block["span"][0] <= child["block"]["span"][0] <= child["block"]["span"][1] <= block["span"][1]
        assert all(binder in blocks for read in block["reads"] for binder in read["from"])


def test_a_program_of_200_steps_is_drawn_in_a_moment() -> None:
    """The bar of the page is a second for all of it; a tenth of that is generous for this part."""
    from time import process_time

    text = " ~> ".join(f"('SELECT {number}' |=> 'n{number}')" for number in range(200))
    parsed = parse(Source("x.df", text))
    began = process_time()
    found = draw(parsed, ())
    assert process_time() - began < 0.5
    assert found["programs"][0]["root"] is not None
    assert len(found["programs"][0]["root"]["children"]) == 200
