"""Tokens -> the terminals that df.lark names.

Here PostgreSQL's keywords get their roles, words that belong together become one terminal (`is not null`, `timestamp
with time zone`), and what is PostgreSQL but not ours (a sub-select, CASE .. END, `extract(day from x)`, `count(*)`)
becomes one OPAQUE terminal, so that the grammar stays small and the exact text is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.meaning.fold import FUNCTIONS
from pgweave.grammar.reading.lexer import ERROR, NUMBER, OP, PARAM, PUNCT, QUOTED, STRING, VARIABLE, WORD, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

_PUNCTUATION = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", ",": "COMMA", ".": "DOT", "::": "TYPECAST", ":=": "NAMED",
}  # fmt: skip
_BETWEEN_OPERANDS = frozenset(
    ["*", "/", "%", "^", "<", ">", "=", "<=", ">=", "<>", "!=", "~>", "|=>", "&", "|", "?>", "!>"]
)
_KINDS = {QUOTED: "NAME", STRING: "STRING", NUMBER: "NUMBER", PARAM: "OPAQUE", VARIABLE: "OPAQUE", ERROR: "BROKEN"}
_OPERAND_ENDS = frozenset(
    {"NAME", "STRING", "NUMBER", "CONSTANT", "OPAQUE", "QUANTIFIED", "BROKEN", "RPAR", "RSQB", "TYPE", "SUBSCRIPT"}
)
_SUBSELECT = frozenset({"select", "with", "values", "table"})
_QUERY_GOES_ON = frozenset({"union", "intersect", "except", "order", "limit", "offset", "fetch", "for"})
_RESERVED = frozenset(
    [
        "all",
        "analyse",
        "analyze",
        "any",
        "asc",
        "asymmetric",
        "both",
        "check",
        "column",
        "constraint",
        "create",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "offset",
        "on",
        "only",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "some",
        "symmetric",
        "then",
        "to",
        "trailing",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
    ]
)
# Words that give an argument list a syntax of its own.
_SPECIAL_SYNTAX = frozenset(
    [
        "from",
        "for",
        "order",
        "distinct",
        "all",
        "variadic",
        "placing",
        "both",
        "leading",
        "trailing",
        "using",
        "as",
        "returning",
        "passing",
        "with",
    ]
)
# Which method reads what begins with a word.
_ROLES = {
    "select": "select", "as": "as", "and": "and", "or": "infix", "not": "not", "is": "is", "isnull": "suffix",
    "notnull": "suffix", "like": "infix", "ilike": "infix", "in": "in", "escape": "infix", "collate": "collate",
    "similar": "similar", "between": "between", "at": "at", "null": "constant", "true": "constant",
    "false": "constant", "case": "case", "cast": "cast", "array": "array", "exists": "group", "row": "group",
    "any": "quantified", "all": "quantified", "some": "quantified", "operator": "operator",
}  # fmt: skip


def assign(tokens: Sequence[Token], partners: dict[int, int]) -> list[Token]:
    """Give every token of one statement its `type`. partners: index of each bracket's partner, both ways."""
    return _Assigner(tokens, partners).run()


