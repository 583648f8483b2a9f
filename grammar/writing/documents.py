"""Lexemes -> documents: how each construct of the language is laid out.

Brackets are read with a stack, rows of operands and operators are grouped as PostgreSQL groups them; nothing here is
recursive where depth is the input's choice. Parentheses are added where operators of different kinds meet, and left out
around a single operand. What that does to the tree is for formatter.py to prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgweave.grammar.reading import syntax
from pgweave.grammar.reading.lalr import VOCABULARY
from pgweave.grammar.reading.terminals import NAMES
from pgweave.grammar.writing.comments import CLOSERS, OPENERS, OPERATORS, Comment, above
from pgweave.grammar.writing.layout import FRESH, HARD, LINE, SOFT, Align, Doc, Group, Indent, Suffix, concat, join
from pgweave.grammar.writing.lexemes import Lexeme

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Laid(syntax.Expr):
    """A part of the program that has its document.

    shape: what it is to the operators around it: primary, frozen, named, prefix, value, half, if, or the operator of a
    chain. before, after: comments outside of the document. inner: what is in these parentheses, if they could be left out.
    plain: nothing but a literal, or a literal with its name: a line break would not help.
    """

    __slots__ = ("after", "before", "doc", "inner", "plain", "shape")

    def __init__(
        self,
        first: syntax.Expr | Lexeme,
        last: syntax.Expr | Lexeme,
        doc: Doc,
        shape: str = "primary",
        *,
        before: Sequence[Comment] = (),
        after: Sequence[Comment] = (),
        inner: Laid | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(first.start, last.end)
        self.doc = doc
        self.shape = shape
        self.before = before
        self.after = after
        self.inner = inner
        self.plain = plain

    def with_comments(self, before: Sequence[Comment], after: Sequence[Comment]) -> Laid:
        """The same with other comments around it."""
        return Laid(self, self, self.doc, self.shape, before=before, after=after, inner=self.inner, plain=self.plain)

    @property
    def steps(self) -> bool:
        """Whether it has steps of its own that stand on lines of their own."""
        return self.shape in _CHAINS

    @property
    def bare(self) -> bool:
        """Whether it has no comments around it."""
        return not self.before and not self.after

    def whole(self) -> Doc:
        """The document with the comments around it."""
        return self.doc if self.bare else concat(*_before(self.before), self.doc, *_after(self.after))


_CHAINS = frozenset({"~>", "&", "|", "if"})
# What may stand to the left of an operator without parentheses. To its right that is only a primary, since all
# operators of df are on one level and group from the left.
_LEFT = {
    "~>": {"~>", "named"}, "&": {"&"}, "|": {"|"}, "|=>": {"named"}, "?>": set[str](), "!>": {"half"},
}  # fmt: skip


def _before(comments: Sequence[Comment]) -> Iterator[Doc]:
    for comment in comments:
        if comment.own or comment.to_line_end:
            yield from (FRESH, comment.text, HARD)
        else:
            yield from (comment.text, " ")


def _after(comments: Sequence[Comment]) -> Iterator[Doc]:
    for comment in comments:
        yield Suffix(f" {comment.text}") if comment.to_line_end else f" {comment.text}"


@dataclass(slots=True)
class _Item:
    """An argument, an element, what is in parentheses, or what SELECT selects."""

    laid: Laid
    comma: Lexeme | None = None

    def doc(self, *, forced: bool = False) -> Doc:
        laid = self.laid
        row = Group(laid.doc, forced=forced)
        comma = [] if self.comma is None else [",", *_after(self.comma.after)]
        return concat(*_before(laid.before), row, *_after(laid.after), *comma)

    @property
    def quiet(self) -> bool:
        """Whether no comment stands around it."""
        return self.laid.bare and (self.comma is None or not (self.comma.before or self.comma.after))


_OF_PAIRS = frozenset({"jsonb_build_object", "json_build_object"})  # names and values: a pair to a line


@dataclass(slots=True)
class _Frame:
    """One level of brackets while it is read. call: the function's name; array, cast: what kind of bracket it is.

    pieces: of the operand that is being read. row: operands and operators of the item that is being read.
    head: `name =>`; tail: `AS type`.
    """

    opener: Lexeme | None = None
    call: str | None = None
    items: list[_Item] = field(default_factory=list)
    row: list[Laid | Lexeme] = field(default_factory=list)
    pieces: list[Laid | Lexeme] = field(default_factory=list)
    head: list[Lexeme] = field(default_factory=list)
    tail: list[Lexeme] | None = None


class _Statement:
    """Turns the lexemes of one statement into a document, bracket by bracket, without recursion.

    df.seq('a' ~> 'b', x)     frames                                        what is read
    df . seq                  [pieces: df . seq]
    (                         [pieces: df . seq] [call df.seq]
    'a' ~> 'b'                .. [row: 'a' ~>, pieces: 'b']                 an operator ends an operand
    ,                         .. [items: 'a' ~> 'b']                        a comma ends an item
    x )                       [pieces: df . seq (..)]                       a bracket is one piece of the operand
    """

    def __init__(self, lexemes: list[Lexeme]) -> None:
        self.lexemes = lexemes
        self.frames = [_Frame()]

    def doc(self) -> Doc:
        """The document of the whole statement."""
        lead: list[Lexeme] = []
        end: Lexeme | None = None
        for lexeme in self.lexemes:
            frame = self.frames[-1]
            if lexeme.type in OPENERS:
                self._open(lexeme)
            elif lexeme.type in CLOSERS:
                self._close(lexeme)
            elif lexeme.type == "COMMA":
                _end_item(frame, lexeme)
            elif lexeme.type in OPERATORS:
                _end_operand(frame)
                frame.row.append(lexeme)
            elif lexeme.type == "NAMED":
                frame.head = [*frame.pieces, lexeme]  # type: ignore[list-item]  # a single NAME, says the grammar
                frame.pieces = []
            # What follows goes to the tail, however many words a type has: CAST(x AS double precision).
            elif lexeme.type in ("AS", "ALIAS"):
                frame.tail = [lexeme]
            elif lexeme.type in ("SELECT", "STAR", "FROM"):
                lead.append(lexeme)
            elif lexeme.type == "END":
                end = lexeme
            elif frame.tail is not None:
                frame.tail.append(lexeme)
            else:
                frame.pieces.append(lexeme)
        # All brackets are closed, since the program has been parsed.
        (top,) = self.frames
        if top.pieces or top.row:
            _end_item(top, None)
        return concat(*_top(lead, top.items), *([] if end is None else _end(end)))

    def _open(self, opener: Lexeme) -> None:
        frame = self.frames[-1]
        call = None
        # Without pieces before it, a parenthesis groups; with them it is a call's: `df.seq (`.
        if frame.pieces and opener.type == "LPAR":
            call = "".join(piece.value for piece in frame.pieces if isinstance(piece, Lexeme))
        elif opener.type == "LSQB":
            call = "array"
        self.frames.append(_Frame(opener, call))

    def _close(self, closer: Lexeme) -> None:
        frame = self.frames.pop()
        opener = frame.opener
        assert opener is not None
        if frame.pieces or frame.row or frame.head:
            _end_item(frame, None)
        bracket = _bracket(frame, opener, closer).with_comments(opener.before, closer.after)
        self.frames[-1].pieces.append(bracket)


def _top(lead: list[Lexeme], items: list[_Item]) -> Iterator[Doc]:
    """The items of a statement. lead: SELECT, or SELECT * FROM, if it begins so."""
    docs = [item.doc(forced=item.laid.steps) for item in items]
    if not lead:
        yield join(LINE, docs)
        return
    yield concat(*_before(lead[0].before), _flow(lead), *_after(lead[-1].after))
    if len(items) == 1 and not items[0].laid.steps:
        yield concat(" ", *docs)
    else:
        yield Group(Indent(concat(LINE, join(LINE, docs))), forced=any(item.laid.steps for item in items))


def _end(end: Lexeme) -> Iterator[Doc]:
    yield from _before(end.before)
    yield end.text
    yield from _after(end.after)


def _bracket(frame: _Frame, opener: Lexeme, closer: Lexeme) -> Laid:
    """A pair of brackets with what is in them, without the comments around it."""
    dangling = closer.before
    if not frame.items:
        return Laid(opener, closer, concat(opener.text, *_alone([*opener.after, *dangling]), closer.text))
    first = frame.items[0].laid
    commented = opener.after or dangling or not first.bare
    single = len(frame.items) == 1
    if single and first.plain and not commented:
        doc = concat(opener.text, first.doc, closer.text)
    else:
        inside = concat(SOFT, join(LINE, _items(frame)), *_lonely(dangling))
        doc = Group(concat(opener.text, *_after(opener.after), Indent(inside), SOFT, closer.text))
    holds_one = single and frame.call is None and not commented and first.shape != "frozen"
    return Laid(opener, closer, doc, inner=(first.inner or first) if holds_one else None)


def _items(frame: _Frame) -> list[Doc]:
    """What is in a pair of brackets, one document to a line: arguments, elements, or an expression."""
    if frame.call is None:
        single = len(frame.items) == 1
        return [frame.items[0].laid.whole()] if single else [item.doc() for item in frame.items]
    start = frame.call in ("df.start", "df.explain")
    docs = [item.doc(forced=start and i == 0 and item.laid.steps) for i, item in enumerate(frame.items)]
    # With a comment anywhere each argument has its own line, as a comment about one of two would have no place.
    if frame.call.rpartition(".")[2] in _OF_PAIRS and all(item.quiet for item in frame.items):
        return [join(" ", docs[i : i + 2]) for i in range(0, len(docs), 2)]
    return docs


def _lonely(comments: Sequence[Comment]) -> Iterator[Doc]:
    """Comments with nothing behind them before the bracket closes."""
    for comment in comments:
        yield from (FRESH, comment.text)


def _alone(comments: Sequence[Comment]) -> Iterator[Doc]:
    """Comments with nothing beside them in a pair of brackets."""
    if any(comment.own or comment.to_line_end for comment in comments):
        yield from (Indent(concat(*_lonely(comments))), HARD)
    else:
        yield " ".join(comment.text for comment in comments)


def _end_item(frame: _Frame, comma: Lexeme | None) -> None:
    _end_operand(frame)
    laid = _row(frame.row)
    # df.seq(('a'), 'b') loses the inner pair; CAST(('a') AS text) keeps it, since AS takes an expression of its
    # own rules.
    if laid.inner is not None and frame.tail is None:  # an argument needs no parentheses around all of it
        laid = _unwrapped(laid)
    if frame.head or frame.tail:
        laid = _with_words(laid, frame.head, frame.tail or [])
    frame.items.append(_Item(laid, comma))
    frame.row, frame.head, frame.tail = [], [], None


def _unwrapped(laid: Laid) -> Laid:
    """The expression in a pair of parentheses, with the comments around them."""
    assert laid.inner is not None
    return laid.inner.with_comments(laid.before, laid.after)


def _with_words(laid: Laid, head: list[Lexeme], tail: list[Lexeme]) -> Laid:
    """`name => value`, `value AS type`."""
    words: list[Laid | Lexeme] = [*head, laid, *tail]
    first, last = words[0], words[-1]
    shape = "value" if tail else laid.shape
    return Laid(first, last, _flow(words), shape, before=first.before, after=last.after)


def _end_operand(frame: _Frame) -> None:
    pieces = frame.pieces
    if not pieces:
        return
    frame.pieces = []
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1 and isinstance(first, Laid):
        frame.row.append(first)
        return
    single = first.type if len(pieces) == 1 and isinstance(first, Lexeme) else ""
    shape = "frozen" if single == "FROZEN" else "primary"
    laid = Laid(first, last, _flow(pieces), shape, before=first.before, after=last.after, plain=single == "STRING")
    frame.row.append(laid)


def _flow(pieces: Sequence[Laid | Lexeme]) -> Doc:
    """Pieces one after the other, with the comments between them."""
    parts: list[Doc] = []
    for i, piece in enumerate(pieces):
        if i:
            parts.extend(_after(pieces[i - 1].after))
            parts.append(_space(pieces[i - 1], piece))
            parts.extend(_before(piece.before))
        parts.append(piece.doc if isinstance(piece, Laid) else _text(piece))
    return concat(*parts)


def _text(lexeme: Lexeme) -> Doc:
    literals = lexeme.literals()
    return lexeme.text if len(literals) == 1 else Align(join(HARD, literals))


_TIGHT = frozenset({"DOT", "TYPECAST", "SUBSCRIPT"})


def _space(left: Laid | Lexeme, right: Laid | Lexeme) -> str:
    """What stands between two pieces of one operand."""
    if isinstance(left, Lexeme) and left.type in ("DOT", "TYPECAST"):
        return ""
    if isinstance(right, Lexeme):
        return "" if right.type in _TIGHT else " "
    return "" if isinstance(left, Lexeme) and left.type in (*NAMES, "CAST", "ARRAY") else " "


def _row(row: Sequence[Laid | Lexeme]) -> Laid:
    """Operands and operators of one item, grouped as PostgreSQL groups them."""
    if len(row) == 1 and isinstance(row[0], Laid):
        return row[0]
    # NOT and `IS NULL` are left flat: grouping them would only add parentheses where nobody expects any.
    if not any(isinstance(item, Lexeme) and (item.type == "NOT" or item.type in VOCABULARY.suffix) for item in row):
        tree = syntax.group(row)
        if not isinstance(tree, syntax.Chained):
            return _grouped(tree)
    return Laid(row[0], row[-1], _flow(row), "value", before=row[0].before, after=row[-1].after)


def _grouped(tree: syntax.Expr) -> Laid:
    """The document of a tree of operands and operators.

    Recursion goes to the right only, where there are no more levels than df.lark has; chains, which are as long as the
    program, go to the left and are loops.
    """
    spine: list[syntax.Binary] = []
    # a ~> b ~> c is (a ~> b) ~> c: the left edge is as long as the program.
    while isinstance(tree, syntax.Binary):
        spine.append(tree)
        tree = tree.left
    prefixes: list[Lexeme] = []
    while isinstance(tree, syntax.Prefix):
        assert isinstance(tree.operator, Lexeme)
        prefixes.append(tree.operator)
        tree = tree.operand
    laid = tree if isinstance(tree, Laid) else _grouped(tree)
    for operator in reversed(prefixes):
        laid = _prefixed(operator, laid)
    for binary in reversed(spine):
        assert isinstance(binary.operator, Lexeme)
        laid = _combined(laid, binary.operator, _grouped(binary.right))
    return laid


def _prefixed(operator: Lexeme, operand: Laid) -> Laid:
    if operator.value == "@>":
        operand = _operand(operand, {"prefix"})
        space = " "
    else:  # two signs side by side would begin a comment
        space = "" if operator.type == "SIGN" and operand.shape == "primary" else " "
    doc = concat(operator.text, *_after(operator.after), space, *_before(operand.before), operand.doc)
    shape = "prefix" if operator.value == "@>" else "value"
    return Laid(operator, operand, doc, shape, before=operator.before, after=operand.after)


def _combined(left: Laid, operator: Lexeme, right: Laid) -> Laid:
    # Operators of steps get parentheses around mixed operands (`a & b | c` is written `(a & b) | c`), those of
    # values keep what is written: for + and * everybody knows which binds tighter.
    symbol = operator.value
    if symbol not in _LEFT:
        return _value(left, operator, right)
    left, right = _operand(left, _LEFT[symbol]), _operand(right, set())
    if symbol == "|=>":
        return _named(left, operator, right)
    operation = [*_before(operator.before), f"{operator.text} ", *_before(right.before), right.doc]
    doc = concat(left.doc, *_after(left.after), LINE, *operation)
    shape = {"?>": "half", "!>": "if"}.get(symbol, symbol)
    return Laid(left, right, doc, shape, before=left.before, after=right.after)


def _named(step: Laid, operator: Lexeme, name: Laid) -> Laid:
    """`step |=> 'name'`, always on one line where no comment is in it."""
    before = [*above(step.after), *operator.before]
    operation = [*_before(before), f"{operator.text} ", *_before(name.before), name.doc]
    plain = step.plain and name.plain and not before and not name.before
    doc = concat(step.doc, " ", *operation)
    return Laid(step, name, doc, "named", before=step.before, after=name.after, plain=plain)


def _value(left: Laid, operator: Lexeme, right: Laid) -> Laid:
    """`a || b`, `1 + 2`: a value, no steps."""
    breaks = operator.value == "||"
    before = operator.before if breaks else [*above(left.after), *operator.before]
    operation = [*_before(before), f"{operator.text} ", *_before(right.before), right.doc]
    doc = concat(left.doc, *(_after(left.after) if breaks else ()), LINE if breaks else " ", *operation)
    return Laid(left, right, doc, "value", before=left.before, after=right.after)


def _operand(laid: Laid, may_be_bare: set[str]) -> Laid:
    """An operand of an operator between steps: in parentheses if it must be, without if only one operand is in them."""
    if laid.inner is not None:
        return _unwrapped(laid) if laid.inner.shape == "primary" else laid
    if laid.shape in ("primary", "frozen") or laid.shape in may_be_bare:
        return laid
    doc = concat("(", laid.doc, ")") if laid.plain else Group(concat("(", Indent(concat(SOFT, laid.doc)), SOFT, ")"))
    return Laid(laid, laid, doc, before=laid.before, after=laid.after)


def document(lexemes: list[Lexeme]) -> Doc:
    """The document of one statement."""
    return _Statement(lexemes).doc()
