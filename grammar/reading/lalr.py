"""df.lark -> Lark's parser. Building its table takes longer than all else a small program needs, so the table is kept.

parse_table.py holds what Lark made of df.lark, and which Lark and which df.lark that was. Is it another one of either,
the table is built anew: slower, but never wrong. `python docs/generate.py` writes the file, a test says when to.
"""

from __future__ import annotations

from pkgutil import get_data
from typing import TYPE_CHECKING, Any
from zlib import crc32

import lark
from lark.grammar import Rule
from lark.lexer import Lexer, TerminalDef

from pgweave.grammar.reading.parse_table import GRAMMAR, LARK, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.reading.lexer import Token

_WIDTH = 118  # characters of a line of parse_table.py


class _Feed(Lexer):
    """Hands Lark the terminals that are already there."""

    def __init__(self, lexer_conf: object) -> None:
        """Lark passes its configuration; the words are ours."""

    def lex(self, data: list[Token]) -> Iterator[Token]:  # type: ignore[override]
        """Give the terminals one by one."""
        return iter(data)


def parser(transformer: object) -> lark.Lark:
    """Lark's parser of the language, which eats terminals. transformer: a method per rule, what becomes of it."""
    if (lark.__version__, _fingerprint()) != (LARK, GRAMMAR):
        return build(transformer)
    data = dict(TABLE["data"])
    data["options"] = {**data["options"], "lexer": _Feed, "transformer": transformer}
    data["parser"] = {**data["parser"], "lexer_conf": {**data["parser"]["lexer_conf"], "lexer_type": _Feed}}
    return lark.Lark.load({"data": data, "memo": TABLE["memo"]})


def build(transformer: object) -> lark.Lark:
    """Build the table from df.lark."""
    text = _grammar().decode()
    return lark.Lark(text, start="statement", parser="lalr", lexer=_Feed, transformer=transformer, keep_all_tokens=True)


def _fingerprint() -> str:
    return f"{crc32(_grammar()):08x}"


def _grammar() -> bytes:
    found = get_data("pgweave.grammar", "df.lark")
    assert found is not None
    return found


def module() -> str:
    """Text of parse_table.py."""
    data, memo = build(None).memo_serialize([TerminalDef, Rule])
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
            f'GRAMMAR = "{_fingerprint()}"',
            f"TABLE: dict[str, Any] = {_folded(repr(table))}",
            "",
        ]
    )


def _ordered(table: dict[str, Any]) -> dict[str, Any]:
    """The same table with states and tokens numbered in one order: Lark's depends on the hashes of strings."""
    names = table["tokens"]
    tokens = sorted(names.values())
    number = {name: at for at, name in enumerate(tokens)}
    states: dict[int, dict[int, Any]] = {}
    order = [table["start_states"]["statement"]]
    for state in order:  # grows while we walk: every state is reached from the first
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
    """Broken into lines behind commas."""
    lines, line = [], ""
    for piece in text.split(", "):
        if line and len(line) + len(piece) > _WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += piece + ", "
    return "\n".join([*lines, line.removesuffix(", ")])
