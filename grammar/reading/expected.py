"""What was expected, in words: from Lark's set of acceptable terminals to a sentence a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.kinds import CALLS, EXPLAIN, SETVAR, START, Type
from pgweave.grammar.reading.lexer import DSL_OPERATORS, STRING, WORD

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


# What people bring along from elsewhere, as the word that is not expected or the one before it.
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
    """The words of PW001 for an unexpected terminal at index `at` (or the end)."""
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
    if before is not None and before.type in ("INFIX", "SIGN", "PREFIX") and before.value not in DSL_OPERATORS:
        return "a value"
    if before is not None and before.value == "|=>":
        return "a name in quotes"
    return 'a step, "(" or a df function' if _in_step_place(terminals, at) else "a value"


def _in_step_place(terminals: Sequence[Token], at: int) -> bool:
    """Whether a step may stand here: everywhere but in a call's argument of another type."""
    places: list[tuple[str | None, int]] = [(None, 0)]  # for each open bracket: the df call, and which argument
    for i, token in enumerate(terminals[:at]):
        if token.type in ("LPAR", "LSQB"):
            called = i >= 1 and terminals[i - 1].type == "NAME"
            df = called and i >= 3 and terminals[i - 3].value == "df" and terminals[i - 2].type == "DOT"
            inherits = not called and token.type == "LPAR"
            places.append((terminals[i - 1].value, 0) if df else places[-1] if inherits else ("", 0))
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
        return "SQL stands in quotes: 'SELECT ..' or $$ SELECT .. $$."
    if found.type in ("COMMA", "RPAR", "RSQB"):
        if before is None or before.type in ("LPAR", "LSQB"):
            return "Write what is missing here."
        return f"Write what is missing after {_shown(text, before)}, or remove the {_shown(text, before)}."
    if found.type in ("OPERATOR", "INFIX"):
        return f"{_shown(text, found)} stands between two steps; only @> stands before one."
    return "Write a step here: SQL in quotes, or a df call."


def _operator_help(text: str, terminals: Sequence[Token], at: int, accepts: Collection[str]) -> str:
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
        if before is not None and before.type == "NAME":
            return f"An argument is named with =>: {_shown(text, before)[1:-1]} => .."
        return _IF if any(token.value == "?>" for token in terminals[:at]) else "Remove the colon."
    if "TYPE" in accepts:
        return "Write a type, for example jsonb or text."
    if "AS" in accepts and "$END" not in accepts:
        return "Write it like CAST('{}' AS jsonb)."
    if found.type == "SELECT" or (found.type == "NAME" and found.value == "df"):
        return "Put a semicolon between two statements, or an operator between two steps."
    if before is not None and before.type == "NAME" and found.type in ("STRING", "NUMBER"):
        return "The arguments of a call stand in parentheses."
    if found.type in ("STRING", "NAME", "NUMBER", "LPAR", "CONSTANT", "OPAQUE"):
        return "Put an operator between the two: `~>` runs one after the other, `&` both side by side. Arguments need a comma."
    return "Write it between two steps, or remove it."
