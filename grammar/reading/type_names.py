"""The names of types as PostgreSQL spells them, in one word or several: `timestamp(3) with time zone`, `int[]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.reading.lexer import QUOTED, WORD

if TYPE_CHECKING:
    from pgweave.grammar.reading.brackets import StatementTokens

_CHARACTER_TYPES = frozenset({"character", "char", "nchar", "bit"})
_INTERVAL_FIELDS = frozenset({"year", "month", "day", "hour", "minute", "second", "to", "("})


class TypeName(NamedTuple):
    """A type. end: index of the token behind it; name: one word, without `pg_catalog.`."""

    end: int
    name: str


def read_type(tokens: StatementTokens, at: int) -> TypeName | None:
    """The type that begins at `at`, with what modifies it; None if none does.

    timestamp(3) with time zone   ->  timestamptz(..)
    double precision []           ->  float8[]
    interval day to second        ->  interval
    """
    base = read_type_name(tokens, at)
    if base is None:
        return None
    end, name = base
    modifiers = ""
    # interval(3) and interval second(3) are read below, with the fields.
    if tokens.word(end) == "(" and name != "interval":
        end, modifiers = tokens.behind(end), "(..)"
    if name in ("timestamp", "time"):
        for word, suffix in (("with", "tz"), ("without", "")):
            if tokens.words(end, word, "time", "zone"):
                end, name = end + 3, name + suffix
                break
    elif name == "interval":
        while tokens.word(end) in _INTERVAL_FIELDS:
            end = tokens.behind(end) if tokens.word(end) == "(" else end + 1
    after_brackets = _behind_array(tokens, end)
    return TypeName(after_brackets, name + modifiers + ("[]" if after_brackets > end else ""))


def _behind_array(tokens: StatementTokens, end: int) -> int:
    """Behind `[]`, `[3][4]` or `ARRAY[4]`; the word ARRAY counts only directly behind the type."""
    if tokens.word(end) == "array":
        end += 1
    while tokens.word(end) == "[":
        end = tokens.behind(end)
    return end


def read_type_name(tokens: StatementTokens, at: int) -> TypeName | None:
    """The bare name of a type (or of a collation) that begins at `at`; None if none does."""
    if tokens.word(at) == "setof":
        at += 1
    if tokens.words(at, "double", "precision"):
        return TypeName(at + 2, "float8")
    if tokens.word(at) == "national":
        at += 1
    first = tokens.word(at)
    if first in _CHARACTER_TYPES:
        if tokens.word(at + 1) != "varying":
            return TypeName(at + 1, first)
        # character varying, char varying and nchar varying are varchar; bit varying is no text.
        return TypeName(at + 2, first if first == "bit" else "varchar")
    parts, end = qualified_name(tokens, at)
    if parts[:1] == ["pg_catalog"]:
        del parts[0]
    return TypeName(end, ".".join(parts)) if parts else None


def qualified_name(tokens: StatementTokens, at: int) -> tuple[list[str], int]:
    """The parts of the name that begins at `at`, `["df", "sleep"]`, and the index behind its last part."""
    parts: list[str] = []
    end = at
    while at < len(tokens.tokens) and tokens.tokens[at].kind in (WORD, QUOTED):
        parts.append(tokens.tokens[at].value)
        end = at + 1
        if tokens.word(end) != ".":
            break
        at = end + 1
    return parts, end
