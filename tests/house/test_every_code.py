"""Every code has a page, and the programs on it do what the page says: `pgweave explain` tells no stories."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import lower, passes
from pgweave.grammar.catalogue import CATALOGUE, PHRASES
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.subject import Target

PAGES = {
    page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
    for page in (files("pgweave.grammar") / "codes").iterdir()
}
OF_THE_DATABASE = {"PW513"}  # tests/runtime/test_dbcheck.py has one to ask
COMPUTED = "PW509"  # says that rows cannot be had, which is no fault of a program
SECTIONS = ["Why it matters", "A program that triggers it", "The same program, corrected"]


def programs(page: str) -> list[str]:
    """The programs of a page; one that is too long to print says how often its block is repeated."""
    blocks = re.findall(r"^```df(?: repeated (\d+))?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text * int(times or 1) for times, text in blocks]


def codes_of(program: str, target: Target = "pgweave") -> set[str]:
    """What parser, checks and lowering find in a program."""
    parsed = parse(Source("page.df", program))
    if not parsed.ok:
        return {finding.code for finding in parsed.diagnostics}
    refused = [finding for definition in parsed.module.definitions for finding in lower.refusals(definition)]
    return {finding.code for finding in (*parsed.diagnostics, *passes.check(parsed.module, target=target), *refused)}


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert sorted(PAGES) == sorted(CATALOGUE)


def test_codes_and_names_are_used_once_and_codes_are_in_order() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE)
    assert len({rule.name for rule in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("code", sorted(PAGES))
def test_a_page_says_what_it_means_and_why_and_shows_it(code: str) -> None:
    assert PAGES[code].startswith(f"# {code} {CATALOGUE[code].name}\n\n")
    assert re.findall(r"^## (.+)$", PAGES[code], re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("code", sorted(PAGES.keys() - OF_THE_DATABASE))
def test_the_first_program_of_a_page_has_this_finding_alone_and_the_corrected_one_none(code: str) -> None:
    """With --target pg_durable where the page is about what differs there."""
    target: Target = "pg_durable" if code in passes.PORTABILITY else "pgweave"
    failing, corrected = programs(PAGES[code])
    assert codes_of(failing, target) - ({COMPUTED} - {code}) == {code}
    assert codes_of(corrected, target) == set()


@pytest.mark.parametrize("code", sorted(passes.PORTABILITY))
def test_what_pgweave_fixed_is_no_finding_for_programs_that_stay_here(code: str) -> None:
    assert [code for program in programs(PAGES[code]) if code in codes_of(program)] == []


@pytest.mark.parametrize("code", sorted(OF_THE_DATABASE))
def test_what_only_a_database_knows_is_not_found_without_one(code: str) -> None:
    assert [codes_of(program) for program in programs(PAGES[code])] == [set(), set()]


# Where the words stand

ROOT = Path(__file__).parents[2]
CHECKS = [
    *sorted(ROOT.glob("compiler/checks/*.py")),
    *(ROOT / "compiler" / name for name in ("subject.py", "suppress.py", "project.py")),
    ROOT / "grammar" / "parser.py",
    *sorted(ROOT.glob("grammar/meaning/*.py")),
    *(path for path in sorted(ROOT.glob("grammar/reading/*.py")) if path.stem not in ("lalr", "parse_table")),
]
FINDERS = [path for folder in ("compiler", "grammar", "src/pgweave") for path in sorted((ROOT / folder).rglob("*.py"))]
SQL_WORDS = {"between and", "double precision"}  # names of an operator and of a type
PATTERNS = {"compile", "search", "match", "fullmatch", "findall", "finditer", "split", "sub"}


def texts(tree: ast.AST) -> Iterator[str]:
    """String literals of a module, without docstrings (also those below an assignment) and regular expressions."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out.add(id(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PATTERNS:
            left_out.update(id(argument) for argument in node.args)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def prose(source: str) -> list[str]:
    """Texts in which a blank stands between words of small letters, or before or behind one: English, not SQL.

    A type of JSON with its article (`a number`) is a value, as the name of a column is.
    """
    return [
        text
        for text in texts(ast.parse(source))
        if re.search("[a-z]{2} (?:[A-Za-z]|$)|(?:[A-Za-z]|^) [a-z]{2}", text)
        and not re.fullmatch("an? [a-z]+", text)
        and text not in SQL_WORDS
    ]


@pytest.mark.parametrize("path", CHECKS, ids=lambda path: path.stem)
def test_a_check_or_reader_gives_names_and_values_and_leaves_the_words_to_the_catalogue(path: Path) -> None:
    assert prose(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('yield finding("PW101", span, label="this is wrong")', ["this is wrong"]),
        ('title = f"The result `{name}` is lost"', ["The result `", "` is lost"]),
        ('def check() -> None:\n    """Words about the check."""', []),
        ('better = f"SELECT ({expression})::boolean"', []),
        ('re.compile("no words but a pattern")', []),
        ('"IS NOT DISTINCT FROM"', []),
    ],
)
def test_english_is_told_from_sql(source: str, found: list[str]) -> None:
    assert prose(source) == found


def test_every_variant_of_a_rule_is_given_by_something() -> None:
    """Variants that are the value of an enumeration are given by its name."""
    given = {
        text for path in FINDERS if path.name != "catalogue.py" for text in texts(ast.parse(path.read_text("utf-8")))
    }
    assert [(rule.code, name) for rule in CATALOGUE.values() for name in rule.variants if name not in given] == []


def test_every_phrase_is_used_by_something() -> None:
    used = {
        text for path in FINDERS if path.name != "catalogue.py" for text in texts(ast.parse(path.read_text("utf-8")))
    }
    assert [name for name in PHRASES if name not in used] == []


def test_a_rule_and_each_of_its_variants_have_a_title_that_begins_with_a_capital_or_a_name() -> None:
    titles = [rule.words("title", variant) for rule in CATALOGUE.values() for variant in ("", *rule.variants)]
    begins = "[A-Z`{']|df\\.|pg_durable |invalid transaction_mode |parts "  # the last two are words of pg_durable
    assert [title for title in titles if not re.match(begins, title)] == []
    # A title is no sentence, but for one of pg_durable's, which is two.
    assert [title for title in titles if title.endswith(".") and not title.startswith("Blocked: ")] == []
