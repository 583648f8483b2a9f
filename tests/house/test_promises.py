"""docs/promises.md names tests that exist, and every planted bug of tests/mutants still applies."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from mutants.plant import Mutant, mutants

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = {
    heading: text
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if heading != "What is not promised"
}


@cache
def names_in(file: str) -> set[str]:
    """Names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def missing(tests: tuple[str, ...]) -> list[str]:
    """Those of these tests, as pytest names them, that do not exist."""
    left = []
    for test in tests:
        file, _, name = test.partition("::")
        if not (ROOT / file).is_file() or (name and name.partition("[")[0] not in names_in(file)):
            left.append(test)
    return left


@pytest.mark.parametrize("heading", PROMISES)
def test_a_promise_is_one_sentence_in_bold_with_its_mechanism_its_tests_and_its_limit(heading: str) -> None:
    text = PROMISES[heading]
    assert len(re.findall(r"^\*\*", text, re.MULTILINE)) == 1
    assert re.search(r"^How: ", text, re.MULTILINE)
    assert re.search(r"^Not promised: ", text, re.MULTILINE)
    tests = tuple(re.findall(r"^- `(.*?)`$", text, re.MULTILINE))
    assert tests
    assert missing(tests) == []


def test_a_test_that_does_not_exist_is_noticed() -> None:
    here = "tests/house/test_promises.py"
    wrong = (f"{here}::test_nothing", "tests/no_such_file.py::test_nothing")
    assert missing((f"{here}::test_a_test_that_does_not_exist_is_noticed[x]", *wrong)) == list(wrong)


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_planted_bug_still_applies(mutant: Mutant) -> None:
    assert mutant.planted(ROOT) != (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.tests
    assert missing(mutant.tests) == []


def test_a_planted_bug_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.sql").write_text("select 1; select 1;")
    for old in ("select 1;", "select 2;"):
        with pytest.raises(ValueError, match="times in file"):
            Mutant("made up", "file.sql", old, "select 3;", "it holds", ()).planted(tmp_path)
