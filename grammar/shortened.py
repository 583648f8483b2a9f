"""Text cut to a number of characters: the one place that counts them and says that something is missing.

And what of a text would not be seen.
"""

from __future__ import annotations

import re

# Embeddings, overrides and isolates. Marks (U+200E, U+200F, U+061C) are left out: they are part of ordinary text.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text in the order in which it is run: characters that turn it around are shown as replacement characters."""
    return text if text.isascii() else TURNING.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(text: str, width: int, mark: str = "…") -> str:
    """At most `width` characters; of a longer text the beginning, with `mark` behind it.

    cut("SELECT total", 8) is "SELECT …". mark: `..` or `...` where the text goes to files in ASCII.
    """
    return text if len(text) <= width else text[: width - len(mark)] + mark


def one_line(text: str) -> str:
    """All of a text in one line, every run of blanks and line ends one blank."""
    return " ".join(text.split())
