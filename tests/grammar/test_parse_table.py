"""The parser's table is kept in a file, because to build it takes longer than to read a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lark
import pytest

from pgweave.grammar.parser import _Builder
from pgweave.grammar.reading import lalr, parse_table
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.reading.terminals import assign


def read() -> Any:  # noqa: ANN401 - what Lark calls a tree
    """The expressions of a statement, by a parser of its own."""
    return lalr.parser(_Builder()).parse(assign(lex("'SELECT 1' ~> 'SELECT 2', 'SELECT 3'").tokens, {}))


@pytest.mark.skipif(lark.__version__ != parse_table.LARK, reason="the file was made by another Lark, so it is not used")
def test_the_kept_table_is_what_lark_makes_of_the_grammar() -> None:
    kept = Path(parse_table.__file__).read_text(encoding="utf-8")
    assert kept == lalr.module(), "run `python docs/generate.py` after a change to df.lark"


@pytest.mark.skipif(lark.__version__ != parse_table.LARK, reason="the file was made by another Lark, so it is not used")
def test_nothing_is_built_where_the_kept_table_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lalr, "build", None)
    assert len(read()) == 2


@pytest.mark.parametrize("name", ["LARK", "GRAMMAR"])
def test_a_table_of_another_lark_or_grammar_is_not_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A newer Lark may keep its tables in another form: the program is read all the same."""
    monkeypatch.setattr(lalr, name, "another")
    monkeypatch.setattr(lalr, "TABLE", {})
    assert len(read()) == 2
