"""Colours: one token table for Pygments and CodeMirror, and both cut every text alike."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.programs import definitions

from pgweave.grammar.reading.highlight import CLASSES, OTHERWISE, STATES, WORDS, tokenise
from pgweave.grammar.writing.printer import print_definition
from pgweave.notebooks import codemirror
from pgweave.pygments_lexer import _TOKENS, PgweaveLexer

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Definition

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")

PROGRAM = """-- a comment /* no other */
/* one /* in */ another */ SELECT df.start(
    E'it''s \\' $x.col? {v}' |=> 'x' ~> $q$ SELECT 'a' $$ FROM $x.* $q$ & df.sleep(90)::text, "Label", ž => 'b
    c'
) -- 'end'"""


def pieces(text: str, *kinds: str) -> list[str]:
    return [piece for _, kind, piece in tokenise(text) if kind in kinds]


def test_a_program_in_colours() -> None:
    assert pieces(PROGRAM, "comment")[0] == "-- a comment /* no other */"
    assert "".join(pieces(PROGRAM, "comment")[1:-1]) == "/* one /* in */ another */"
    assert pieces(PROGRAM, "call") == ["df.start", "df.sleep"]
    assert pieces(PROGRAM, "operator") == ["|=>", "~>", "&", "::", "=>"]
    assert pieces(PROGRAM, "placeholder") == ["$x.col?", "{v}", "$x.*"]
    assert pieces(PROGRAM, "keyword") == ["SELECT", "SELECT", "FROM"]
    assert pieces(PROGRAM, "escape") == ["''", "\\'"]
    assert pieces(PROGRAM, "number") == ["90"]
    assert pieces(PROGRAM, "name") == ["text", '"Label"', "ž"]


@given(st.text(st.sampled_from("'\"$q/*-~>|=&\\{}.x é🐘\n\r\te1()"), max_size=80))
def test_the_pieces_are_the_text(text: str) -> None:
    found = list(tokenise(text))
    assert "".join(piece for _, _, piece in found) == text
    assert all(text[offset : offset + len(piece)] == piece for offset, _, piece in found)
    assert all(piece and kind in CLASSES for _, kind, piece in found)


def test_every_class_has_a_colour_in_both() -> None:
    used = {rule.kind for rules in STATES.values() for rule in rules} | {*OTHERWISE.values(), *WORDS.values()}
    used |= {rule.fallback for rules in STATES.values() for rule in rules if rule.fallback}
    assert used - {"word"} == set(CLASSES) == _TOKENS.keys() == codemirror.TAGS.keys()


def test_pygments_finds_the_lexer_where_the_package_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = project["project"]["entry-points"]["pygments.lexers"]["pgweave"].partition(":")
    assert getattr(import_module(module), name) is PgweaveLexer
    assert "".join(piece for _, piece in PgweaveLexer(ensurenl=False, stripnl=False).get_tokens(PROGRAM)) == PROGRAM


def test_the_mode_is_the_one_that_the_table_makes() -> None:
    assert codemirror.TARGET.read_text(encoding="utf-8") == codemirror.mode(), (
        "run python -m pgweave.notebooks.codemirror"
    )


_HARNESS = """
import { readFileSync } from "node:fs";
import { kindOf, pgweave } from "MODE";
// As much of CodeMirror's StringStream as the mode uses.
class Stream {
  constructor(line) { this.string = line; this.pos = 0; }
  next() { return this.string[this.pos++]; }
  match(pattern) {
    const rest = this.string.slice(this.pos);
    if (typeof pattern === "string") {
      if (!rest.startsWith(pattern)) return false;
      this.pos += pattern.length;
      return true;
    }
    const found = rest.match(pattern);
    if (!found || found.index > 0) return null;
    this.pos += found[0].length;
    return found;
  }
}
const out = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  let state = pgweave.startState();
  const pieces = [];
  for (const line of text.split("\\n")) {
    const stream = new Stream(line);
    while (stream.pos < line.length) {
      const start = stream.pos;
      const kind = kindOf(stream, state);
      pieces.push([kind, line.slice(start, stream.pos)]);
      state = pgweave.copyState(state);
    }
  }
  return pieces;
});
console.log(JSON.stringify(out));
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_codemirror_and_pygments_cut_every_text_alike(tmp_path: Path) -> None:
    programs: list[str] = [PROGRAM, "'never closed\n$$ nor this", "/* nor this", ""]
    programs += [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("tests/golden/gallery/*.df"))]

    @given(definitions())
    def collect(definition: Definition) -> None:
        programs.append(print_definition(definition))

    collect()
    harness = tmp_path / "harness.mjs"
    mode = tmp_path / "mode.mjs"
    mode.write_text(codemirror.mode(), encoding="utf-8")
    harness.write_text(_HARNESS.replace("MODE", mode.as_uri()), encoding="utf-8")
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(harness)], input=json.dumps(programs), capture_output=True, text=True, check=True, timeout=60
    )
    ours = [[[kind, piece] for _, kind, piece in tokenise(program) if piece != "\n"] for program in programs]
    assert json.loads(done.stdout) == ours
