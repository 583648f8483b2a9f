"""Layout: a document of texts and possible line breaks -> lines no wider than asked, where that can be.

The algebra of Wadler's "A prettier printer", as Prettier extends it: a group is written on one line if it fits and has
nothing in it that must break, else each of its own breaks ends a line; a suffix (a comment to the end of the line) is kept
until the next break. It knows nothing of the language.

    Group(f( Indent(SOFT a, LINE b) SOFT ))      f(a, b)    or    f(
                                                                      a,
                                                                      b
                                                                  )
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Break:
    """A place where a line may end. flat: what is written there if it does not; None when it always ends."""

    __slots__ = ("flat", "forced", "fresh")

    def __init__(self, flat: str | None, *, fresh: bool = False) -> None:
        self.flat = flat
        self.fresh = fresh
        self.forced = flat is None


class Concat:
    """Documents one after the other. forced: a line ends in here, whatever the width."""

    __slots__ = ("forced", "parts")

    def __init__(self, parts: tuple[Doc, ...]) -> None:
        self.parts = parts
        self.forced = any(map(is_forced, parts))


class Group:
    """All on one line, or every break of its own taken."""

    __slots__ = ("doc", "forced")

    def __init__(self, doc: Doc, *, forced: bool = False) -> None:
        self.doc = doc
        self.forced = forced or is_forced(doc)


class Indent:
    """Lines that begin in here are one level deeper."""

    __slots__ = ("doc", "forced")

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.forced = is_forced(doc)


class Align:
    """Lines that begin in here begin where it begins itself."""

    __slots__ = ("doc", "forced")

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.forced = is_forced(doc)


class Suffix:
    """Text for the end of the line, which ends soon after: a `--` comment."""

    __slots__ = ("forced", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.forced = True


Doc: TypeAlias = str | _Break | Concat | Group | Indent | Align | Suffix

LINE = _Break(" ")
SOFT = _Break("")
HARD = _Break(None)
FRESH = _Break(None, fresh=True)  # ends the line unless nothing stands on it yet
INDENT = 4
_MAX_INDENT = 25 * INDENT  # deeper lines all begin here, else the text would grow with the square of the depth


def concat(*parts: Doc) -> Doc:
    """Put documents together."""
    return parts[0] if len(parts) == 1 else Concat(parts)


def join(separator: Doc, parts: Iterable[Doc]) -> Doc:
    """Put documents together with something between them."""
    out: list[Doc] = []
    for part in parts:
        if out:
            out.append(separator)
        out.append(part)
    return Concat(tuple(out))


def is_forced(doc: Doc) -> bool:
    """Whether a line ends in `doc` in any case; a text with line ends of its own counts."""
    return "\n" in doc if isinstance(doc, str) else doc.forced


def render(doc: Doc, *, width: int, newline: str = "\n", margin: str = "", column: int = 0) -> str:
    """Lay `doc` out. newline: the end of each line. margin: is written before every line but the first, which begins at `column`.

    One loop with a stack of its own: documents are as deep as programs are.
    """
    return _Renderer(width, newline, margin, column).run(doc)


class _Renderer:
    def __init__(self, width: int, newline: str, margin: str, column: int) -> None:
        self.width = width
        self.newline = newline
        self.margin = margin
        self.out: list[str] = []
        self.suffixes: list[str] = []
        self.column = column
        self.blank = column == 0  # nothing has been written on this line yet

    def run(self, root: Doc) -> str:
        stack: list[tuple[int, bool, Doc]] = [(0, False, root)]  # indentation in columns, on one line?, document
        while stack:
            indent, flat, doc = stack.pop()
            if isinstance(doc, str):
                self._text(doc)
            elif isinstance(doc, Concat):
                stack.extend((indent, flat, part) for part in reversed(doc.parts))
            elif isinstance(doc, Indent):
                stack.append((indent + INDENT, flat, doc.doc))
            elif isinstance(doc, Align):  # the margin is written by _break, so it is no part of the indentation
                # A string that is continued on the next line begins below its own quote.
                stack.append((self.column - len(self.margin), flat, doc.doc))
            elif isinstance(doc, Group):
                fits = flat or (not doc.forced and self._fits(doc.doc, stack))
                stack.append((indent, fits, doc.doc))
            elif isinstance(doc, Suffix):
                self.suffixes.append(doc.text)
            elif flat and doc.flat is not None:
                self._text(doc.flat)
            # A suffix waits for the end of this line, so the line is not empty even if nothing else is on it.
            elif not (doc.fresh and self.blank and not self.suffixes):  # FRESH on an empty line does nothing
                self._break(indent)
        self._flush()
        return "".join(self.out)

    def _text(self, text: str) -> None:
        if text:
            self.out.append(text)
            self.blank = False
            end = text.rfind("\n")
            self.column = self.column + len(text) if end < 0 else len(text) - end - 1

    def _break(self, indent: int) -> None:
        self._flush()
        if self.blank and self.out:
            self.out.pop()  # a break after a break: no line stays empty
        elif self.out and "\n" not in self.out[-1]:  # spaces at the end of a string of several lines are its own
            self.out[-1] = self.out[-1].rstrip(" ")
        start = self.margin + " " * min(indent, _MAX_INDENT)
        # The indentation is written at once; if the line stays empty, the next _break takes it away again.
        self.out.append(self.newline + start)
        self.column = len(start)
        self.blank = True

    def _flush(self) -> None:
        if self.suffixes:
            self.out.extend(self.suffixes)
            self.suffixes.clear()
            self.blank = False

    def _fits(self, doc: Doc, rest: list[tuple[int, bool, Doc]]) -> bool:
        """Whether `doc` on one line, and what follows up to the next possible break, fits into the width.

        What follows counts, for `)` and `,` behind a group can go nowhere else: f(a, b), must fit with its comma. `rest`
        is the stack of the renderer, so what follows is found from its top down, and is not removed from it.
        """
        left = self.width - self.column
        following = len(rest)
        stack: list[tuple[bool, Doc]] = [(True, doc)]
        while left >= 0:
            if not stack:
                if not following:
                    return True
                following -= 1
                stack.append(rest[following][1:])
            flat, part = stack.pop()
            if isinstance(part, str):
                first, line_end, _ = part.partition("\n")
                left -= len(first)
                if line_end:
                    return left >= 0
            elif isinstance(part, Concat):
                stack.extend((flat, piece) for piece in reversed(part.parts))
            elif isinstance(part, Indent | Align):
                stack.append((flat, part.doc))
            elif isinstance(part, Group):
                # A group behind may break on its own: then its first break ends what has to fit here.
                stack.append((flat and not part.forced, part.doc))
            elif isinstance(part, _Break):
                if not flat or part.flat is None:  # here a line may end, or does
                    return True
                left -= len(part.flat)
        return False
