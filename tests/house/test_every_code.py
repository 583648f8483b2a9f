"""Every code has a page, and the programs on it do what the page says: `pgweave explain` tells no stories."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from pgweave.compiler import lower, passes
from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from pgweave.compiler.subject import Target

PAGES = {
    page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
    for page in (files("pgweave.grammar") / "codes").iterdir()
}
OF_THE_DATABASE = {"PW513"}  # tests/runtime/test_dbcheck.py has one to ask
COMPUTED = "PW509"  # says that rows cannot be had, which is no fault of a program
SECTIONS = ["Why it matters", "A program that triggers it", "The same program, mended"]


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


def test_codes_and_names_are_used_once_and_codes_stand_in_order() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE)
    assert len({rule.name for rule in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("code", sorted(PAGES))
def test_a_page_says_what_it_means_and_why_and_shows_it(code: str) -> None:
    assert PAGES[code].startswith(f"# {code} {CATALOGUE[code].name}\n\n")
    assert re.findall(r"^## (.+)$", PAGES[code], re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("code", sorted(PAGES.keys() - OF_THE_DATABASE))
def test_the_first_program_of_a_page_has_this_finding_alone_and_the_mended_one_none(code: str) -> None:
    """With --target pg_durable where the page is about what differs there."""
    target: Target = "pg_durable" if code in passes.PORTABILITY else "pgweave"
    failing, mended = programs(PAGES[code])
    assert codes_of(failing, target) - ({COMPUTED} - {code}) == {code}
    assert codes_of(mended, target) == set()


@pytest.mark.parametrize("code", sorted(passes.PORTABILITY))
def test_what_pgweave_fixed_is_no_finding_for_programs_that_stay_here(code: str) -> None:
    assert [code for program in programs(PAGES[code]) if code in codes_of(program)] == []


@pytest.mark.parametrize("code", sorted(OF_THE_DATABASE))
def test_what_only_a_database_knows_is_not_found_without_one(code: str) -> None:
    assert [codes_of(program) for program in programs(PAGES[code])] == [set(), set()]
