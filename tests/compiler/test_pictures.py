"""Pictures as text: DOT, Mermaid and the outline of df.explain."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support import ast
from support.programs import definitions

from pgweave.compiler import graph
from pgweave.compiler.pictures import draw, mermaid, outline, picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgweave.grammar.nodes import Definition, Node


def dot(node: Node, state: Mapping[int | str, str] | None = None, *, dark: bool = False) -> str:
    return picture.dot(graph.build(ast.definition(node)), state=state, dark=dark)


def test_a_box_says_what_its_step_does_and_to_what() -> None:
    text = dot(ast.then(ast.sql("SELECT id\nFROM orders", "order"), ast.signal("approved", 3600), ast.sleep(90)))
    assert r'label="SQL as order\nSELECT id ..."' in text
    assert r'tooltip="SELECT id\nFROM orders"' in text
    assert r'label="wait for signal\napproved\nat most 1 h"' in text
    assert r'label="sleep\n90 s"' in text


def test_long_sql_is_cut_in_the_box_and_whole_in_the_tooltip() -> None:
    query = "SELECT " + ", ".join(f"column_{number}" for number in range(30))
    label = re.search(r'label="SQL\\n([^"]*)"', dot(ast.sql(query)))
    assert label is not None
    assert len(label[1]) < 50
    assert f'tooltip="{query}"' in dot(ast.sql(query))


def test_a_step_of_any_length_is_drawn() -> None:
    text = "SELECT " + "&<x>, " * 4_000 + "1"
    assert draw.render(picture.dot(graph.build(ast.definition(ast.sql(text)))), "svg").startswith(b"<?xml")


def test_a_long_label_is_cut_wherever_it_stands() -> None:
    label = "long " * 180
    child = ast.call(ast.sql("SELECT 1"), label, timeout_seconds=60)
    text = picture.dot(graph.build(ast.definition(child)), title=label)
    shown = [line for line in re.findall(r'label="([^"]*)"', text) if "long" in line]
    assert len(shown) >= 3
    assert max(map(len, shown)) < 100


def test_the_frame_of_a_child_is_titled_with_its_label_and_the_wait_shows_its_limit() -> None:
    text = dot(ast.call(ast.sql("SELECT 1"), "ship-order", timeout_seconds=300))
    assert 'label="child: ship-order"' in text
    assert r'label="wait for child\nship-order\nat most 5 min"' in text
    assert "shape=octagon" in text
    assert r'label="wait for child\nno timeout"' in dot(ast.call(ast.sql("SELECT 1")))


def test_the_name_of_branches_is_in_the_title_of_their_frame() -> None:
    assert 'label="race: the first to finish wins, as r"' in dot(ast.race(ast.sleep(1), ast.sql("SELECT 1"), "r"))


def test_states_colour_the_rows_they_belong_to_and_leave_the_child_alone() -> None:
    program = ast.then(ast.sql("SELECT 1"), ast.call(ast.sql("SELECT 2")))
    text = dot(program, {1: "completed", 3: "failed", 4: "waiting"})
    states = dict(re.findall(r'class="[^"]*state_(\w+)".* id="?pw_(\w+)"?', text))
    assert states == {"completed": "n2", "failed": "n3_start", "waiting": "n3_wait"}


def test_rows_of_a_running_instance_without_a_state_are_pending() -> None:
    assert "state_pending" in dot(ast.sql("SELECT 1"), {})
    assert "state_" not in dot(ast.sql("SELECT 1"))


@pytest.mark.parametrize("state", picture.STATES)
@pytest.mark.parametrize("dark", [False, True])
def test_every_state_has_its_colours(state: str, *, dark: bool) -> None:
    assert f"state_{state}" in dot(ast.sql("SELECT 1"), {0: state}, dark=dark)


def test_the_dark_picture_differs_in_colours_only() -> None:
    program = ast.if_(ast.sql("c"), ast.sql("t"), ast.sql("e"))
    colour = re.compile("#[0-9a-f]{6}")
    assert dot(program) != dot(program, dark=True)
    assert colour.sub("", dot(program)) == colour.sub("", dot(program, dark=True))


def test_arms_of_a_choice_keep_together_and_show_no_frame() -> None:
    """The lines into them say yes and no already."""
    text = dot(ast.if_(ast.sql("c"), ast.sql("t"), ast.then(ast.sql("e"), ast.sql("f"))))
    assert re.findall(r"subgraph (cluster_n1_\w+) \{\n.*style=invis", text) == ["cluster_n1_yes", "cluster_n1_no"]


def test_bars_say_how_branches_part_and_meet() -> None:
    text = dot(ast.then(ast.join(ast.sql("a"), ast.sql("b")), ast.race(ast.sql("c"), ast.sql("d"))))
    for said in ("side by side", "when all are done", "race", "when the first is done"):
        assert f'label="{said}"' in text or f"label={said}" in text


def test_all_ways_back_go_through_one_point_at_the_foot_of_the_loop() -> None:
    """However many arms the body ends in, there is one line back, and what follows the loop stands below the foot."""
    body = ast.if_(ast.sql("c"), ast.sql("t"), ast.if_(ast.sql("d"), ast.sql("e"), ast.break_()))
    text = dot(ast.then(ast.loop(body), ast.sql("after")))
    assert len(re.findall(r"\t\w+ -> n2_foot \[arrowhead=none", text)) == 2
    assert len(re.findall(r"n2_foot:e -> n2:e", text)) == 1
    assert re.search(r"n2_foot -> n\d+ \[style=invis\]", text)


def test_the_end_of_what_never_ends_is_not_drawn() -> None:
    assert "pw_end" not in dot(ast.loop(ast.sql("a")))
    assert "pw_end" in dot(ast.then(ast.loop(ast.sql("a")), ast.sql("b")))


def test_differences_colour_nodes_and_frames() -> None:
    drawn = graph.build(ast.definition(ast.join(ast.sql("a"), ast.sql("b"))))
    text = picture.dot(drawn, differences={"n1": "changed", "n2": "added", "n3": "removed"})
    found = set(re.findall(r'class="[^"]*diff_(\w+)".* id="?pw_(\w+)"?', text))
    assert found == {("changed", "n1"), ("changed", "block_n1"), ("added", "n2"), ("removed", "n3")}


def test_a_title_stands_above_the_picture_and_is_text() -> None:
    drawn = graph.build(ast.definition(ast.sql("SELECT 1")))
    assert r'label="a\\N <b>"' in picture.dot(drawn, title=r"a\N <b>")


def test_the_rows_of_a_child_are_coloured_by_the_ids_of_their_nodes() -> None:
    text = dot(ast.call(ast.sql("SELECT 2")), {"n1c1": "failed"})
    assert re.search(r'n1c1 \[.*class="[^"]*state_failed"', text)


def luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", [picture.LIGHT, picture.DARK], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(colours: picture.Palette) -> None:
    grounds = [colours.background, *(fill for table in (colours.frames, colours.fills) for fill, _ in table.values())]
    grounds += [fill for table in (colours.states, colours.differences) for fill, _ in table.values()]
    pairs = [(text, ground) for ground in grounds for text in (colours.ink,)]
    pairs += [(colours.faint, fill) for fill, _ in colours.frames.values()]
    pairs += [(colours.data, colours.background), (colours.line, colours.background)]
    pairs += [(colours.background, colours.frames[kind][1]) for kind in ("JOIN", "RACE")]  # the words on the bars
    assert [(pair, contrast(*pair)) for pair in pairs if contrast(*pair) < 4.5] == []


@given(definitions())
def test_the_same_program_gives_the_same_text(definition: Definition) -> None:
    drawn = graph.build(definition)
    assert picture.dot(drawn) == picture.dot(graph.build(definition))
    assert mermaid.mermaid(drawn) == mermaid.mermaid(graph.build(definition))


@given(definitions())
def test_text_of_a_program_is_never_markup_of_mermaid(definition: Definition) -> None:
    text = mermaid.mermaid(graph.build(definition))
    labels = re.findall(r'"([^"]*)"', text)
    assert text.count('"') == 2 * len(labels)
    assert not [label for label in labels if re.search(r"[<>&{}\[\]`|\\]", label.replace("<br/>", ""))]


def explained(node: Node) -> str:
    return "\n".join(line.rstrip() for line in outline.ascii(ast.definition(node)).split("\n"))


def test_the_outline_is_that_of_df_explain() -> None:
    program = ast.then(
        ast.sql("SELECT 1", "a"),
        ast.if_(ast.sql("SELECT $a > 0"), ast.then(ast.sleep(1), ast.sql("SELECT 2")), ast.sql("SELECT 3")),
    )
    assert explained(program) == dedent("""\
        SQL: SELECT 1 |=> 'a'
        → IF
            ? condition:
              └─SQL: SELECT $a > 0
            ✓ then:
              └─SLEEP 1s
              → SQL: SELECT 2
            ✗ else:
              └─SQL: SELECT 3""")


def test_the_outline_of_branches_loops_and_children() -> None:
    program = ast.join(
        ast.race(ast.signal("go", 60, "s"), ast.schedule("0 6 * * *"), name="r"),
        ast.loop(ast.call(ast.break_("done"), "ship", "c", timeout_seconds=9), ast.sql("SELECT true")),
        ast.if_rows("s", ast.http("https://example.com", "GET"), ast.await_instance("$c.instance_id")),
    )
    assert explained(program) == dedent("""\
        JOIN (3)
            ║ branch 1:
              ├─RACE |=> 'r'
              │   ║ branch 1:
              │     ├─SIGNAL 'go' (60s) |=> 's'
              │   ║ branch 2:
              │     └─WAIT '0 6 * * *'
            ║ branch 2:
              ├─LOOP (while)
              │   ↻ body:
              │     └─CALL_CHILD 'ship' (9s) |=> 'c'
              │         ↳ child:
              │           └─BREAK 'done'
              │   ? while:
              │     └─SQL: SELECT true
            ║ branch 3:
              └─IF
                  ✓ then:
                    └─HTTP GET https://example.com
                  ✗ else:
                    └─AWAIT_INSTANCE '$c.instance_id'""")


def test_lines_of_the_outline_are_padded_to_one_width() -> None:
    lines = outline.ascii(ast.definition(ast.then(ast.sql("SELECT 1"), ast.sleep(1)))).split("\n")
    assert {len(line) for line in lines} == {len("SQL: SELECT 1") + 4}


def test_long_texts_of_the_outline_are_cut_by_characters() -> None:
    assert explained(ast.sql("ž" * 51)) == "SQL: " + "ž" * 47 + "..."
    assert explained(ast.sql("ž" * 50)) == "SQL: " + "ž" * 50


@given(definitions())
def test_any_program_has_an_outline(definition: Definition) -> None:
    assert outline.ascii(definition)
