"""The gallery: programs of every shape whose pictures were looked at, in `tests/golden/gallery`.

`PGWEAVE_UPDATE_GOLDEN=1 pytest tests/compiler/test_gallery.py` rewrites the DOT texts; then render them
(`pgweave render tests/golden/gallery/NAME.df -o /tmp/NAME.png`), look, and decide.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from support import ast
from support.dots import colourless, colours
from support.programs import definitions

import pgweave
from pgweave.compiler import graph
from pgweave.compiler.pictures import draw, folding, mermaid, picture
from pgweave.compiler.pictures.palette import DARK, LIGHT
from pgweave.form_names import EMITS, STYLES
from pgweave.grammar.diagnostics import Severity

if TYPE_CHECKING:
    from pgweave.compiler.graph import Graph
    from pgweave.grammar.nodes import Definition, Node

GALLERY = Path(__file__).parents[1] / "golden" / "gallery"
PROGRAMS = sorted(GALLERY.glob("*.df"))
UPDATE = os.environ.get("PGWEAVE_UPDATE_GOLDEN") == "1"


def test_there_is_a_gallery() -> None:
    assert len(PROGRAMS) >= 20
    assert {path.stem for path in GALLERY.iterdir()} == {path.stem for path in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_the_picture_is_the_one_that_was_looked_at(program: Path) -> None:
    drawn = colourless(pgweave.load(program).render("dot").decode())
    golden = program.with_suffix(".dot")
    if UPDATE:
        golden.write_text(drawn, encoding="utf-8")
        return
    assert drawn == golden.read_text(encoding="utf-8"), program.name


def test_a_picture_has_the_colours_of_its_palette_and_no_other() -> None:
    """The one test of colours: the goldens leave them out."""
    drawn = graph.build(ast.definition(ast.loop(ast.then(ast.sql("SELECT 1"), ast.sleep(60)))))
    for dark, palette in ((False, LIGHT), (True, DARK)):
        text = picture.dot(drawn, dark=dark)
        assert colours(text) == {
            palette.background, palette.ink, palette.faint, palette.line,
            *palette.fills[""], *palette.fills["wait"], *palette.frames["LOOP"],
        }  # fmt: skip


def test_a_golden_picture_names_no_colour() -> None:
    assert [path.name for path in GALLERY.glob("*.dot") if colours(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_picture_can_be_drawn(program: Path, *, dark: bool) -> None:
    workflow = pgweave.load(program)
    assert workflow.render("svg", dark=dark, state={0: "running"}).startswith(b"<?xml")


_EVERYTHING = """
import sys, hashlib, pathlib, pgweave
from pgweave.compiler import compare
from pgweave.compiler.reports.checked import FORMATS, Checked, Style
from pgweave.compiler.reports.report import write
from pgweave.api import load_all
from pgweave.compiler.pictures.comparison import text as picture
from pgweave.form_names import EMITS, STYLES
from pgweave.grammar.diagnostics import Severity
from pgweave.texts import ProgramError, read
from pgweave.workflow import findings
digest = hashlib.sha256()
before = None
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.df")):
    checked = [Checked(read(path), tuple(findings(read(path))))]
    for format in FORMATS:
        digest.update(write(checked, format, Style()).encode())
    for workflow in load_all(path):
        for emit in EMITS:
            for style in STYLES.get(emit, (None,)):
                try:
                    digest.update(workflow.compile(emit, style=style).encode())
                except ProgramError as error:
                    digest.update(str(error).encode())
        digest.update(workflow.render("dot", depth=1) + workflow.render("mmd", depth="readable"))
        if before:
            for one in compare.compare(before.module, workflow.module):
                digest.update(repr([change.said for change in one.changes]).encode() + picture(one, "dot").encode())
        before = workflow
