"""The words of a syntax error: from the terminals that Lark would have accepted to a sentence that a person can act on.

'SELECT 1' 'SELECT 2'     accepts {OPERATOR, COMMA, $END ..}     expected an operator, "," or the end of the statement
df.sleep(60) ~>           accepts {NUMBER, STRING, LPAR ..}      expected a step, "(" or a df function
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.catalogue import phrase
from pgweave.grammar.kinds import CALLS, EXPLAIN, SETVAR, START, Type
from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.lexer import STRING, WORD
from pgweave.grammar.reading.terminals import NAMES
from pgweave.grammar.shortened import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pgweave.grammar.reading.lexer import Token

_MARKS = {
    "COMMA": '","',
    "RPAR": '")"',
    "RSQB": '"]"',
    "LPAR": '"("',
    "LSQB": '"["',
    "FROM": "FROM",
    "$END": phrase("the-end"),
}
_CALLS = {**CALLS, "start": START, "explain": EXPLAIN, "setvar": SETVAR}
# Operators that take values, never steps: those on a level of their own. `||` and `->` may well stand between steps.
_VALUE_OPERATORS = frozenset(
    name for name in VOCABULARY.infix | VOCABULARY.prefix if VOCABULARY.levels[name] != VOCABULARY.levels["OPERATOR"]
)

# What people know from other languages: the word that is not expected here, or the one before it, and the advice.
_HABITS = {
    "as": "habit-as", "then": "habit-if", "else": "habit-if", "if": "habit-if", "while": "habit-while", "=>": "habit-arrow",
    ":=": "habit-plpgsql", "perform": "habit-plpgsql", "return": "habit-plpgsql", "declare": "habit-plpgsql",
}  # fmt: skip


class Expected(NamedTuple):
    """Words for a syntax error: what could stand here, what stands here, and one thing to do."""

    expected: str
    found: str
    help: str


def explain(text: str, terminals: Sequence[Token], at: int, accepts: Collection[str]) -> Expected:
    """The words of PW001 for an unexpected terminal. at: its index; the number of terminals if the end came too early."""
    found = terminals[at] if at < len(terminals) else None
    before = terminals[at - 1] if at else None
    operand = "NUMBER" in accepts  # a string may also follow a name: jsonb '{}'
    return Expected(
        _operand(terminals, at) if operand else _operator(accepts),
        phrase("the-end") if found is None else _shown(text, found),
        _operand_help(text, found, before) if operand else _operator_help(text, terminals, at, accepts),
    )


def _shown(text: str, token: Token) -> str:
    text = one_line(text[token.start : token.end])
    return f"`{text[:37]}..`" if len(text) > 40 else f"`{text}`"


def _operand(terminals: Sequence[Token], at: int) -> str:
    before = terminals[at - 1] if at else None
    if before is not None and before.type in _VALUE_OPERATORS:
        return phrase("a-value")
    if before is not None and before.value == "|=>":
        return phrase("a-quoted-name")
    return phrase("an-operand" if _in_step_place(terminals, at) else "a-value")


def _in_step_place(terminals: Sequence[Token], at: int) -> bool:
    """Whether a step may stand at `at`: anywhere but in an argument of another type.

    In `df.sleep(|` a number is wanted, in `df.seq('SELECT 1', |` a step; plain parentheses want what the place around
    them wants.
    """
    places: list[tuple[str | None, int]] = [
        (None, 0)
    ]  # for each open bracket: the call ("" for any other), and argument
    for i, token in enumerate(terminals[:at]):
        if token.type in ("LPAR", "LSQB"):
            called = i >= 1 and terminals[i - 1].type in NAMES
            if called and i >= 3 and terminals[i - 3].value == "df" and terminals[i - 2].type == "DOT":
                places.append((terminals[i - 1].value, 0))
            else:
                places.append(("", 0) if called or token.type == "LSQB" else places[-1])
        elif token.type in ("RPAR", "RSQB"):
            places.pop()
        elif token.type == "COMMA":
            places[-1] = (places[-1][0], places[-1][1] + 1)
    name, argument = places[-1]
    if name is None:
        return True
    params = _CALLS[name].params if name in _CALLS else ()
    return argument < len(params) and params[argument].type is Type.STEP


def _operator(accepts: Collection[str]) -> str:
    if "TYPE" in accepts:
        return phrase("a-type")
    words = [phrase("an-operator")] if "OPERATOR" in accepts else []
    words += [phrase("a-name")] if "NAME" in accepts and "OPERATOR" not in accepts else []
    words += [phrase("as-and-a-type")] if "AS" in accepts and "NAME" not in accepts and "$END" not in accepts else []
    words += [mark for terminal, mark in _MARKS.items() if terminal in accepts and not (terminal == "LPAR" and words)]
    if len(words) < 2:
        return words[0] if words else phrase("something-else")
    return phrase("either", others=", ".join(words[:-1]), last=words[-1])


def _operand_help(text: str, found: Token | None, before: Token | None) -> str:
    if found is None:
        return phrase("before-the-end")
    if before is not None and before.type == "DOT":
        return phrase("a-function")
    if found.type in ("KEYWORD", "SELECT"):
        return phrase("bare-sql")
    if found.type in ("COMMA", "RPAR", "RSQB"):
        if before is None or before.type in ("LPAR", "LSQB"):
            return phrase("missing-here")
        return phrase("missing-after", before=_shown(text, before))
    if found.type in VOCABULARY.infix and found.type != "ADD":  # a sign may begin an operand
        return phrase("no-prefix", found=_shown(text, found))
    return phrase("write-a-step")


def _operator_help(text: str, terminals: Sequence[Token], at: int, accepts: Collection[str]) -> str:
    """Advice where an operand is complete and something else follows than an operator. The first that fits is given."""
    found = terminals[at] if at < len(terminals) else None
    before = terminals[at - 1] if at else None
    if found is None:
        return phrase("complete-it")
    if before is not None and before.kind == STRING and found.kind == WORD and before.end == found.start:
        return phrase("quote-in-text")
    for word, advice in _HABITS.items():
        if found.value == word or (before is not None and before.kind == WORD and before.value == word):
            return phrase(advice)
    if found.value == ":":
        return _colon_help(text, before, terminals[:at])
    if "TYPE" in accepts:
        return phrase("write-a-type")
    if "AS" in accepts and "$END" not in accepts:
        return phrase("write-a-cast")
    return _neighbour_help(found, before)


def _colon_help(text: str, before: Token | None, earlier: Sequence[Token]) -> str:
    """A colon is no sign of the language: `df.sleep(seconds: 5)`, `a ? b : c`."""
    if before is not None and before.type in NAMES:
        return phrase("name-argument", name=_shown(text, before)[1:-1])
    return phrase("habit-if" if any(token.value == "?>" for token in earlier) else "remove-colon")


def _neighbour_help(found: Token, before: Token | None) -> str:
    """Two operands stand side by side; what could join them."""
    if found.type == "SELECT" or (found.type == "NAME" and found.value == "df"):
        return phrase("two-statements")
    if before is not None and before.type in NAMES and found.type in ("STRING", "NUMBER"):
        return phrase("call-parentheses")
    if found.type in ("STRING", *NAMES, "NUMBER", "LPAR", "CONSTANT", "OPAQUE"):
        return phrase("two-steps")
    return phrase("misplaced")
