"""Text cut to a number of characters: the one place that counts them and says that something is missing."""

from __future__ import annotations


def cut(text: str, width: int, mark: str = "…") -> str:
    """At most `width` characters; of a longer text the beginning, with `mark` behind it.

    cut("SELECT total", 8) is "SELECT …". mark: `..` or `...` where the text goes to files in ASCII.
    """
    return text if len(text) <= width else text[: width - len(mark)] + mark


def one_line(text: str) -> str:
    """All of a text in one line, every run of blanks and line ends one blank."""
    return " ".join(text.split())
