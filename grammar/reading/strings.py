r"""What stands between quotes: where a quoted text ends, and what its escapes mean, with the place of every character.

Used by the lexer of programs and by the lexer of placeholders, so it imports nothing.

Anchors are those of nodes.Text: pairs (offset in value, offset in source); between two pairs both run in step.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Anchors: TypeAlias = tuple[tuple[int, int], ...]
Segments: TypeAlias = "list[tuple[int, int]]"

# What may begin an identifier or a dollar-quote tag: ASCII letters, `_` and everything beyond ASCII. Written as what it
# is not, because Python takes 10 ms to compile a class with a million characters in it.
LETTER = r"[^\x00-@\[-^`{-\x7f]"
IN_TAG = r"[^\x00-/:-@\[-^`{-\x7f]"  # a digit too
IN_WORD = r"[^\x00-#%-/:-@\[-^`{-\x7f]"  # and `$`

# Each matches from behind the opening quote to behind the closing one.
# Possessive quantifiers (*+) throughout: a string that never closes is tried once, not from every quote in it.
PLAIN_END = re.compile(r"[^']*+(?:''[^']*+)*+'")
ESCAPE_END = re.compile(r"(?:[^'\\]++|''|\\.)*+'", re.DOTALL)
QUOTED_END = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
# Two literals are one when only white space with a line break stands between them; `--` comments may stand there too.
CONTINUED = re.compile(r"(?:[ \t\f\v]++|--[^\n\r]*+)*+[\n\r](?:[ \t\n\r\f\v]++|--[^\n\r]*+[\n\r])*+'")
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def comment_end(text: str, at: int, size: int) -> int | None:
    """Where the `/*` at `at` ends; such comments nest. None if it never does."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at, size):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


class BadEscape(ValueError):
    """An escape that PostgreSQL refuses. case: the variant of PW006 that says why. start, end: where it stands.

    escape: the escape character, where the words name it.
    """

    def __init__(self, case: str, start: int, end: int, escape: str = "") -> None:
        super().__init__(case)
        self.case = case
        self.start = start
        self.end = end
        self.escape = escape


class _Builder:
    """Collects pieces of a value together with their anchors."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.anchors: list[tuple[int, int]] = []
        self.length = 0

    def add(self, piece: str, source: int) -> None:
        if self.anchors and self.anchors[-1][0] == self.length:
            self.anchors.pop()  # it was that of an empty piece
        self.anchors.append((self.length, source))
        self.pieces.append(piece)
        self.length += len(piece)

    def result(self) -> tuple[str, Anchors]:
        return "".join(self.pieces), tuple(self.anchors)


def decode_plain(text: str, segments: Segments) -> tuple[str, Anchors]:
    """Decode `'..'`: only `''` means something."""
    if len(segments) == 1:
        start, end = segments[0]
        value = text[start:end]
        if "'" not in value:
            return value, ((0, start),)
    out = _Builder()
    for start, end in segments:
        parts = text[start:end].split("''")
        place = start
        # '' is one character of the value and two of the text, so what follows it needs an anchor of its own.
        for part in parts[:-1]:
            out.add(part + "'", place)
            place += len(part) + 2
        out.add(parts[-1], place)
    return out.result()


_ESCAPE = re.compile(
    r"""[^'\\]++ | '' | \\(?:(?P<octal>[0-7]{1,3}) | x(?P<hex>[0-9A-Fa-f]{1,2})
    | u(?P<u4>[0-9A-Fa-f]{4}) | U(?P<u8>[0-9A-Fa-f]{8}) | (?P<bad>[uU]) | (?P<other>.))""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def decode_escapes(text: str, segments: Segments) -> tuple[str, Anchors]:
    r"""Decode `E'..'`: `\n`, `\'`, octal and hexadecimal bytes (which together must be UTF-8), `\uXXXX`, `\UXXXXXXXX`.

    E'\xc3\xa9\t!' at offset 0 gives `é`, tab, `!` and the anchors (0, 2), (1, 10), (2, 12): each of the first two
    characters is written with several, so each character after them needs an anchor of its own.
    """
    out = _Builder()
    raw = bytearray()  # bytes written as \x.. or \ooo that still wait for the rest of their character
    places: list[int] = []  # where each of those bytes is written
    high: tuple[int, int] | None = None  # first half of a surrogate pair and its place

    def flush(end: int) -> None:
        """Decode the bytes so far, before something else than a byte comes."""
        if high is not None:
            raise BadEscape("half-pair", high[1], end)
        if raw:
            try:
                decoded = raw.decode()
            except UnicodeDecodeError:
                raise BadEscape("not-utf8", places[0], end) from None
            at = 0
            for character in decoded:
                out.add(character, places[at])
                at += len(character.encode())
            raw.clear()
            places.clear()

    for start, end in segments:
        for piece in _ESCAPE.finditer(text, start, end):
            place = piece.start()
            kind = piece.lastgroup
            if kind in ("octal", "hex"):
                value = int(piece[kind], 8 if kind == "octal" else 16) & 0xFF  # \777 is a byte too, to PostgreSQL
                if value == 0:
                    raise BadEscape("nul-character", place, piece.end())
                if not raw:
                    flush(place)
                raw.append(value)
                places.append(place)
            elif kind in ("u4", "u8"):
                high = _unicode(out, int(piece[kind], 16), high, place, piece.end(), flush)
            else:
                flush(place)
                if kind == "bad":
                    raise BadEscape("digits", place, piece.end())
                other = piece["other"]
                if other is not None:
                    out.add(_SIMPLE.get(other, other), place)
                else:
                    out.add("'" if piece.group() == "''" else piece.group(), place)
        flush(end)
    if not segments or not out.anchors:
        out.add("", segments[0][0])
    return out.result()


