"""Words that the repository does not use: names, comments and messages are plain technical English.

The list is short on purpose. It has the words of an earlier private dialect, with what to write instead. Text that uses
such a word in its ordinary meaning gets an entry in ALLOWED, with the reason.
"""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ENDINGS = {".py", ".sql", ".ts", ".tsx", ".md", ".html", ".lark", ".df"}

# Word or phrase, and what to write instead. Identifiers count: `_put_off` and `putOff` contain `put off`.
WORDS = {
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix, correct",
    r"put(s|ting)? off": "defer",
    r"ow(e|es|ed|ing)": "is pending",
    r"a hand in it": "control",
    r"nobody's": "say whose, or that there is none",
    r"of (ours|theirs)": "our, their",
    r"stands? in": "is in, replaces",
    r"crews?": "workers",
    r"town( hall)?s?": "database",
    r"desks?": "database, client",
    r"fates?": "outcome, fault",
}

ANY_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)

# File (a glob), the exact text, and why it may be there.
ALLOWED: tuple[tuple[str, str, str], ...] = ()


def sources() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if Path(name).suffix in ENDINGS and (ROOT / name).is_file()]


def words_of(text: str) -> str:
    """The text with identifiers taken apart: `put_off`, `putOff` and `PutOff` become `put off`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")


def found(name: str, text: str) -> Iterator[str]:
    """Each line that uses one of WORDS, as file:line: what to write instead, the line."""
    for number, line in enumerate(text.splitlines(), 1):
        for file, phrase, _ in ALLOWED:
            if fnmatch(name, file):
                line = line.replace(phrase, "")  # noqa: PLW2901
        if not ANY_WORD.search(words := words_of(line)):
            continue
        for word, instead in WORDS.items():
            if re.search(rf"\b({word})\b", words, re.IGNORECASE):
                yield f"{name}:{number}: {word} -> {instead}: {line.strip()[:100]}"


@pytest.mark.parametrize(
    "line",
    [
        "Open the page anew.",
        "def _put_off(self) -> None:",
        "const putOff = 1;",
        "A program with the mistake, and the same mended",
        "FATE = 1",
    ],
)
def test_a_planted_word_is_found(line: str) -> None:
    assert list(found("planted.py", line)) != []


@pytest.mark.parametrize(
    "line", ["We recommend an amendment.", "It is owned by root, allowed and shown.", "fated", "anewly"]
)
def test_other_words_that_contain_one_are_not(line: str) -> None:
    assert list(found("planted.py", line)) == []


def test_the_repository_uses_none_of_these_words() -> None:
    own = Path(__file__).relative_to(ROOT).as_posix()
    lines = [
        line for name in sources() if name != own for line in found(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert lines == [], f"{len(lines)} lines:\n" + "\n".join(lines)