class _Assigner:
    def __init__(self, tokens: Sequence[Token], partners: dict[int, int]) -> None:
        self.tokens = tokens
        self.partners = partners
        self.out: list[Token] = []
        self.open: list[str] = []  # for each open bracket: "cast" or ""
        self.between: list[int] = [0]  # for each open bracket: how many BETWEENs wait for their AND
        self.case_ends = self._case_ends()

    def run(self) -> list[Token]:
        at, size = 0, len(self.tokens)
        while at < size:
            token = self.tokens[at]
            kind = token.kind
            if kind == WORD:
                at = self._word(at, token)
            elif kind == PUNCT:
                at = self._punctuation(at, token)
            elif kind == OP:
                symbol = token.value
                if symbol in ("+", "-"):
                    token.type = "SIGN"
                elif symbol == "*" and self._last() == "SELECT":
                    token.type = "STAR"
                elif symbol in _BETWEEN_OPERANDS:
                    token.type = "INFIX"
                else:
                    token.type = "NAMED" if symbol == "=>" else "OPERATOR"
                self.out.append(token)
                at += 1
            else:
                token.type = _KINDS[kind]
                self.out.append(token)
                at += 1
        return self.out

    def _last(self) -> str:
        return self.out[-1].type if self.out else ""

    def _value(self, at: int) -> str:
        """Text of the token at `at` if it is a word or punctuation, else nothing."""
        if at < len(self.tokens) and self.tokens[at].kind in (WORD, PUNCT):
            return self.tokens[at].value
        return ""

    def _emit(self, kind: str, at: int, end: int, value: str | None = None) -> int:
        """Add tokens[at:end] as one terminal; goes on behind it."""
        first, last = self.tokens[at], self.tokens[end - 1]
        token = Token(first.kind, first.value if value is None else value, first.start, last.end)
        token.type = kind
        self.out.append(token)
        return end

    def _punctuation(self, at: int, token: Token) -> int:
        symbol = token.value
        if symbol == "(":
            return self._parenthesis(at, token)
        if symbol == "[" and self._last() in _OPERAND_ENDS:
            return self._emit("SUBSCRIPT", at, self.partners[at] + 1)
        token.type = _PUNCTUATION.get(symbol, "STRAY")
        self.out.append(token)
        if symbol == "[":
            self._enter("")
        elif symbol in ")]" and self.open:
            self.open.pop()
            self.between.pop()
        elif symbol == "::":
            return self._type(at + 1)
        return at + 1

    def _enter(self, what: str) -> None:
        self.open.append(what)
        self.between.append(0)

    def _parenthesis(self, at: int, token: Token) -> int:
        last = self._last()
        close = self.partners[at]
        if last == "NAME":
            if self._is_special_call(at, close):
                return self._collapse_call(close)
        elif last != "CAST" and self._subselect_inside(at):
            return self._emit("OPAQUE", at, close + 1)
        token.type = "LPAR"
        self.out.append(token)
        self._enter("cast" if last == "CAST" else "")
        return at + 1

    def _subselect_inside(self, at: int) -> bool:
        """Whether these parentheses hold a query: `(SELECT ..)`, `((SELECT ..) UNION ..)`; not `((SELECT ..) || x)`."""
        if self._value(at + 1) == "(":
            return self._value(self.partners[at + 1] + 1) in _QUERY_GOES_ON
        return self._value(at + 1) in _SUBSELECT

    def _name_start(self) -> int:
        """Where in `out` the qualified name begins that ends `out`."""
        start = len(self.out) - 1
        while start >= 2 and self.out[start - 1].type == "DOT" and self.out[start - 2].type == "NAME":
            start -= 2
        return start

    def _is_special_call(self, at: int, close: int) -> bool:
        """Whether this argument list (or what follows it) needs more than df.lark knows; never so for df functions."""
        name = [token.value for token in self.out[self._name_start() :: 2]]
        if name[0] == "df" or name[-1] in FUNCTIONS:
            return False
        if self._value(close + 1) in ("over", "filter", "within"):
            return True
        place = at + 1
        while place < close:
            token = self.tokens[place]
            if token.kind == WORD and token.value in _SPECIAL_SYNTAX and self._value(place - 1) != ".":
                return True
            if token.kind == OP and token.value == "*" and close == at + 2:
                return True
            place = self.partners[place] + 1 if place in self.partners else place + 1
        return self._value(at + 1) in _SUBSELECT

    def _collapse_call(self, close: int) -> int:
        """Take the name back and make one OPAQUE of the call with its OVER, FILTER and WITHIN GROUP clauses."""
        start = self._name_start()
        first = self.out[start]
        del self.out[start:]
        end = close + 1
        while True:
            word = self._value(end)
            if word == "over" and self._value(end + 1) != "(":
                end += 2
                break
            following = end + {"over": 1, "filter": 1, "within": 2}.get(word, 0)
            if following == end or self._value(following) != "(":
                break
            end = self.partners[following] + 1
        end = min(end, len(self.tokens))
        token = Token(first.kind, first.value, first.start, self.tokens[end - 1].end)
        token.type = "OPAQUE"
        self.out.append(token)
        return end

    def _word(self, at: int, token: Token) -> int:
        word = token.value
        if self._last() == "STAR" and word == "from":
            return self._emit("FROM", at, at + 1)
        if self._last() != "DOT":
            role = _ROLES.get(word)
            if role is not None:
                return getattr(self, f"_{role}")(at)  # type: ignore[no-any-return]
            if word in _RESERVED and word != "user":
                return self._emit("KEYWORD", at, at + 1)
        # SELECT df.start('..') id
        alias = not self.open and self._last() in _OPERAND_ENDS and self.out[0].type == "SELECT"
        token.type = "ALIAS" if alias else "NAME"
        self.out.append(token)
        return at + 1

    def _infix(self, at: int) -> int:
        return self._emit("INFIX", at, at + 1)

    def _in(self, at: int, words: int = 1) -> int:
        """`in (..)`, which we do not look into."""
        place = at + words
        if self._value(place) == "(":
            return self._emit("SUFFIX", at, self.partners[place] + 1, "in")
        return self._emit("KEYWORD", at, place)

    def _collate(self, at: int) -> int:
        """`collate "C"`: what follows is a name and never a value."""
        end, name = self._type_name(at + 1)
        return self._emit("SUFFIX" if name else "KEYWORD", at, end, "collate")

    def _and(self, at: int) -> int:
        if self.between[-1]:
            self.between[-1] -= 1
            return self._emit("INFIX", at, at + 1, "between and")
        return self._infix(at)

    def _between(self, at: int) -> int:
        self.between[-1] += 1
        end = at + 2 if self._value(at + 1) in ("symmetric", "asymmetric") else at + 1
        return self._emit("INFIX", at, end)

    def _not(self, at: int) -> int:
        following = self._value(at + 1)
        if following == "between":
            self.between[-1] += 1
            end = at + 3 if self._value(at + 2) in ("symmetric", "asymmetric") else at + 2
            return self._emit("INFIX", at, end, "between")
        if following == "in":
            return self._in(at, 2)
        if following in ("like", "ilike"):
            return self._emit("INFIX", at, at + 2, following)
        if following == "similar" and self._value(at + 2) == "to":
            return self._emit("INFIX", at, at + 3, "similar")
        return self._emit("PREFIX", at, at + 1)

    def _similar(self, at: int) -> int:
        if self._value(at + 1) == "to":
            return self._emit("INFIX", at, at + 2)
        return self._emit("NAME", at, at + 1)

    def _is(self, at: int) -> int:
        end = at + 2 if self._value(at + 1) == "not" else at + 1
        word = self._value(end)
        if word == "distinct" and self._value(end + 1) == "from":
            return self._emit("INFIX", at, end + 2)
        if word == "json":
            end += 1
            while self._value(end) in ("value", "array", "object", "scalar", "with", "without", "unique", "keys"):
                end += 1
            return self._emit("SUFFIX", at, end)
        if word in ("null", "true", "false", "unknown", "document", "normalized", "nfc", "nfd", "nfkc", "nfkd"):
            end += 2 if word.startswith("nf") else 1
            return self._emit("SUFFIX", at, min(end, len(self.tokens)))
        return self._emit("KEYWORD", at, at + 1)

    def _suffix(self, at: int) -> int:
        return self._emit("SUFFIX", at, at + 1, "is")

    def _at(self, at: int) -> int:
        if self._value(at + 1) == "time" and self._value(at + 2) == "zone":
            return self._emit("INFIX", at, at + 3)
        if self._value(at + 1) == "local":
            return self._emit("SUFFIX", at, at + 2)
        return self._emit("NAME", at, at + 1)

    def _constant(self, at: int) -> int:
        return self._emit("CONSTANT", at, at + 1)

    def _case_ends(self) -> dict[int, int]:
        """Index behind the END of every CASE that has one, found in one pass."""
        ends: dict[int, int] = {}
        open_: list[tuple[str, int]] = []
        for at, token in enumerate(self.tokens):
            if token.kind == PUNCT and token.value in "([":
                open_.append(("(", at))
            elif token.kind == PUNCT and token.value in ")]":
                while open_ and open_.pop()[0] != "(":
                    pass  # a CASE without END inside of these brackets
            elif token.kind == WORD and token.value in ("case", "end") and (at == 0 or self._value(at - 1) != "."):
                if token.value == "case":
                    open_.append(("case", at))
                elif open_ and open_[-1][0] == "case":
                    ends[open_.pop()[1]] = at + 1
        return ends

    def _case(self, at: int) -> int:
        if at in self.case_ends:
            return self._emit("OPAQUE", at, self.case_ends[at])
        return self._emit("KEYWORD", at, at + 1)

    def _cast(self, at: int) -> int:
        return self._emit("CAST" if self._value(at + 1) == "(" else "NAME", at, at + 1)

    def _array(self, at: int) -> int:
        if self._value(at + 1) == "(":
            return self._emit("OPAQUE", at, self.partners[at + 1] + 1)
        return self._emit("ARRAY" if self._value(at + 1) == "[" else "KEYWORD", at, at + 1)

    def _group(self, at: int) -> int:
        """EXISTS (..), ROW (..): the whole is opaque."""
        if self._value(at + 1) == "(":
            return self._emit("OPAQUE", at, self.partners[at + 1] + 1)
        return self._emit("KEYWORD", at, at + 1)

    def _quantified(self, at: int) -> int:
        """ANY (..), ALL (..), SOME (..)."""
        if self._value(at + 1) == "(":
            return self._emit("QUANTIFIED", at, self.partners[at + 1] + 1)
        return self._emit("KEYWORD", at, at + 1)

    def _operator(self, at: int) -> int:
        """`OPERATOR(schema.~>)` is the plain operator, at the same level."""
        close = self.partners.get(at + 1, 0)
        if self._value(at + 1) == "(" and self.tokens[close - 1].kind == OP:
            return self._emit("OPERATOR", at, close + 1, self.tokens[close - 1].value)
        return self._emit("NAME", at, at + 1)

    def _select(self, at: int) -> int:
        return self._emit("SELECT", at, at + 1)

    def _as(self, at: int) -> int:
        self._emit("AS", at, at + 1)
        if self.open and self.open[-1] == "cast":
            return self._type(at + 1)
        if at + 1 < len(self.tokens) and self.tokens[at + 1].kind == WORD:  # an alias may be any keyword
            return self._emit("NAME", at + 1, at + 2)
        return at + 1

    def _type(self, at: int) -> int:
        """Read a type name as one TYPE terminal; leaves everything alone when none stands here."""
        end, name = self._type_name(at)
        if end == at:
            return at
        modified = False
        if self._value(end) == "(" and name != "interval":
            end, modified = self.partners[end] + 1, True
        if name in ("timestamp", "time") and self._value(end) in ("with", "without"):
            if self._value(end + 1) == "time" and self._value(end + 2) == "zone":
                name += "" if self._value(end) == "without" else "tz"
                end += 3
        elif name == "interval":
            while self._value(end) in ("year", "month", "day", "hour", "minute", "second", "to", "("):
                end = self.partners[end] + 1 if self._value(end) == "(" else end + 1
        array = False
        while self._value(end) == "[" or (self._value(end) == "array" and not array):
            end, array = (self.partners[end] + 1 if self._value(end) == "[" else end + 1), True
        return self._emit("TYPE", at, end, name + ("(..)" if modified else "") + ("[]" if array else ""))

    def _type_name(self, at: int) -> tuple[int, str]:
        if self._value(at) == "setof":
            at += 1
        first = self._value(at)
        if first == "double" and self._value(at + 1) == "precision":
            return at + 2, "float8"
        if first == "national":
            at, first = at + 1, self._value(at + 1)
        if first in ("character", "char", "nchar", "bit"):
            varying = self._value(at + 1) == "varying"
            return at + 1 + varying, "varchar" if varying and first != "bit" else first
        end, parts = at, []
        while end < len(self.tokens) and self.tokens[end].kind in (WORD, QUOTED):
            parts.append(self.tokens[end].value)
            end += 1
            if self._value(end) != ".":
                break
            end += 1
        if parts[:1] == ["pg_catalog"]:
            del parts[0]
        return (end, ".".join(parts)) if parts else (at, "")
