"""df.lark -> Lark's parser, and the words of the language that df.lark lists (VOCABULARY).

Lark takes longer to build its table than a small program takes to be read, so parse_table.py keeps what Lark made, with
the version of Lark and a checksum of df.lark that it was made from. If either differs, the table is built again: slower,
never wrong. `python docs/generate.py` writes the file, and a test says when to.
"""

from __future__ import annotations

import re
from pkgutil import get_data
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import lark
from lark.grammar import Rule
from lark.lexer import Lexer, PatternRE, TerminalDef

from pgweave.grammar.reading import parse_table
from pgweave.grammar.reading.parse_table import GRAMMAR, LARK, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.reading.lexer import Token

_WIDTH = 118  # characters of a line of parse_table.py


class Vocabulary(NamedTuple):
    """What df.lark says about single words and operators.

    symbols: the terminal of each word or operator that has one of its own, `~>` -> SEQUENCE. levels: how tight the
    operators of a terminal bind, the higher the tighter. prefix, infix, suffix: terminals that stand before, between
    and behind operands. nonassoc: levels on which PostgreSQL takes only one operator in a row.
    step_calls, start_calls: names of the df calls, without `df.`.
    """

    symbols: dict[str, str]
    levels: dict[str, int]
    prefix: frozenset[str]
    infix: frozenset[str]
    suffix: frozenset[str]
    nonassoc: frozenset[int]
    step_calls: frozenset[str]
    start_calls: frozenset[str]


class _TokenFeed(Lexer):
    """Stands where Lark expects a lexer: our tokens have been cut already and are passed on as they are."""

    def __init__(self, lexer_conf: object) -> None:
        """Lark passes its configuration, which has nothing to say about tokens that exist."""

    def lex(self, data: list[Token]) -> Iterator[Token]:  # type: ignore[override]
        """Pass the tokens on, one by one."""
        return iter(data)


def parser(transformer: object) -> lark.Lark:
    """Lark's parser of the language; it parses a list of terminals. transformer: one method per rule of df.lark."""
    if (lark.__version__, _checksum()) != (LARK, GRAMMAR):
        return build(transformer)
    data = dict(TABLE["data"])
    data["options"] = {**data["options"], "lexer": _TokenFeed, "transformer": transformer}
    data["parser"] = {**data["parser"], "lexer_conf": {**data["parser"]["lexer_conf"], "lexer_type": _TokenFeed}}
    return lark.Lark.load({"data": data, "memo": TABLE["memo"]})


def build(transformer: object) -> lark.Lark:
    """Build the parser from df.lark."""
    text, feed = _grammar().decode(), _TokenFeed
    return lark.Lark(text, start="statement", parser="lalr", lexer=feed, transformer=transformer, keep_all_tokens=True)


def _checksum() -> str:
    return f"{crc32(_grammar()):08x}"


def _grammar() -> bytes:
    found = get_data("pgweave.grammar", "df.lark")
    assert found is not None
    return found


def _vocabulary(built: lark.Lark) -> Vocabulary:
    """Read the words and levels off a parser that was built from df.lark."""
    words = {terminal.name: _alternatives(terminal) for terminal in built.terminals}
    levels = {terminal.name: terminal.priority for terminal in built.terminals if terminal.priority}
    # SIGN comes after ADD and has the same symbols: terminals.py tells the two apart, so the first one is kept.
    symbols = {word: name for name in reversed(levels) for word in words[name]}

    def members(*rules: str) -> frozenset[str]:
        return frozenset(rule.expansion[0].name for rule in built.rules if rule.origin.name in rules)

    return Vocabulary(
        symbols=symbols,
        levels=levels,
        prefix=members("_before"),
        infix=members("_left", "_nonassoc"),
        suffix=members("_behind"),
        nonassoc=frozenset(levels[name] for name in members("_nonassoc")),
        step_calls=frozenset(words["STEP_CALL"]),
        start_calls=frozenset(words["START_CALL"]),
    )


def _alternatives(terminal: TerminalDef) -> list[str]:
    r"""The words that a terminal lists. Lark has made one regular expression of several: `"+" | "-"` is `(?:\+|\-)`."""
    pattern = terminal.pattern.value
    if not isinstance(terminal.pattern, PatternRE):
        return [pattern]
    if not pattern.startswith("(?:"):
        return []  # written as a regular expression in df.lark: no list of words
    return [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:\\.|[^\\|])+", pattern[3:-1])]


def _kept_vocabulary() -> Vocabulary:
    if _checksum() == GRAMMAR:
        symbols, levels, *sets = parse_table.VOCABULARY
        return Vocabulary(symbols, levels, *map(frozenset, sets))
    return _vocabulary(build(None))


VOCABULARY = _kept_vocabulary()


def module() -> str:
    """Text of parse_table.py."""
    built = build(None)
    words = tuple(map(_sorted, _vocabulary(built)))
    data, memo = built.memo_serialize([TerminalDef, Rule])
    data["parser"]["parser"] = _ordered(data["parser"]["parser"])
    table = {"data": {**data, "options": data["options"] | {"lexer": None}}, "memo": memo}
    table["data"]["parser"]["lexer_conf"]["lexer_type"] = None
    return "\n".join(
        [
            '"""What Lark makes of df.lark, written by `python docs/generate.py`. lalr.py reads it."""',
            "",
            "# fmt: off",
            "from typing import Any",
            "",
            f'LARK = "{lark.__version__}"',
            f'GRAMMAR = "{_checksum()}"',
            f"VOCABULARY: tuple[Any, ...] = {_folded(repr(words))}",
            f"TABLE: dict[str, Any] = {_folded(repr(table))}",
            "",
        ]
    )


def _sorted(value: Any) -> dict[str, Any] | tuple[Any, ...]:  # noqa: ANN401 - a field of Vocabulary
    """A dictionary or a set in the order of its keys, so that the file does not change by itself."""
    return dict(sorted(value.items())) if isinstance(value, dict) else tuple(sorted(value))


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    """The same table with states and tokens in an order of their own, for Lark's depends on the hashes of strings.

    States are numbered in the order in which a walk from the start state meets them, tokens by their names: so the file
    changes only where df.lark does.
    """
    names = table["tokens"]
    tokens = sorted(names.values())
    number = {name: at for at, name in enumerate(tokens)}
    states: dict[int, dict[int, Any]] = {}
    order = [table["start_states"]["statement"]]
    for state in order:  # `order` grows while we walk; every state is reached from the first
        actions = sorted((number[names[token]], action) for token, action in table["states"][state].items())
        states[state] = dict(actions)
        order += [to for _, (reduces, to) in actions if not reduces and to not in order]
    place = {state: at for at, state in enumerate(order)}
    return {
        "tokens": dict(enumerate(tokens)),
        "states": {
            place[state]: {token: (kind, to if kind else place[to]) for token, (kind, to) in actions.items()}
            for state, actions in states.items()
        },
        "start_states": {name: place[state] for name, state in table["start_states"].items()},
        "end_states": {name: place[state] for name, state in table["end_states"].items()},
    }


def _folded(text: str) -> str:
    """Broken into lines after commas."""
    lines, line = [], ""
    for piece in text.split(", "):
        if line and len(line) + len(piece) > _WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += piece + ", "
    return "\n".join([*lines, line.removesuffix(", ")])