print(digest.hexdigest())
"""


def test_everything_is_the_same_whatever_the_hash_seed() -> None:
    """Every output for every program of the gallery, four times, in processes of their own."""
    digests = set()
    for seed in "0123":
        done = subprocess.run(
            [sys.executable, "-c", _EVERYTHING, str(GALLERY)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert {"rows", "sql"} == STYLES.keys() < set(EMITS)


# Folding


def large(steps: int = 3) -> Graph:
    """Some two hundred boxes: phases of parallel branches, each with a choice, and a loop behind each."""

    def branch(phase: int, number: int) -> Node:
        work = [ast.sql(f"SELECT phase_{phase}_{number}_{step}()") for step in range(steps)]
        choice = ast.if_(ast.sql("SELECT ok()"), ast.then(ast.sql("SELECT a()"), ast.sql("SELECT b()")), ast.sleep(5))
        return ast.then(*work, choice)

    phases = [
        ast.then(
            ast.join(*(branch(phase, number) for number in range(3))),
            ast.loop(ast.sql("SELECT poll()"), ast.sql("SELECT busy()")),
        )
        for phase in range(6)
    ]
    return graph.build(ast.definition(ast.then(*phases)))


def kinds(drawn: Graph) -> list[str]:
    return [attributes["kind"] for _, attributes in drawn.nodes(data=True) if attributes["part"] == "fold"]


def test_a_large_program_is_folded_until_it_can_be_read() -> None:
    everything = large()
    assert len(everything) > 180
    readable = folding.readable(everything)
    assert len(readable) <= folding.READABLE_NODES
    assert sorted(set(kinds(readable))) == ["JOIN", "LOOP"]
    assert readable.nodes["n7_fold"]["label"].endswith("steps")


def test_a_small_program_is_shown_whole() -> None:
    small = graph.build(ast.definition(ast.loop(ast.then(*(ast.sql(str(n)) for n in range(20))))))
    assert folding.readable(small) is small


def test_depth_says_how_many_levels_of_blocks_are_shown() -> None:
    everything = large()
    assert {depth: sorted(set(kinds(folding.fold(everything, depth)))) for depth in (0, 1, 2)} == {
        0: ["JOIN", "LOOP"],
        1: ["IF"],  # the arm of two steps; that of one stays as it is
        2: [],
    }
    assert len(folding.fold(everything, 9)) == len(everything)


def test_a_folded_block_says_what_is_in_it_and_keeps_its_lines() -> None:
    program = ast.then(
        ast.sql("a", "x"),
        ast.loop(ast.then(ast.sql("$x", "y"), ast.sleep(60)), ast.sql("more")),
        ast.sql("$y"),
    )
    folded = folding.fold(graph.build(ast.definition(program)), 0)
    box = folded.nodes["n4_fold"]
    assert (box["verb"], box["detail"], box["names"]) == ("loop: while the test holds", "3 steps", ("y",))
    assert box["full"] == "SQL: $x\nsleep: 1 min\nSQL: more"
    assert {(source, target, about["role"]) for source, target, about in folded.edges(data=True)} == {
        ("start", "n3", "then"),
        ("n3", "n4_fold", "then"),
        ("n3", "n4_fold", "data"),
        ("n4_fold", "n9", "then"),
        ("n4_fold", "n9", "data"),
        ("n9", "end", "then"),
    }
    assert 'label="loop: while the test holds as y\\n3 steps"' in picture.dot(folded)


def test_a_long_run_of_steps_is_shortened_to_its_first_and_last() -> None:
    drawn = graph.build(ast.definition(ast.then(*(ast.sql(f"SELECT {number}") for number in range(200)))))
    short = folding.shorten(drawn)
    assert [attributes["label"] for _, attributes in short.nodes(data=True)] == [
        "start", "SQL: SELECT 0", "198 more steps", "SQL: SELECT 199", "end",
    ]  # fmt: skip
    labels = [attributes["label"] for _, attributes in folding.readable(drawn).nodes(data=True)]
    assert labels[8:11] == ["SQL: SELECT 7", "184 more steps", "SQL: SELECT 192"]  # as many at its ends as is legible


def test_the_state_of_a_folded_block_is_that_of_its_row() -> None:
    folded = folding.fold(graph.build(ast.definition(ast.loop(ast.then(ast.sql("a"), ast.sql("b"))))), 0)
    assert 'class="pw_node pw_LOOP pw_part_fold state_running"' in picture.dot(folded, state={0: "running"})


@given(definitions(max_leaves=20))
def test_any_program_can_be_folded_and_drawn(definition: Definition) -> None:
    drawn = graph.build(definition)
    for depth in range(4):
        folded = folding.shorten(folding.fold(drawn, depth))
        assert len(folded) <= len(drawn)
        assert picture.dot(folded)
        assert mermaid.mermaid(folded)
        blocks = folded.graph["blocks"]
        assert all(
            attributes["block"] is None or attributes["block"] in blocks for _, attributes in folded.nodes(data=True)
        )
    assert set(folding.fold(drawn, 300)) == set(drawn)


def test_a_picture_of_two_hundred_boxes_is_drawn_in_time() -> None:
    """Everything shown: what --depth 99 asks for."""
    svg = draw.render(picture.dot(large()), "svg")
    assert svg.count(b"pw_node") == len(large())


def test_the_graph_of_the_gallery_is_json() -> None:
    workflows = [pgweave.load(program) for program in PROGRAMS]
    # With an error it is drawn, and not compiled.
    compiled = [each for each in workflows if all(found.severity is not Severity.ERROR for found in each.check())]
    assert len(compiled) >= 20
    for workflow in compiled:
        assert json.loads(workflow.compile("graph"))["nodes"]
