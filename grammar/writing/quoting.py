"""A string -> the literal that writes it."""

from __future__ import annotations

import re

# Characters that no reader sees, or that an editor or a terminal might change: controls other than tab and line feed,
# the byte order mark, marks that turn the writing direction, and line separators.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ESCAPED = re.compile(rf"[\\']|{_HIDDEN.pattern}")
_ESCAPES = {"\\": "\\\\", "'": "''", "\b": "\\b", "\f": "\\f", "\r": "\\r"}


def quote(value: str, *, dollars: bool = True) -> str:
    """Write a string literal with as few escapes as there can be. dollars: whether `$$ .. $$` may be used.

    Plain quotes where nothing needs an escape, else dollar quotes; E'..' only to make hidden characters visible.
    """
    if _HIDDEN.search(value):
        return "E'" + _ESCAPED.sub(_escape, value) + "'"
    if "'" not in value or not dollars:
        return "'" + value.replace("'", "''") + "'"
    tag, number = "$$", 0
    # With the tag behind it: a value that ends in `$` would make `$$$` of it, and close one character too early.
    while (value + tag).find(tag) < len(value):
        number += 1
        tag = f"$q{number}$"
    return tag + value + tag


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return _ESCAPES.get(character) or (
        f"\\x{ord(character):02x}" if character.isascii() else f"\\u{ord(character):04x}"
    )
