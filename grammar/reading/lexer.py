r"""Text -> tokens, exactly as PostgreSQL cuts a text (its scan.l and psqlscan.l, versions 15 to 18).

Comments are kept beside the tokens, for the printer. Every string token knows where each of its characters is in
the text. What PostgreSQL would refuse to read becomes an ERROR token and a diagnostic; the lexer itself never raises.

    df.seq('a' -- first     ->  WORD df  PUNCT .  WORD seq  PUNCT (  STRING a  [comment]  PUNCT ,
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Diagnostic, Edit, Note, finding, note
from pgweave.grammar.reading.strings import (
    CONTINUED,
    ESCAPE_END,
    IN_TAG,
    IN_WORD,
    LETTER,
    PLAIN_END,
    QUOTED_END,
    BadEscape,
    comment_end,
    decode_escapes,
    decode_plain,
    decode_unicode,
)
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from pgweave.grammar.reading.strings import Anchors

WORD, QUOTED, STRING, NUMBER, PARAM, VARIABLE, OP, PUNCT, ERROR = (
    "WORD", "QUOTED", "STRING", "NUMBER", "PARAM", "VARIABLE", "OP", "PUNCT", "ERROR",
)  # fmt: skip


# The terminal of df.lark that a token is unless its surroundings make it another; terminals.py sees to those.
_TERMINALS = {
    WORD: "NAME", QUOTED: "NAME", STRING: "STRING", NUMBER: "NUMBER", PARAM: "OPAQUE", VARIABLE: "OPAQUE",
    OP: "OPERATOR", ERROR: "BROKEN", PUNCT: "STRAY",
}  # fmt: skip
_PUNCTUATION = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", ",": "COMMA", ".": "DOT", "::": "TYPECAST", ":=": "NAMED",
    ";": "STRAY", ":": "STRAY", "..": "STRAY",
}  # fmt: skip


class Token:
    """One token; nobody changes it. kind: what the lexer sees; type: the terminal of df.lark.

    value: identifier folded, string decoded, operator symbol. anchors: as in nodes.Text, for strings only.
    """

    __slots__ = ("anchors", "end", "kind", "start", "type", "value")
    line = column = end_line = end_column = 0  # Lark reads these of the last token; spans are all that we use

    def __init__(
        self, kind: str, value: str, start: int, end: int, anchors: Anchors = (), terminal: str | None = None
    ) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.end = end
        self.anchors = anchors
        self.type = terminal or _TERMINALS[kind]

    def as_terminal(self, terminal: str) -> Token:
        """The same token as another terminal of df.lark."""
        if terminal == self.type:
            return self
        return Token(self.kind, self.value, self.start, self.end, self.anchors, terminal)

    @property
    def start_pos(self) -> int:
        """Lark's word for start."""
        return self.start

    @property
    def end_pos(self) -> int:
        """Lark's word for end."""
        return self.end

    @property
    def span(self) -> Span:
        """Where the token stands."""
        return Span(self.start, self.end)

    def __repr__(self) -> str:
        return f"{self.kind}({self.value!r}, {self.start}..{self.end})"


@dataclass(slots=True)
class Lexed:
    """What lexing gives: tokens without white space, comments, and what was wrong."""

    tokens: list[Token] = field(default_factory=list)
    comments: list[Span] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


_DIGITS = "[0-9](?:_?[0-9])*+"
_WORD = f"{LETTER}{IN_WORD}*+"