def _unicode(
    out: _Builder, code: int, high: tuple[int, int] | None, place: int, end: int, flush: object
) -> tuple[int, int] | None:
    """Add one code point, or remember the first half of a pair."""
    if high is not None:
        if not 0xDC00 <= code <= 0xDFFF:
            raise BadEscape("half-pair", high[1], end)
        # Two halves of ten bits each, above the 16 bits of the basic plane (UTF-16).
        out.add(chr(0x10000 + ((high[0] - 0xD800) << 10) + (code - 0xDC00)), high[1])
        return None
    assert callable(flush)
    flush(place)
    if 0xD800 <= code <= 0xDBFF:
        return code, place
    if code == 0 or code > 0x10FFFF or 0xDC00 <= code <= 0xDFFF:
        raise BadEscape("no-character", place, end)
    out.add(chr(code), place)
    return None


def decode_unicode(text: str, segments: Segments, escape: str) -> tuple[str, Anchors]:
    r"""Decode `U&'..'`: `\XXXX`, `\+XXXXXX`, and the escape character doubled; `escape` may be another character."""
    first = segments[0][0]
    if len(escape) != 1 or escape in "+'\"" or escape.isspace() or re.fullmatch("[0-9A-Fa-f]", escape):
        raise BadEscape("escape-character", first, segments[-1][1])
    mark = re.escape(escape)
    pattern = re.compile(
        rf"(?P<plain>[^'{mark}]+)|(?P<quote>'')|{mark}(?:(?P<u4>[0-9A-Fa-f]{{4}})|\+(?P<u6>[0-9A-Fa-f]{{6}})"
        rf"|(?P<self>{mark})|(?P<bad>))"
    )
    out = _Builder()
    high: tuple[int, int] | None = None

    def flush(end: int) -> None:
        if high is not None:
            raise BadEscape("half-pair", high[1], end)

    for start, end in segments:
        for piece in pattern.finditer(text, start, end):
            place, kind = piece.start(), piece.lastgroup
            if kind in ("u4", "u6"):
                high = _unicode(out, int(piece[kind], 16), high, place, piece.end(), flush)
                continue
            flush(place)
            if kind == "bad":
                raise BadEscape("digits-of-unicode", place, min(place + 5, end), escape)
            out.add({"quote": "'", "self": escape}.get(kind or "", piece.group()), place)
        flush(end)
    if not out.anchors:
        out.add("", first)
    return out.result()
