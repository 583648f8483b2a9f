"""The words of a syntax error: from the terminals that Lark would have accepted to a sentence that a person can act on.

'SELECT 1' 'SELECT 2'     accepts {OPERATOR, COMMA, $END ..}     expected an operator, "," or the end of the statement
df.sleep(60) ~>           accepts {NUMBER, STRING, LPAR ..}      expected a step, "(" or a df function
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.kinds import CALLS, EXPLAIN, SETVAR, START, Type
from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.lexer import STRING, WORD
from pgweave.grammar.reading.terminals import NAMES

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
    "$END": "the end of the statement",
}
_CALLS = {**CALLS, "start": START, "explain": EXPLAIN, "setvar": SETVAR}
# Operators that take values, never steps: those on a level of their own. `||` and `->` may well stand between steps.
_VALUE_OPERATORS = frozenset(
    name for name in VOCABULARY.infix | VOCABULARY.prefix if VOCABULARY.levels[name] != VOCABULARY.levels["OPERATOR"]
)

# What people know from other languages: the word that is not expected here, or the one before it.
_IF = "An if is written `condition ?> step !> other step`, or df.if(condition, step, other)."
_PLPGSQL = "PL/pgSQL belongs into an .sql file, within DO or a function: there only the df.start calls are read."
_HABITS = {
    "as": "A result is named with |=>: 'SELECT 1' |=> 'one'. Only what is selected takes AS.",
    "then": _IF, "else": _IF, "if": _IF,
    "while": "A loop with a condition is written df.loop(body, condition).",
    "=>": "A result is named with |=>: 'SELECT 1' |=> 'one'. In a call, => stands behind the name of an argument.",
    ":=": _PLPGSQL, "perform": _PLPGSQL, "return": _PLPGSQL, "declare": _PLPGSQL,
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
        "the end of the statement" if found is None else _shown(text, found),
        _operand_help(text, found, before) if operand else _operator_help(text, terminals, at, accepts),
    )


def _shown(text: str, token: Token) -> str:
    text = " ".join(text[token.start : token.end].split())
    return f"`{text[:37]}..`" if len(text) > 40 else f"`{text}`"


def _operand(terminals: Sequence[Token], at: int) -> str:
    before = terminals[at - 1] if at else None
    if before is not None and before.type in _VALUE_OPERATORS:
        return "a value"
    if before is not None and before.value == "|=>":
        return "a name in quotes"
    return 'a step, "(" or a df function' if _in_step_place(terminals, at) else "a value"


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
        return "the name of a type"
    words = ["an operator"] if "OPERATOR" in accepts else []
    words += ["a name"] if "NAME" in accepts and "OPERATOR" not in accepts else []
    words += ["AS and a type"] if "AS" in accepts and "NAME" not in accepts and "$END" not in accepts else []
    words += [mark for terminal, mark in _MARKS.items() if terminal in accepts and not (terminal == "LPAR" and words)]
    if len(words) < 2:
        return words[0] if words else "something else"
    return ", ".join(words[:-1]) + " or " + words[-1]


def _operand_help(text: str, found: Token | None, before: Token | None) -> str:
    if found is None:
        return "Write what is missing before the statement ends."
    if before is not None and before.type == "DOT":
        return "Write the name of a function."
    if found.type in ("KEYWORD", "SELECT"):
        return "SQL is written in quotes: 'SELECT ..' or $$ SELECT .. $$."
    if found.type in ("COMMA", "RPAR", "RSQB"):
        if before is None or before.type in ("LPAR", "LSQB"):
            return "Write what is missing here."
        return f"Write what is missing after {_shown(text, before)}, or remove the {_shown(text, before)}."
    if found.type in VOCABULARY.infix and found.type != "ADD":  # a sign may begin an operand
        return f"{_shown(text, found)} stands between two steps; only @> stands before one."
    return "Write a step here: SQL in quotes, or a df call."


def _operator_help(text: str, terminals: Sequence[Token], at: int, accepts: Collection[str]) -> str:
    """Advice where an operand is complete and something else follows than an operator. The first that fits is given."""
    found = terminals[at] if at < len(terminals) else None
    before = terminals[at - 1] if at else None
    if found is None:
        return "Complete the statement."
    if before is not None and before.kind == STRING and found.kind == WORD and before.end == found.start:
        return "A quote that belongs to the text is written twice, 'it''s', or the text stands between $$ and $$."
    for word, advice in _HABITS.items():
        if found.value == word or (before is not None and before.kind == WORD and before.value == word):
            return advice
    if found.value == ":":
        return _colon_help(text, before, terminals[:at])
    if "TYPE" in accepts:
        return "Write a type, for example jsonb or text."
    if "AS" in accepts and "$END" not in accepts:
        return "Write it like CAST('{}' AS jsonb)."
    return _neighbour_help(found, before)


def _colon_help(text: str, before: Token | None, earlier: Sequence[Token]) -> str:
    """A colon is no sign of the language: `df.sleep(seconds: 5)`, `a ? b : c`."""
    if before is not None and before.type in NAMES:
        return f"An argument is named with =>: {_shown(text, before)[1:-1]} => .."
    return _IF if any(token.value == "?>" for token in earlier) else "Remove the colon."


def _neighbour_help(found: Token, before: Token | None) -> str:
    """Two operands stand side by side; what could join them."""
    if found.type == "SELECT" or (found.type == "NAME" and found.value == "df"):
        return "Put a semicolon between two statements, or an operator between two steps."
    if before is not None and before.type in NAMES and found.type in ("STRING", "NUMBER"):
        return "The arguments of a call are written in parentheses."
    if found.type in ("STRING", *NAMES, "NUMBER", "LPAR", "CONSTANT", "OPAQUE"):
        return "Put an operator between the two: `~>` runs one after the other, `&` both side by side. Arguments need a comma."
    return "Write it between two steps, or remove it."
