"""The token table for colours: what an editor may say about a character without parsing.

One table feeds all: `tokenise` here (for Pygments), and the CodeMirror mode, which is generated from it. It knows lines
and a stack of states, no more, for that is all that editors give: colours must survive half-written text. Regular
expressions are of the kind that Python and JavaScript read alike; words are looked up, so that no expression has to
care for upper and lower case.

What stands between quotes is SQL most of the time, so keywords and placeholders are coloured there too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.kinds import CALLS, NON_STEP_CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES = (
    "comment", "string", "escape", "keyword", "call", "operator", "number", "placeholder", "name", "punctuation", "text",
)  # fmt: skip


class Rule(NamedTuple):
    """One row: what is matched, how it is coloured, and what happens to the stack of states.

    kind: one of CLASSES; or `word`: looked up in WORDS, and else what `fallback` says. then: "" to stay, "pop", or the
    state to enter; `dollar` remembers what was matched, for only the same text ends it.
    """

    pattern: str
    kind: str
    then: str = ""
    fallback: str = ""


_NAME = "[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*"
_PLACEHOLDER = r"[$][A-Za-z_][A-Za-z0-9_]*(?:[.](?:[*]|[A-Za-z_][A-Za-z0-9_]*))?[?]?|[{][A-Za-z_][A-Za-z0-9_]*[}]"
_INSIDE = (
    Rule(_PLACEHOLDER, "placeholder"),
    Rule(_NAME, "word", fallback="string"),
    Rule("[^'$\\\\{A-Za-z_\u0080-\U0010ffff]+", "string"),
)
STATES: dict[str, tuple[Rule, ...]] = {
    "root": (
        Rule(r"--[^\n]*", "comment"),
        Rule("/[*]", "comment", "comment"),
        Rule("[eE]'", "string", "escape"),
        Rule("(?:[uU]&|[nNbBxX])?'", "string", "quote"),
        Rule("[$](?:[A-Za-z_][A-Za-z0-9_]*)?[$]", "string", "dollar"),
        Rule('"(?:[^"]|"")*"', "name"),
        Rule("df[.][A-Za-z_][A-Za-z0-9_]*", "word", fallback="name"),
        Rule("[0-9]+(?:[.][0-9]+)?", "number"),
        Rule(_NAME, "word", fallback="name"),
        Rule("[~!@#^&|`?+*/%<>=-]+|::|:=", "operator"),
        Rule(r"[()\[\],;.:]", "punctuation"),
        Rule(r"[ \t\r\f\v]+", "text"),
    ),
    "quote": (Rule("''", "escape"), Rule("'", "string", "pop"), *_INSIDE),
    "escape": (Rule(r"''|\\[^\n]", "escape"), Rule("'", "string", "pop"), *_INSIDE),
    "dollar": _INSIDE,
    "comment": (Rule("/[*]", "comment", "comment"), Rule("[*]/", "comment", "pop"), Rule("[^*/]+", "comment")),
}
# What a single character is that no rule of its state knows.
OTHERWISE = {"root": "text", "quote": "string", "escape": "string", "dollar": "string", "comment": "comment"}

# Not those of keywords.py: here a word only gets a colour, and `date` or `name` would be coloured wherever a
# column has that name.
_KEYWORDS = (
    "all", "alter", "analyze", "and", "any", "array", "as", "asc", "begin", "between", "by", "call", "case", "cast",
    "commit", "conflict", "create", "cross", "current_date", "current_timestamp", "current_user", "declare", "default",
    "delete", "desc", "distinct", "do", "drop", "else", "end", "except", "exists", "false", "filter", "for", "from",
    "full", "function", "group", "having", "if", "ilike", "in", "index", "inner", "insert", "intersect", "interval",
    "into", "is", "join", "lateral", "left", "like", "limit", "listen", "merge", "natural", "not", "nothing", "notify",
    "null", "offset", "on", "or", "order", "outer", "over", "partition", "perform", "primary", "raise", "references",
    "refresh", "return", "returning", "returns", "right", "rollback", "select", "set", "table", "then", "to", "trigger",
    "true", "truncate", "union", "unique", "update", "using", "vacuum", "values", "view", "when", "where", "with",
)  # fmt: skip

WORDS: dict[str, str] = {
    **dict.fromkeys(_KEYWORDS, "keyword"),
    **dict.fromkeys(sorted(f"df.{name}" for name in (*CALLS, *NON_STEP_CALLS)), "call"),
}
"""Lower-case words that mean something."""

_COMPILED = {state: tuple((re.compile(rule.pattern), rule) for rule in rules) for state, rules in STATES.items()}


def tokenise(text: str) -> Iterator[tuple[int, str, str]]:
    """Cut a text into pieces that all together are the text: offset, class, piece. Line ends are `text`."""
    stack: list[tuple[str, str]] = [("root", "")]  # state, and what ends a dollar-quoted text
    offset = 0
    for number, line in enumerate(text.split("\n")):
        if number:
            yield offset - 1, "text", "\n"
        yield from ((offset + start, kind, piece) for start, kind, piece in _line(line, stack))
        offset += len(line) + 1


def _line(line: str, stack: list[tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """The pieces of one line; the stack is what it was at the end of the line before."""
    at = 0
    while at < len(line):
        state, end = stack[-1]  # end: `$tag$` in a dollar-quoted text, else empty
        # Before the rules: in a `dollar` state `$tag$` would match as a placeholder or as plain text.
        if end and line.startswith(end, at):
            stack.pop()
            yield at, "string", end
            at += len(end)
            continue
        for pattern, rule in _COMPILED[state]:
            found = pattern.match(line, at)
            if found:
                piece, kind = found[0], rule.kind
                if kind == "word":
                    kind = WORDS.get(piece.lower(), rule.fallback)
                if rule.then == "pop":
                    stack.pop()
                elif rule.then:
                    stack.append((rule.then, piece if rule.then == "dollar" else ""))
                break
        else:
            piece, kind = line[at], OTHERWISE[state]
        yield at, kind, piece
        at += len(piece)
