"""df.lark is the one place that names the operators with their levels and the df calls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.shape import codes

from pgweave import grammar
from pgweave.grammar.kinds import CALLS
from pgweave.grammar.meaning.fold import FUNCTIONS
from pgweave.grammar.reading.keywords import COMPUTED_FUNCTIONS
from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.lexer import DSL_OPERATORS

(FOLDER,) = grammar.__path__
LANGUAGE = Path(FOLDER, "df.lark").read_text(encoding="utf-8")
# The words and operators that df.lark lists with an example behind them:  "sleep"  // df.sleep(60)
EXAMPLES = re.findall(r'^.*"([^"\n]+)" +// +(.*?)(?: {3,}.*)?$', LANGUAGE, re.MULTILINE)


def test_the_calls_of_the_grammar_are_those_of_the_table_of_calls() -> None:
    assert set(CALLS) == VOCABULARY.step_calls


def test_every_operator_of_df_has_a_terminal_of_its_own() -> None:
    terminals = [VOCABULARY.symbols[symbol] for symbol in DSL_OPERATORS]
    assert len(set(terminals)) == len(DSL_OPERATORS)
    assert all(LANGUAGE.count(f'"{symbol}"') == 1 for symbol in DSL_OPERATORS)


def test_all_operators_of_df_are_on_one_level_with_concatenation() -> None:
    levels = {VOCABULARY.levels[VOCABULARY.symbols[symbol]] for symbol in (*DSL_OPERATORS, "||")}
    assert levels == {VOCABULARY.levels["OPERATOR"]}


def test_every_operator_stands_before_between_or_behind_operands() -> None:
    assert set(VOCABULARY.levels) == VOCABULARY.prefix | VOCABULARY.infix | VOCABULARY.suffix


def test_every_call_of_the_grammar_has_an_example() -> None:
    shown = {word for word, example in EXAMPLES if example.startswith(f"df.{word}(")}
    assert shown == VOCABULARY.step_calls | VOCABULARY.start_calls


@pytest.mark.parametrize("example", [example for word, example in EXAMPLES if example.startswith("df.")])
def test_the_example_of_a_call_can_be_read(example: str) -> None:
    assert codes(example) == []


def test_the_functions_whose_arguments_are_read_are_those_that_are_computed() -> None:
    assert frozenset(FUNCTIONS) == COMPUTED_FUNCTIONS
