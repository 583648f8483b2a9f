"""Tokens -> the terminals that df.lark names.

Three things happen here, so that the grammar stays small:

- keywords get the role they have where they stand: `and` is AND, but BETWEEN_AND where a BETWEEN is open
- words that belong together become one terminal: `is not null` is TEST, `timestamp with time zone` is TYPE
- PostgreSQL that is no part of the language becomes one OPAQUE terminal with its exact text: a sub-select, CASE .. END,
  `extract(day from x)`, `count(*)`

Tokens are never changed. Where the terminal is another one than the lexer gave, there is a new token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.reading.brackets import StatementTokens
from pgweave.grammar.reading.keywords import COMPUTED_FUNCTIONS, RESERVED
from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.lexer import OP, PUNCT, QUOTED, WORD, Token
from pgweave.grammar.reading.type_names import qualified_name, read_type, read_type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

# Terminals that are a name, or a part of one.
NAMES = frozenset({"NAME", "STEP_CALL", "START_CALL"})
# Terminals behind which an operand is complete.
_OPERAND_ENDS = frozenset(
    {*NAMES, "STRING", "NUMBER", "CONSTANT", "OPAQUE", "QUANTIFIED", "BROKEN", "RPAR", "RSQB", "TYPE", "SUBSCRIPT"}
)
_EXPRESSION_ENDS = _OPERAND_ENDS | VOCABULARY.suffix

_BEGINS_QUERY = frozenset({"select", "with", "values", "table"})
# What follows the first pair of brackets of `((SELECT 1) UNION SELECT 2)`; `((SELECT 1) || x)` is an expression.
_CONTINUES_QUERY = frozenset({"union", "intersect", "except", "order", "limit", "offset", "fetch", "for"})
# Words that give an argument list a syntax of its own: `trim(both from x)`, `string_agg(x order by y)`.
_ARGUMENT_SYNTAX = frozenset(
    {
        "from", "for", "order", "distinct", "all", "variadic", "placing", "both", "leading", "trailing", "using", "as",
        "returning", "passing", "with",
    }
)  # fmt: skip
# Words that `_keyword` reads. Any other word is a name, or a keyword that is no part of an expression.
_KEYWORDS = frozenset(
    {
        "all", "and", "any", "array", "as", "at", "between", "case", "cast", "collate", "escape", "exists", "false",
        "ilike", "in", "is", "isnull", "like", "not", "notnull", "null", "operator", "or", "row", "select", "similar",
        "some", "true",
    }
)  # fmt: skip
# Those of them that are one and the same terminal wherever they stand.
_ALWAYS = {
    "select": "SELECT", "null": "CONSTANT", "true": "CONSTANT", "false": "CONSTANT",
    **{word: VOCABULARY.symbols[word] for word in ("or", "escape", "like", "ilike")},
}  # fmt: skip
_TEST_WORDS = frozenset({"null", "true", "false", "unknown", "document", "normalized"})
_NORMAL_FORMS = frozenset({"nfc", "nfd", "nfkc", "nfkd"})
_JSON_TEST_WORDS = frozenset({"value", "array", "object", "scalar", "with", "without", "unique", "keys"})
_STEP_CALLS, _START_CALLS = VOCABULARY.step_calls, VOCABULARY.start_calls


def assign(tokens: Sequence[Token], partners: dict[int, int]) -> list[Token]:
    """The terminals of one statement. partners: index of each bracket's partner, both ways; every bracket has one."""
    return _Assignment(StatementTokens(tokens, partners)).run()