# PostgreSQL's tokens; `space`, `comment` and `block` give none. Order matters where two alternatives share a first character; otherwise each is longest match already.
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\n\r\f\v]++)
    | (?P<comment>--[^\n\r]*+)
    | (?P<block>/\*)
    | (?P<string>(?:[eEnNbBxX]|[uU]&)?')
    | (?P<quoted>(?:[uU]&)?")
    | (?P<word>{_WORD})
    | (?P<dollar>\$(?:{LETTER}{IN_TAG}*+)?\$)
    | (?P<param>\$[0-9]++)
    | (?P<number>0[xX](?:_?[0-9A-Fa-f])++ | 0[oO](?:_?[0-7])++ | 0[bB](?:_?[01])++
        | (?:{_DIGITS}(?:\.(?!\.)(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?)
    | (?P<typecast>::|:=|\.\.)
    | (?P<variable>:(?:{LETTER}{IN_TAG}*+|'{IN_TAG}++'|"{IN_TAG}++"|\{{\?{IN_TAG}++\}}))
    | (?P<op>[~!@\#^&|`?+\-*/%<>=]++)
    | (?P<punct>[()\[\],;.:])
    """,
    re.VERBOSE,
)
_UESCAPE = re.compile(
    r"(?:[ \t\n\r\f\v]++|--[^\n\r]*+)*+[uU][eE][sS][cC][aA][pP][eE](?:[ \t\n\r\f\v]++|--[^\n\r]*+)*+'(''|[^'])'"
)
# What people write by mistake, each with advice of its own: comments of other languages, 5min, quotes from a word
# processor, spaces from a web page.
_FOREIGN_COMMENT = re.compile(r"(?P<mark>//|#)(?=[ \t]*(?:[A-Za-z]|[\n\r]|\Z))[^\n\r]*+")
_JUNK = re.compile(f"{IN_TAG}{IN_WORD}*+")
_UNIT = re.compile("s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|ms", re.IGNORECASE)
_LOOKALIKE = re.compile("[\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00b4\u00ab\u00bb\u2032\u2033]")
_LOOKALIKE_END = re.compile(f"[^\\n\\r]*?{_LOOKALIKE.pattern}")
_INVISIBLE = re.compile("[\u00a0\u200b-\u200f\u2028-\u202e\u2060\ufeff\u3000\u2000-\u200a]")

# \set x 'it''s', up to the end of the line or `\\`. What sends the statement ends it; behind `\;` SQL goes on.
_PSQL_COMMAND = re.compile(
    r"""\\(?:(?P<separates>;)|(?:(?P<sends>(?:g[a-z]*|watch|crosstabview)(?![a-z]))|\\)?
    (?:'[^'\n\r]*+'|"[^"\n\r]*+"|[^'"\n\r\\]|\\(?!\\)|['"])*+(?:\\\\)?)""",
    re.VERBOSE,
)
_PSQL_COPY = re.compile(r"\\copy\b[^\n\r]*?\bfrom\s+(?:p?stdin)\b", re.IGNORECASE)
_END_OF_DATA = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)
# Every semicolon looks back over its statement; without a limit, a dump of one long INSERT would be read twice.
_COPY_TOKENS = 500  # a COPY statement with more tokens than these is not looked for

# To PostgreSQL `~>@>` is one operator, as `<=` is. This finds the operators of df that were meant.
_GLUED = re.compile(r"(?P<first>\|=>|~>|\?>|!>|@>|&|\|)(?P<loops>(?:@>)*+)(?P<sign>[+-]?)")

DSL_OPERATORS = ("|=>", "~>", "?>", "!>", "@>", "&", "|")
# Operators that exist, in PostgreSQL or a well-known extension: these are never two operators with a space left out.
KNOWN_OPERATORS = frozenset(
    {
        "~>", "|=>", "&", "|", "?>", "!>", "@>", "||", "+", "-", "*", "/", "%", "^", "<", ">", "=", "<=", ">=",
        "<>", "!=", "=>", "->", "->>", "#>", "#>>", "<@", "?", "?|", "?&", "@?", "@@", "#-", "&&", "<<", ">>",
        "<->", "<=>", "<#>", "&<", "&>", "<<|", "|>>", "&<|", "|&>", "-|-", "@@@", "<^", ">^", "?#", "?-",
        "?||", "?-|", "@-@", "#", "##", "~", "~*", "!~", "!~*", "~~", "~~*", "!~~", "!~~*", "~=", "^@", "@",
        "|/", "||/", "!!", "!", "<<=", ">>=", "*=", "*<>", "<%", "%>", "<<%", "%>>", "<<->", "<->>", "<<<->",
        "<->>>", "~<~", "~<=~", "~>=~", "~>~", "*<", "*>", "*<=", "*>=", "<+>", "<~>",
    }
)  # fmt: skip
# An operator with one of these in it may end in a sign: `@-` is one operator, `*-` is two.
_SIGN_KEEPERS = frozenset("~!@#^&|`?%")
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(word: str) -> str:
    """Fold an unquoted identifier as PostgreSQL does: ASCII letters only."""
    return word.lower() if word.isascii() else word.translate(_ASCII_LOWER)


def lex(text: str, *, psql: bool = False) -> Lexed:
    """Cut `text` into tokens. psql: skip psql's own commands and the data behind COPY .. FROM STDIN, as psql would."""
    return _Lexer(text, psql=psql).run()


def operator_length(run: str) -> int:
    """How many characters of a run of operator characters are its first operator.

    A comment ends it; and a multi-character operator gives up trailing `+` and `-` unless it contains one of `~!@#^&|?%`.

    `~>--x` has 2, `<-` has 1 (so that x<-1 compares), `@-` has 2. The rule is that of scan.l, action of {operator}.
    """
    ends = [at for at in (run.find("--"), run.find("/*")) if at >= 0]
    length = min(ends) if ends else len(run)
    if length > 1 and run[length - 1] in "+-" and not _SIGN_KEEPERS.intersection(run[: length - 1]):
        # `x =-1` has to be `x = -1`; PostgreSQL forbids such names for that reason.
        while length > 1 and run[length - 1] in "+-":
            length -= 1
    return length


class _Lexer:
    def __init__(self, text: str, *, psql: bool) -> None:
        self.text = text
        self.psql = psql
        self.out = Lexed()

    def run(self) -> Lexed:
        text, match, tokens = self.text, _TOKEN.match, self.out.tokens
        at, size = (1 if text.startswith("\ufeff") else 0), len(text)  # a byte order mark is no part of the program
        while at < size:
            # One regular expression with named groups, and not one per kind: Python then tries the alternatives
            # in C.
            found = match(text, at)
            if found is None:
                at = self._stray(at)
                continue
            kind, end = found.lastgroup, found.end()
            # The commonest first: this loop is a third of the time of reading a program.
            if kind == "space":
                pass
            elif kind == "word":
                word = found.group()
                # PostgreSQL takes every character beyond ASCII as a letter, so `“hi”` is a word to it. That is
                # never what was meant.
                if not word.isascii() and (_LOOKALIKE.search(word) or _INVISIBLE.search(word)):
                    end = self._lookalike(at, word)
                else:
                    tokens.append(Token(WORD, fold(word), at, end))
            elif kind in ("punct", "typecast"):
                symbol = found.group()
                tokens.append(Token(PUNCT, symbol, at, end, (), _PUNCTUATION[symbol]))
                if self.psql and symbol == ";":
                    end = self._copied_data(end)
            elif kind == "op":
                end = self._operator(at, found.group())
            # The prefix is e, n, b, x, u& or empty: E'..' has escapes, B'..' is refused, N'..' is an ordinary
            # string.
            elif kind == "string":
                end = self._string(at, end, found.group()[:-1].lower())
            elif kind == "dollar":
                end = self._dollar(at, found.group())
            else:
                end = self._rarer(kind or "", at, found)
            at = end
        return self.out

    def _rarer(self, kind: str, at: int, found: re.Match[str]) -> int:
        """What `run` leaves to this method; returns where to go on, as they all do."""
        end = found.end()
        match kind:
            case "comment":
                self.out.comments.append(Span(at, end))
                return end
            case "block":
                return self._block_comment(at)
            case "number":
                return self._number(at, end)
            case "quoted":
                return self._quoted(at, end)
            case _:
                self.out.tokens.append(Token(PARAM if kind == "param" else VARIABLE, found.group(), at, end))
                return end

    def _error(self, diagnostic: Diagnostic, start: int, end: int) -> int:
        self.out.diagnostics.append(diagnostic)
        self.out.tokens.append(Token(ERROR, self.text[start:end], start, end))
        return end

    def _psql_command(self, at: int) -> int:
        r"""Skip `\set x 1`; one that sends the statement, such as `\gset`, ends it like a semicolon."""
        found = _PSQL_COMMAND.match(self.text, at)
        assert found is not None
        # SELECT 1 \gset has no semicolon; without this token the next statement would be a part of it.
        if found["sends"] or found["separates"]:
            self.out.tokens.append(Token(PUNCT, ";", at, at + 1))
        if _PSQL_COPY.match(found.group()):
            return self._to_end_of_data(found.end())
        return found.end()

    def _copied_data(self, end: int) -> int:
        """Behind the data of a COPY .. FROM STDIN statement that ends at `end`; `end` itself for any other."""
        statement: list[Token] = []  # backwards: its first token comes last
        # -1: the semicolon that has just been added.
        for token in reversed(self.out.tokens[-_COPY_TOKENS:-1]):
            if token.kind == PUNCT and token.value == ";":
                break
            statement.append(token)
        if not statement or statement[-1].value != "copy":
            return end
        return self._to_end_of_data(end) if any(token.value == "stdin" for token in statement) else end

    def _to_end_of_data(self, at: int) -> int:
        found = _END_OF_DATA.search(self.text, at)
        return len(self.text) if found is None else found.end()

    def _stray(self, at: int) -> int:
        character = self.text[at]
        if self.psql and character == "\\":
            return self._psql_command(at)
        variant = {"\0": "nul", "\\": "backslash", "{": "brace", "}": "brace", "$": "dollar"}.get(character, "")
        # df.sleep($seconds): the commonest attempt to read a result outside of quotes, with words of its own.
        # Only the dollar is consumed, so the name is read as a column.
        if character == "$" and (name := _RESULT.match(self.text, at)) is not None:
            return self._error(finding("PW008", Span(at, name.end()), "unquoted-result"), at, at + 1)
        return self._error(finding("PW008", Span(at, at + 1), variant, character=repr(character)), at, at + 1)

    def _nul(self, at: int, end: int) -> int:
        place = self.text.index("\0", at)
        return self._error(finding("PW008", Span(place, place + 1), "nul"), at, end)

    def _lookalike(self, at: int, word: str) -> int:
        found = _LOOKALIKE.search(word)
        if found:
            variant, character = "typographic-quote", found.group()
        else:
            found = _INVISIBLE.search(word)
            assert found is not None
            variant, character = "invisible", f"{ord(found.group()):04X}"
        place = at + found.start()
        # Read on behind the closing quote of the same line: what stands between the two is meant to be a text.
        # Else every word between the two quotes would be an error of its own.
        closing = _LOOKALIKE_END.match(self.text, place + 1) if _LOOKALIKE.match(found.group()) else None
        end = max(closing.end() if closing else 0, at + len(word))
        return self._error(finding("PW008", Span(place, place + 1), variant, character=character), at, end)

    def _operator(self, at: int, run: str) -> int:
        # psql files have psql's comments; `#` and `//` there are operators of some extension.
        if run[0] in "/#" and not self.psql and (foreign := self._foreign_comment(at)):
            return foreign
        length = operator_length(run)
        symbol = run[:length]
        end = at + length
        if symbol in KNOWN_OPERATORS:
            self.out.tokens.append(Token(OP, symbol, at, end))
            return end
        pieces = split_glued(symbol)
        if not pieces:
            self.out.tokens.append(Token(OP, symbol, at, end))  # an operator of some other extension
            return end
        spaced, span = " ".join(pieces), Span(at, end)
        edits = (Edit(span, spaced),)
        self.out.diagnostics.append(
            finding("PW005", span, "spaced", operator=symbol, spaced=spaced, edits=edits, safe=True)
        )
        # One finding instead of two: the parser sees the operators that were meant.
        for piece in pieces:  # read on as if the space were there
            self.out.tokens.append(Token(OP, piece, at, at + len(piece)))
            at += len(piece)
        return end

    def _foreign_comment(self, at: int) -> int | None:
        """Behind a comment as other languages begin it, `// so` or `# so`, after reporting it; None if it is none."""
        found = _FOREIGN_COMMENT.match(self.text, at)
        last = self.out.tokens[-1] if self.out.tokens else None
        # Behind an operand `#` is an operator, bitwise exclusive or.
        operand = last is not None and (last.kind not in (OP, STRING, PUNCT) or last.value in (")", "]"))
        if found is None or (found["mark"] == "#" and operand):
            return None
        span = Span(at, at + len(found["mark"]))
        edits = (Edit(span, "--"),)
        self.out.diagnostics.append(
            finding("PW008", span, "foreign-comment", character=found["mark"], edits=edits, safe=True)
        )
        return found.end()  # and read on behind it

    def _block_comment(self, at: int) -> int:
        end = comment_end(self.text, at, len(self.text))
        if end is None:
            return self._unterminated(at, at + 2, "*/")
        self.out.comments.append(Span(at, end))
        return end

    def _unterminated(self, at: int, opened: int, closer: str) -> int:
        # Quotes pair off: where one is missing, the text after the next string looks like a string, and so on to the end.
        suspect = self._suspect() if closer == "'" else None
        notes = () if suspect is None else (suspect,)
        variant = {"'": "string", "*/": "comment", '"': "quoted-name"}.get(closer, "")
        found = finding("PW002", Span(at, opened), variant, closer=closer, notes=notes)
        return self._error(found, at, len(self.text))

    def _suspect(self) -> Note | None:
        """The string before, if it runs over a line end: often the one whose closing quote is missing."""
        last = next((token for token in reversed(self.out.tokens) if token.kind == STRING), None)
        if last is None or "\n" not in self.text[last.start : last.end] or self.text[last.start] == "$":
            return None
        return note("PW002", Span(last.start, last.start + 1))

    def _string(self, at: int, opened: int, prefix: str) -> int:
        pattern = ESCAPE_END if prefix == "e" else PLAIN_END
        # E'a' <newline> 'b' is `ab`: SQL joins literals over a line break, and only the first has a prefix.
        segments = []  # 'one' and, on the next line, 'two' are one literal of two segments
        start = opened
        while True:
            found = pattern.match(self.text, start)
            if found is None:
                return self._unterminated(at, opened, "'")
            end = found.end()
            segments.append((start, end - 1))
            more = CONTINUED.match(self.text, end)
            if more is None:
                break
            start = more.end()
        if prefix in ("b", "x"):  # bit strings are a type that nothing in df takes
            return self._error(finding("PW007", Span(at, end), literal=self.text[at:end][:20]), at, end)
        escape = "\\"
        content_end = end
        if prefix == "u&" and (chosen := _UESCAPE.match(self.text, end)):
            escape, end = chosen.group(1), chosen.end()
        try:
            if prefix == "e":
                value, anchors = decode_escapes(self.text, segments)
            elif prefix == "u&":
                value, anchors = decode_unicode(self.text, segments, escape)
            else:
                value, anchors = decode_plain(self.text, segments)
        except BadEscape as bad:
            place = Span(bad.start, min(bad.end, content_end))
            return self._error(finding("PW006", place, bad.case, escape=bad.escape), at, end)
        if "\0" in value:
            return self._nul(at, end)
        self.out.tokens.append(Token(STRING, value, at, end, anchors))
        return end

    def _dollar(self, at: int, tag: str) -> int:
        start = at + len(tag)
        # $a$ .. $b$ .. $a$: only the same tag ends it, so that a function body may contain other dollar quotes.
        close = self.text.find(tag, start)
        if close < 0:
            return self._unterminated(at, start, tag)
        end = close + len(tag)
        value = self.text[start:close]
        if "\0" in value:
            return self._nul(at, end)
        self.out.tokens.append(Token(STRING, value, at, end, ((0, start),)))
        return end

    def _number(self, at: int, end: int) -> int:
        junk = _JUNK.match(self.text, end)
        if junk:
            literal = self.text[at : junk.end()]
            variant = "unit" if _UNIT.fullmatch(junk.group()) else ""
            return self._error(finding("PW009", Span(at, junk.end()), variant, literal=literal), at, junk.end())
        self.out.tokens.append(Token(NUMBER, self.text[at:end], at, end))
        return end

    def _quoted(self, at: int, opened: int) -> int:
        found = QUOTED_END.match(self.text, opened)
        if found is None:
            return self._unterminated(at, opened, '"')
        end = found.end()
        name = self.text[opened : end - 1].replace('""', '"')
        if not name:
            return self._error(finding("PW008", Span(at, end), "empty-name"), at, end)
        # 1: the quote itself; more is the prefix U&.
        if opened - at > 1:  # U&"..": another spelling of a name; the token holds the name itself
            escape = "\\"
            if chosen := _UESCAPE.match(self.text, end):
                escape, end = chosen.group(1), chosen.end()
            try:
                name = decode_unicode(name, [(0, len(name))], escape)[0]
            except BadEscape as bad:
                return self._error(finding("PW006", Span(at, end), bad.case, escape=bad.escape), at, end)
        self.out.tokens.append(Token(QUOTED, name, at, end))
        return end


_RESULT = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?")


def split_glued(symbol: str) -> tuple[str, ...]:
    """Read an unknown operator as operators of df with the spaces left out; empty if that is not what it is.

    `&@>` gives `&`, `@>`. Only a prefix operator can follow another one, so the second piece is always `@>`, a sign or `@`.
    """
    found = _GLUED.fullmatch(symbol)
    # A known operator in a longer run, `~>` in `~>=`, is no slip of the space bar: the whole run has to be
    # taken apart.
    if found is None or found["first"] == symbol:
        return ()
    loops = ["@>"] * (len(found["loops"]) // 2)  # each is two characters of the run
    return (found["first"], *loops, *([found["sign"]] if found["sign"] else []))
