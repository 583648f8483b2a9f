"""Every code of the compiler has a page, and the programs on it do what the page says."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from pgweave.compiler import lower, passes
from pgweave.grammar.diagnostics import CATALOGUE
from pgweave.grammar.parser import parse
from pgweave.grammar.span import Source

PAGES = files("pgweave.grammar") / "codes"
CODES = [code for code in CATALOGUE if (PAGES / f"{code}.md").is_file()]
OURS = [code for code in CATALOGUE if code >= "PW2" and code != "PW504"]  # PW504 is found while parsing


def page(code: str) -> str:
    return (PAGES / f"{code}.md").read_text(encoding="utf-8")


def findings(program: str) -> list[str]:
    """Codes of everything that parser, checks and lowering say about a program."""
    parsed = parse(Source("page.df", program))
    found = [*parsed.diagnostics, *passes.check(parsed.module)]
    if parsed.ok:
        found += [refusal for definition in parsed.module.definitions for refusal in lower.refusals(definition)]
    return [finding.code for finding in found]


@pytest.mark.parametrize("code", OURS)
def test_every_code_of_the_compiler_has_a_page(code: str) -> None:
    assert page(code).startswith(f"# {code} {CATALOGUE[code].name}\n")


@pytest.mark.parametrize("code", CODES)
def test_the_first_program_of_a_page_triggers_its_code_alone_and_the_second_nothing(code: str) -> None:
    blocks = re.findall(r"^```df(?: repeated (\d+))?\n(.*?)^```$", page(code), re.MULTILINE | re.DOTALL)
    failing, mended = (text * int(times or 1) for times, text in blocks)
    assert set(findings(failing)) == {code}
    assert findings(mended) == []