class _Assignment:
    """One pass over the tokens of a statement. Every method reads what begins at `at` and returns where to go on."""

    def __init__(self, tokens: StatementTokens) -> None:
        self.tokens = tokens
        self.out: list[Token] = []
        self.in_cast: list[bool] = []  # for each open bracket: whether it is that of CAST( .. AS type)
        self.betweens: list[int] = [0]  # BETWEENs whose AND has not come yet: outside, and in each open bracket
        self.case_ends = _case_ends(tokens)

    def run(self) -> list[Token]:
        """Read all tokens."""
        tokens = self.tokens.tokens
        at, size = 0, len(tokens)
        while at < size:
            token = tokens[at]
            if token.kind == WORD:
                at = self._word(at, token.value)
            elif token.kind == PUNCT:
                at = self._punctuation(at, token)
            elif token.kind == QUOTED:
                at = self._name(at)
            else:
                # Strings, numbers, parameters and errors are terminals as the lexer gave them.
                self.out.append(self._operator(token) if token.kind == OP else token)
                at += 1
        return self.out

    def _last(self) -> str:
        """The terminal before; empty at the start."""
        return self.out[-1].type if self.out else ""

    def _emit(self, terminal: str, at: int, end: int, value: str | None = None) -> int:
        """Make one terminal of tokens[at:end]. value: of the first token, if not given."""
        first, last = self.tokens.tokens[at], self.tokens.tokens[end - 1]
        self.out.append(Token(first.kind, first.value if value is None else value, first.start, last.end, (), terminal))
        return end

    def _operator(self, token: Token) -> Token:
        symbol = token.value
        if symbol in ("+", "-"):  # -x binds tighter than x - y
            return token.as_terminal("ADD" if self._last() in _EXPRESSION_ENDS else "SIGN")
        # SELECT * FROM df.start('..') is how people call a function in psql; any other `*` is multiplication.
        if symbol == "*" and self._last() == "SELECT":
            return token.as_terminal("STAR")
        return token.as_terminal("NAMED" if symbol == "=>" else VOCABULARY.symbols.get(symbol, "OPERATOR"))

    # ---- Punctuation and brackets

    def _punctuation(self, at: int, token: Token) -> int:
        symbol = token.value
        if symbol == "(":
            return self._parenthesis(at, token)
        # x[1] and x[1:2] are left to the database, as one terminal; ARRAY[1] is read, since its elements may be
        # constants.
        if symbol == "[" and self._last() in _OPERAND_ENDS:
            return self._emit("SUBSCRIPT", at, self.tokens.behind(at))
        self.out.append(token)
        if symbol == "[":
            self._enter(cast=False)
        elif symbol in ")]" and self.in_cast:
            self.in_cast.pop()
            self.betweens.pop()
        elif symbol == "::":
            return self._type(at + 1)
        return at + 1

    def _enter(self, *, cast: bool) -> None:
        self.in_cast.append(cast)
        self.betweens.append(0)

    def _parenthesis(self, at: int, token: Token) -> int:
        last = self._last()
        # f((SELECT 1)) has a name before its first bracket: that is the bracket of a call, and the second one
        # holds the query.
        if last not in NAMES and last != "CAST" and self._holds_query(at):
            return self._emit("OPAQUE", at, self.tokens.behind(at))
        self.out.append(token)
        self._enter(cast=last == "CAST")
        return at + 1

    def _holds_query(self, at: int) -> bool:
        """Whether a query is in these parentheses: `(SELECT ..)`, `((SELECT ..) UNION ..)`; not `((SELECT ..) || x)`."""
        tokens = self.tokens
        if tokens.word(at + 1) == "(":
            return tokens.word(tokens.behind(at + 1)) in _CONTINUES_QUERY
        return tokens.word(at + 1) in _BEGINS_QUERY

    def _type(self, at: int) -> int:
        """A type, behind `::` or AS, as one TYPE; where none begins, the grammar will say so."""
        found = read_type(self.tokens, at)
        return at if found is None else self._emit("TYPE", at, found.end, found.name)

    # ---- Names and calls

    def _word(self, at: int, word: str) -> int:
        last = self._last()
        if last == "STAR" and word == "from":
            return self._emit("FROM", at, at + 1)
        if last != "DOT":  # behind a dot every word is a name: `t.from`
            # `select 1 as case`: behind AS a keyword is a name, and _as takes it before it comes here.
            if word in _KEYWORDS:
                return self._keyword(at, word)
            if word in RESERVED:
                return self._emit("KEYWORD", at, at + 1)
        # Not in brackets (in_cast has an entry for each that is open): there two operands side by side are an
        # error.
        if not self.in_cast and last in _OPERAND_ENDS and self.out[0].type == "SELECT":
            return self._emit("ALIAS", at, at + 1)  # SELECT df.start('..') id
        return self._name(at)

    def _name(self, at: int) -> int:
        """A name with all its parts. With its arguments, and then OPAQUE, if these have a syntax of their own."""
        tokens = self.tokens
        parts, end = qualified_name(tokens, at)
        if tokens.word(end) == "(" and self._is_special_call(parts, end):
            return self._emit("OPAQUE", at, self._call_end(end))
        self.out.extend(tokens.tokens[at:end])
        # parts are folded, so DF.Sleep and "df"."sleep" are df.sleep too; "DF".sleep is not.
        if len(parts) == 2 and parts[0] == "df":
            name = parts[1]
            terminal = "STEP_CALL" if name in _STEP_CALLS else "START_CALL" if name in _START_CALLS else "NAME"
            self.out[-1] = self.out[-1].as_terminal(terminal)
        return end

    def _is_special_call(self, name: list[str], at: int) -> bool:
        """Whether the arguments in the brackets at `at`, or what follows them, need more than df.lark knows.

        `count(*)`, `extract(day from x)`, `array(select 1)`, `sum(x) over ()`; never so for df functions.
        """
        # df.if(..) and concat(..) are read in full, even if an argument is `x order by y`: the grammar then
        # says what is wrong.
        if name[0] == "df" or name[-1] in COMPUTED_FUNCTIONS:
            return False
        tokens, close = self.tokens, self.tokens.partners[at]
        if tokens.word(close + 1) in ("over", "filter", "within") or tokens.word(at + 1) in _BEGINS_QUERY:
            return True
        place = at + 1
        while place < close:
            token = tokens.tokens[place]
            if token.kind == WORD and token.value in _ARGUMENT_SYNTAX and tokens.word(place - 1) != ".":
                return True
            if token.kind == OP and token.value == "*" and close == at + 2:
                return True
            place = tokens.behind(place) if place in tokens.partners else place + 1
        return False

    def _call_end(self, at: int) -> int:
        """Behind the arguments in the brackets at `at` and the OVER, FILTER and WITHIN GROUP clauses of the call."""
        tokens, end = self.tokens, self.tokens.behind(at)
        while True:
            clause = tokens.word(end)
            if clause == "over" and tokens.word(end + 1) != "(":  # sum(x) over w
                return min(end + 2, len(tokens.tokens))
            opening = end + {"over": 1, "filter": 1, "within": 2}.get(clause, 0)
            # sum(x) filter (where y) over (order by z): each clause is one pair of brackets, behind one or two
            # words.
            if opening == end or tokens.word(opening) != "(":
                return end
            end = tokens.behind(opening)

    # ---- Keywords

    def _keyword(self, at: int, word: str) -> int:
        """What begins with one of _KEYWORDS."""
        if word in _ALWAYS:
            return self._emit(_ALWAYS[word], at, at + 1)
        match word:
            case "as":
                return self._as(at)
            case "isnull" | "notnull":
                return self._emit("TEST", at, at + 1, "is")
            case "and":
                return self._and(at)
            case "between":
                return self._between(at, at + 1)
            case "not":
                return self._not(at)
            case "is":
                return self._is(at)
            case "in":
                return self._in(at, at + 1)
            case "similar":
                return self._similar(at)
            case "at":
                return self._at(at)
            case "collate":
                return self._collate(at)
            case "case":
                return self._case(at)
            case "cast" | "array":
                return self._cast_or_array(at, word)
            case "exists" | "row":
                return self._with_brackets("OPAQUE", at)
            case "any" | "all" | "some":
                return self._with_brackets("QUANTIFIED", at)
            case _:
                return self._qualified_operator(at)

    def _with_brackets(self, terminal: str, at: int, opening: int | None = None, value: str | None = None) -> int:
        """A keyword and the brackets behind it, unread, as one terminal; without brackets it is out of place.

        opening: index of the bracket, if it is not the next token.
        """
        opening = at + 1 if opening is None else opening
        if self.tokens.word(opening) != "(":
            return self._emit("KEYWORD", at, opening)
        return self._emit(terminal, at, self.tokens.behind(opening), value)

    def _and(self, at: int) -> int:
        # a BETWEEN 1 AND 2 AND b: the first AND is the range's. Brackets have a count of their own: a BETWEEN
        # (b AND c) AND d.
        if self.betweens[-1]:
            self.betweens[-1] -= 1
            return self._emit("BETWEEN_AND", at, at + 1, "between and")
        return self._emit("AND", at, at + 1)

    def _between(self, at: int, end: int) -> int:
        self.betweens[-1] += 1
        symmetric = self.tokens.word(end) in ("symmetric", "asymmetric")
        return self._emit("BETWEEN", at, end + 1 if symmetric else end, "between")

    def _in(self, at: int, opening: int) -> int:
        """`IN (..)`, whose list is not looked into."""
        return self._with_brackets("IN", at, opening, "in")

    def _not(self, at: int) -> int:
        """NOT as a part of another operator, NOT BETWEEN, or before an operand."""
        negated = self.tokens.word(at + 1)
        if negated == "between":
            return self._between(at, at + 2)
        if negated == "in":
            return self._in(at, at + 2)
        if negated in ("like", "ilike"):
            return self._emit("LIKE", at, at + 2, negated)
        # NOT SIMILAR TO is three words and one operator, on the level of LIKE.
        if negated == "similar" and self.tokens.word(at + 2) == "to":
            return self._emit("LIKE", at, at + 3, "similar")
        return self._emit("NOT", at, at + 1)

    def _is(self, at: int) -> int:
        """`IS DISTINCT FROM` stands between two operands, `IS NULL`, `IS NOT JSON OBJECT` behind one."""
        tokens = self.tokens
        end = at + 2 if tokens.word(at + 1) == "not" else at + 1
        word = tokens.word(end)
        if word == "distinct" and tokens.word(end + 1) == "from":
            return self._emit("IS", at, end + 2)
        if word == "json":
            end += 1
            while tokens.word(end) in _JSON_TEST_WORDS:
                end += 1
            return self._emit("TEST", at, end)
        if word in _NORMAL_FORMS:  # IS NFC NORMALIZED
            return self._emit("TEST", at, min(end + 2, len(tokens.tokens)))
        return self._emit("TEST", at, end + 1) if word in _TEST_WORDS else self._emit("KEYWORD", at, at + 1)

    def _similar(self, at: int) -> int:
        # Without TO the word is read as a name, and what is wrong with it is left for the grammar to say.
        return self._emit("LIKE", at, at + 2) if self.tokens.word(at + 1) == "to" else self._name(at)

    def _collate(self, at: int) -> int:
        """`collate "C"`: what follows is a name and never a value."""
        collation = read_type_name(self.tokens, at + 1)
        return self._emit("KEYWORD", at, at + 1) if collation is None else self._emit("COLLATE", at, collation.end)

    def _case(self, at: int) -> int:
        """`CASE .. END`, unread."""
        end = self.case_ends.get(at)
        return self._emit("KEYWORD", at, at + 1) if end is None else self._emit("OPAQUE", at, end)

    def _cast_or_array(self, at: int, word: str) -> int:
        """`CAST(x AS int)`, `ARRAY[x]`, and `ARRAY(SELECT ..)`, unread. Without a bracket, cast is a name."""
        bracket = self.tokens.word(at + 1)
        if word == "cast":
            return self._emit("CAST", at, at + 1) if bracket == "(" else self._name(at)
        return self._emit("ARRAY", at, at + 1) if bracket == "[" else self._with_brackets("OPAQUE", at)

    def _at(self, at: int) -> int:
        if self.tokens.words(at + 1, "time", "zone"):
            return self._emit("AT", at, at + 3)
        if self.tokens.word(at + 1) == "local":
            return self._emit("AT_LOCAL", at, at + 2)
        return self._name(at)

    def _as(self, at: int) -> int:
        self._emit("AS", at, at + 1)
        if self.in_cast and self.in_cast[-1]:
            return self._type(at + 1)
        following = self.tokens.tokens[at + 1 : at + 2]
        # `SELECT df.start('..') AS select` is legal, and the word must not begin a sub-select.
        return self._name(at + 1) if following and following[0].kind == WORD else at + 1  # an alias may be any keyword

    def _qualified_operator(self, at: int) -> int:
        """`OPERATOR(schema.~>)` is the plain operator, on the level of the operators without one of their own."""
        # Without a bracket `close` is 0 and `symbol` the last token; the test below fails then.
        close = self.tokens.partners.get(at + 1, 0)
        symbol = self.tokens.tokens[close - 1]
        if self.tokens.word(at + 1) == "(" and symbol.kind == OP:
            return self._emit("OPERATOR", at, close + 1, symbol.value)
        return self._name(at)


def _case_ends(tokens: StatementTokens) -> dict[int, int]:
    """The index behind the END of every CASE that has one, by the index of the CASE.

    Found in one pass for the whole statement: a search from each CASE would take quadratic time where they nest.
    """
    ends: dict[int, int] = {}
    if not any(token.value == "case" for token in tokens.tokens):
        return ends
    opened: list[tuple[str, int]] = []  # brackets and CASEs that are still open
    for at, token in enumerate(tokens.tokens):
        if token.kind == PUNCT and token.value in "([":
            opened.append(("(", at))
        elif token.kind == PUNCT and token.value in ")]":
            while opened and opened.pop()[0] != "(":
                pass  # a CASE without END inside of these brackets
        # t.end and t.case are columns.
        elif token.kind == WORD and token.value in ("case", "end") and not (at and tokens.word(at - 1) == "."):
            if token.value == "case":
                opened.append(("case", at))
            elif opened and opened[-1][0] == "case":
                ends[opened.pop()[1]] = at + 1
    return ends
