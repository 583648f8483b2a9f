"""Every code of the compiler has a page, and the programs on it do what the page says."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from pgweave.compiler import lower, passes
from pgweave.compiler.passes import PORTABILITY
from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

PAGES = files("pgweave.grammar") / "codes"
CODES = [code for code in CATALOGUE if (PAGES / f"{code}.md").is_file()]
OURS = [code for code in CATALOGUE if code >= "PW1" or code in ("PW030", "PW031")]
TOO_LARGE_TO_SHOW = {"PW010"}  # a text of a million characters
OF_THE_DATABASE = {"PW513"}  # tests/runtime/test_dbcheck.py has a database to ask
COMPUTED = "PW509"  # says that rows cannot be had, which is no fault of a program


def page(code: str) -> str:
    return (PAGES / f"{code}.md").read_text(encoding="utf-8")


def programs(code: str) -> tuple[str, str]:
    failing, mended = re.findall(r"^```df\n(.*?)^```$", page(code), re.MULTILINE | re.DOTALL)
    return failing, mended


def findings(program: str, target: passes.Target = "pgweave") -> list[str]:
    """Codes of everything that parser, checks and lowering say about a program."""
    parsed = parse(Source("page.df", program))
    found = [*parsed.diagnostics, *passes.check(parsed.module, target=target)]
    if parsed.ok:
        found += [refusal for definition in parsed.module.definitions for refusal in lower.refusals(definition)]
    return [finding.code for finding in found]


@pytest.mark.parametrize("code", OURS)
def test_every_code_of_the_compiler_has_a_page(code: str) -> None:
    assert page(code).startswith(f"# {code} {CATALOGUE[code].name}\n")


@pytest.mark.parametrize("code", [code for code in CODES if code not in OF_THE_DATABASE | TOO_LARGE_TO_SHOW])
def test_the_first_program_of_a_page_triggers_its_code_alone_and_the_second_nothing(code: str) -> None:
    """With --target pg_durable where the page is about what differs there."""
    target: passes.Target = "pg_durable" if code in PORTABILITY else "pgweave"
    failing, mended = programs(code)
    assert set(findings(failing, target)) - ({COMPUTED} - {code}) == {code}
    assert findings(mended, target) == []


@pytest.mark.parametrize("code", sorted(PORTABILITY))
def test_what_pgweave_fixed_is_no_finding_for_programs_that_stay_here(code: str) -> None:
    for program in programs(code):
        assert code not in findings(program)


@pytest.mark.parametrize("code", sorted(OF_THE_DATABASE))
def test_what_only_a_database_knows_is_not_found_without_one(code: str) -> None:
    for program in programs(code):
        assert findings(program) == []
