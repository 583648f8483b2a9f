"""What a step of SQL is called on the canvas: what it does, and to which table. It looks at words only, it does not parse."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pgweave.grammar.reading.lexer import PUNCT, QUOTED, WORD, lex
from pgweave.grammar.shortened import cut, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.grammar.reading.lexer import Token

MAX_TITLE = 40  # characters

# What stands before the name of the table that a statement is about.
_BEFORE_TABLE = {
    "insert": "into",
    "merge": "into",
    "update": "update",
    "delete": "from",
    "select": "from",
    "table": "table",
}
_MAIN = frozenset({*_BEFORE_TABLE, "values"})
_SKIPPED = frozenset({"only", "lateral", "if", "not", "exists", "concurrently", "analyze", "full", "verbose"})
# Statements about things that are named behind these words, as in CREATE UNIQUE INDEX x, REFRESH MATERIALIZED VIEW x.
_THINGS = frozenset(
    {"table", "view", "index", "schema", "function", "procedure", "type", "sequence", "role", "extension"}
)
_NAMED_NEXT = frozenset({"call", "truncate", "vacuum", "analyze", "notify", "lock", "cluster", "reindex"})


def sql_title(sql: str) -> str:
    """`INSERT expenses`, `SELECT`, `CREATE TABLE t`; `SQL` for what does not begin with a word."""
    tokens = list(_outside_brackets(lex(sql).tokens))
    first = _word(tokens[0]) if tokens else ""
    if first == "with":
        at = next((at for at, token in enumerate(tokens) if _word(token) in _MAIN), None)
        tokens = tokens if at is None else tokens[at:]
        first = _word(tokens[0])
    if not first.isalpha():
        return "SQL"
    return _cut(" ".join([*_verb(tokens, first), *_about(tokens, first)]))


def _verb(tokens: Sequence[Token], first: str) -> list[str]:
    if first in {"create", "alter", "drop", "refresh", "comment"}:
        words = [_word(token) for token in takewhile(lambda token: token.kind == WORD, tokens)]
        things = [word for word in words[1:6] if word in _THINGS]
        return [first.upper(), *(word.upper() for word in things[:1])]
    return [first.upper()]


def _about(tokens: Sequence[Token], first: str) -> list[str]:
    """The name of what the statement is about, if it is plain."""
    before = _BEFORE_TABLE.get(first)
    for at, token in enumerate(tokens):
        word = _word(token)
        if word == before or (before is None and (word in _THINGS or (at == 0 and word in _NAMED_NEXT))):
            rest = [token for token in tokens[at + 1 :] if _word(token) not in _SKIPPED | {"table"}]
            return _name(rest)
    return []


def _name(tokens: Sequence[Token]) -> list[str]:
    """A name with its schema."""
    parts: list[str] = []
    for at in range(0, len(tokens), 2):
        if tokens[at].kind not in (WORD, QUOTED):
            break
        parts.append(tokens[at].value)
        if at + 1 >= len(tokens) or tokens[at + 1].value != "." or tokens[at + 1].kind != PUNCT:
            break
    return [".".join(parts)] if parts else []


def _outside_brackets(tokens: Sequence[Token]) -> Iterator[Token]:
    depth = 0
    for token in tokens:
        if token.kind == PUNCT and token.value in "([":
            depth += 1
        elif token.kind == PUNCT and token.value in ")]":
            depth -= 1
        elif depth == 0:
            yield token


def _word(token: Token) -> str:
    return token.value.lower() if token.kind == WORD else ""


def _cut(text: str) -> str:
    return cut(one_line(visible(text)), MAX_TITLE)
