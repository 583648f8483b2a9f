"""What an editor asks about a place in a text: what it is, what may stand there, where it comes from, who uses it.

One text in, answers out, as offsets, spans and Markdown; no protocol, no files. The text may be half-written: where it
does not parse, what stands before a place is read as if the text ended there, for names come from before. Renaming needs
the whole of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pgweave.compiler.facts import flow, reads
from pgweave.compiler.facts.definition_facts import Facts
from pgweave.compiler.manual import MANUAL, OPERATORS, OPTIONS, Entry
from pgweave.compiler.pictures import step_words
from pgweave.grammar import nodes
from pgweave.grammar.kinds import CALLS
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.lexer import ERROR, OP, PUNCT, STRING, WORD, lex
from pgweave.grammar.span import Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgweave.compiler.facts.flow import Step
    from pgweave.grammar.diagnostics import Edit
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.reading.lexer import Token

# A name that nobody uses: put in for what is being typed, it makes the text complete and shows which step the
# place is in.
_PROBE = "pgweave_probe"
_COLUMN = re.compile(r"\$([A-Za-z_]\w*)\.(\w*)\Z", re.ASCII)
_DOLLAR = re.compile(r"\$(\w*)\Z", re.ASCII)
_BRACE = re.compile(r"\{(\w*)\Z", re.ASCII)
_VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)
_CALL = re.compile(r"(?<![\w.])(?:df\.)?(\w*)\Z", re.ASCII)
_VALUE = re.compile(r'"(\w+)"\s*:\s*"(\w*)\Z')
_KEY = re.compile(r'"(\w*)\Z')
_BOUND = re.compile(r"\|=>\s*'([A-Za-z_]\w*)'", re.ASCII)


class CannotRename(ValueError):
    """A name that cannot be changed, or not to that; the message says why."""


@dataclass(frozen=True, slots=True)
class Hover:
    """What there is to say about a place, as Markdown."""

    span: Span
    markdown: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that may stand at a place. kind: call, name, column, option, value, variable or argument.

    span: what it takes the place of; may be empty.
    """

    label: str
    kind: str
    span: Span
    detail: str = ""
    documentation: str = ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A workflow or a named step, for an outline."""

    name: str
    detail: str
    span: Span
    children: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True)
class _Use:
    """One place where a name is bound or read. scope: the root of the instance that it belongs to."""

    name: str
    scope: Step
    step: Step
    span: Span  # of the name alone
    whole: Span  # of the literal or the placeholder
    binds: bool


class Assistant:
    """Answers about one text. Cheap to make: everything is found out when it is first asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def module(self) -> Module:
        """What can be read of the text."""
        return parse(self.source).module

    @cached_property
    def facts(self) -> tuple[Facts, ...]:
        """What is known about each of them."""
        return tuple(map(Facts, self.module.definitions))

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The text as tokens, whether it parses or not."""
        return tuple(lex(self.source.text).tokens)

    # Names

    def use_at(self, offset: int, *, partly: bool = False) -> tuple[Facts, _Use] | None:
        """The name at a place. partly: also where the text around it cannot be read as a whole."""
        found = _use_in(self.facts, offset)
        if found is not None or not partly or self.is_read(offset):
            return found
        token = self.token_at(offset)
        # Lazily: the first cut that can be read is taken.
        modules = (self._parsed(text) for text in _cut_off(self.source.text, token.end if token else offset))
        return next((use for module in modules if (use := _use_in(map(Facts, module.definitions), offset))), None)

    def is_read(self, offset: int) -> bool:
        """Whether a place lies in a workflow that can be read."""
        return any(one.span.start <= offset <= one.span.end for one in self.module.definitions)

    def _parsed(self, text: str) -> Module:
        return parse(Source(self.source.name, text)).module

    def definition(self, offset: int) -> tuple[Span, ...]:
        """Where the name at a place is bound: every step that may have bound it last."""
        found = self.use_at(offset, partly=True)
        if found is None:
            return ()
        facts, use = found
        if use.binds:
            return (use.span,)
        binders = self._binders(facts, use)
        return tuple(step.node.binding.span for step in binders if step.node.binding)

    def occurrences(self, offset: int) -> tuple[Span, ...]:
        """Every place of the name at a place, in the order of the text: in its instance, for a child's names are its own."""
        found = self.use_at(offset)
        if found is None:
            return ()
        facts, wanted = found
        return tuple(sorted({use.span for use in uses(facts.root) if _same(use, wanted)}))

    def rename(self, offset: int, name: str) -> tuple[Edit, ...]:
        """Edits that give the name at a place another name, wherever it is bound and read. CannotRename when not."""
        from pgweave.grammar.editing import edits  # lazy: start-up, only a rename edits

        found = self.use_at(offset)
        if found is None:
            raise CannotRename("There is no name here: put the cursor on `$name` or on the name behind `|=>`.")
        facts, wanted = found
        binder = next((use.step for use in uses(facts.root) if use.binds and _same(use, wanted)), None)
        if binder is None:
            raise CannotRename(f"No step binds {wanted.name}: there is nothing to rename.")
        try:
            return tuple(edits.rename(edits.place_of(self.module, binder.node), name))
        except edits.EditError as refusal:
            raise CannotRename(str(refusal)) from refusal

    def _binders(self, facts: Facts, use: _Use) -> list[Step]:
        for read in facts.flow.reads:
            if read.step is use.step and read.reference.name == use.name:
                return sorted((step for step in read.binders if step), key=lambda step: step.position)
        return []

    # Hover

    def hover(self, offset: int) -> Hover | None:
        """What a name is bound to; what a call or an operator means."""
        found = self.use_at(offset, partly=True)
        if found is not None:
            return Hover(found[1].whole, self._about(*found))
        token = self.token_at(offset)
        if token is None:
            return None
        if token.kind == STRING:
            return self._about_variable(token, offset)
        if token.kind == OP and token.value in OPERATORS:
            return Hover(token.span, manual_page(token.value, OPERATORS[token.value]))
        index = self.tokens.index(token)
        # index: the cursor is on `sleep` of df.sleep; index + 2: it is on `df`.
        call = self._call_name(index) or self._call_name(index + 2)
        if token.kind == WORD and call in MANUAL:
            return Hover(token.span, manual_page(f"df.{call}", MANUAL[call]))
        return None

    def _about_variable(self, token: Token, offset: int) -> Hover | None:
        """What `{name}` stands for, where the text says it."""
        for place in _VARIABLE.finditer(self.source.text, token.start, token.end):
            given = [variable for variable in self.module.variables if variable.name == place[1]]
            if place.start() <= offset <= place.end() and given:
                line = self.source.location(given[-1].span.start).line
                value = "a value that only the database knows" if given[-1].value is None else f"`{given[-1].value}`"
                return Hover(Span(*place.span()), f"**{place[0]}**\n\nLine {line}: {value}, put in as raw text")
        return None

    def _about(self, facts: Facts, use: _Use) -> str:
        if use.binds:
            count = sum(
                other.name == use.name and not other.binds and other.scope is use.scope for other in uses(facts.root)
            )
            lines = [f"**{use.name}**: {step_words.describe(use.step.node).label}"]
            if self.is_read(use.span.start):
                lines.append(f"Read in {count} place{'s' * (count != 1)}.")
            return "\n\n".join([*lines, *self._columns(facts, [use.step])])
        binders = self._binders(facts, use)
        if not binders:
            return f"**${use.name}**: no step binds this name before."
        lines = [f"**${use.name}**"]
        for step in binders:
            line = self.source.location(step.node.span.start).line
            lines.append(f"Line {line}: {step_words.describe(step.node).label}")
            if isinstance(step.node, nodes.Sql):
                lines.append(f"```sql\n{step.node.query.value.strip()}\n```")
        return "\n\n".join([*lines, *self._columns(facts, binders)])

    def _columns(self, facts: Facts, binders: Iterable[Step]) -> list[str]:
        names = column_names(facts, binders)
        return [f"Columns: {', '.join(f'`{name}`' for name in names)}"] if names else []

    # Completion

    def complete(self, offset: int) -> list[Suggestion]:
        """What may stand at a place, best first."""
        before = self.source.text[:offset]
        token = self.token_at(offset)
        if token is None or offset <= token.start or not self._is_inside_quotes(token, offset):
            return self._complete_code(before, offset)
        inside = before[token.start :]
        call, argument = self._enclosing_call(token)
        if call == "call_child" and argument == "options":
            return list(_complete_options(inside, offset))
        if call == "if_rows" and argument == "result_name":
            # df.if_rows('tot|: the name is bare there, without a dollar.
            return list(self._names(offset, len(inside.lstrip("'"))))
        if found := _COLUMN.search(inside):
            return list(self._column_suggestions(offset, found[1], len(found[2])))
        if found := _DOLLAR.search(inside):
            return list(self._names(offset, len(found[1])))
        if found := _BRACE.search(inside):
            span = Span(offset - len(found[1]), offset)
            names = {variable.name for variable in self.module.variables}
            return [Suggestion(name, "variable", span) for name in sorted(names)]
        return []

    def _is_inside_quotes(self, token: Token, offset: int) -> bool:
        if token.kind == ERROR:  # a quote that is not closed yet
            return _QUOTE.match(self.source.text, token.start) is not None
        return token.kind == STRING and (offset < token.end or len(token.span) == 1)

    def _complete_code(self, before: str, offset: int) -> list[Suggestion]:
        found = _CALL.search(before)
        # Behind any other dot, `t.|`, columns would be wanted, which nobody knows here.
        if found is None or (not found[0] and before[-1:] == "."):
            return []
        span = Span(offset - len(found[0]), offset)
        calls = [
            Suggestion(f"df.{name}", "call", span, entry.call.signature() if entry.call else "", entry.says)
            for name, entry in MANUAL.items()
        ]
        call, _ = self._enclosing_call(offset)
        arguments = CALLS[call].params if call in CALLS else ()
        named = [
            Suggestion(f"{param.name} =>", "argument", span, param.type.value)
            for param in arguments
            if "." not in found[0]
        ]
        return [*calls, *named]

    def _names(self, offset: int, typed: int) -> Iterator[Suggestion]:
        """Names that are bound before the step at a place; all of the text where that step cannot be read."""
        span = Span(offset - typed, offset)
        known = self._known(span)
        if known is None:
            for name in dict.fromkeys(_BOUND.findall(self.source.text)):
                yield Suggestion(name, "name", span)
            return
        for name, binders in sorted(known[1].items()):
            if name == flow.ANY_NAME:
                continue
            steps = sorted((step for step in binders if step), key=lambda step: step.position)
            detail = "; ".join(step_words.describe(step.node).label for step in steps)
            columns = ", ".join(column_names(known[0], steps) or ())
            yield Suggestion(name, "name", span, detail, f"Columns: {columns}" if columns else "")

    def _column_suggestions(self, offset: int, name: str, typed: int) -> Iterator[Suggestion]:
        span = Span(offset - typed, offset)
        known = self._known(Span(offset - typed - 1 - len(name), offset))
        binders = [] if known is None else [step for step in known[1].get(name, ()) if step]
        if known is not None:
            for column in column_names(known[0], binders) or ():
                yield Suggestion(column, "column", span)
        yield Suggestion("*", "column", span, "all rows, as a table")

    def _known(self, typed: Span) -> tuple[Facts, Mapping[str, frozenset[Step | None]]] | None:
        """Names at a place of the text, read with one of our names in place of what was typed; None: it cannot be read."""
        text = self.source.text[: typed.start] + _PROBE + self.source.text[typed.end :]
        for whole in (text, *_cut_off(text, typed.start + len(_PROBE))):
            for definition in self._parsed(whole).definitions:
                # The other workflows of the text do not have the place in them.
                if _PROBE in definition.span.of(whole):
                    facts = Facts(definition)
                    for use in uses(facts.root):
                        if use.name.startswith(_PROBE):
                            return facts, flow.names_before(facts.root, use.step)
        return None

    # Outline

    def symbols(self) -> tuple[Symbol, ...]:
        """Workflows, and in each the steps that have names."""
        return tuple(
            Symbol(
                facts.definition.name,
                "",
                facts.definition.span,
                tuple(
                    Symbol(step.node.binding.name, step_words.describe(step.node).label, step.node.span)
                    for step in facts.root.walk()
                    if step.node.binding
                ),
            )
            for facts in self.facts
        )

    # Tokens

    def token_at(self, offset: int) -> Token | None:
        """The token that a place lies in or directly behind."""
        found = None
        for token in self.tokens:
            if token.start <= offset <= token.end and token.start != token.end:
                found = token
                if offset < token.end:
                    break
        return found

    def _call_name(self, index: int) -> str | None:
        """`sleep`, when the token is the last of `df.sleep`."""
        if not 2 <= index < len(self.tokens):
            return None
        schema, dot, name = self.tokens[index - 2 : index + 1]
        return name.value.lower() if (schema.value.lower(), dot.value, name.kind) == ("df", ".", WORD) else None

    def _enclosing_call(self, place: Token | int) -> tuple[str | None, str | None]:
        """The df call around a place, and which of its arguments that is."""
        offset = place if isinstance(place, int) else place.start
        depth = commas = 0
        named: str | None = None
        for index in range(len(self.tokens) - 1, -1, -1):
            token = self.tokens[index]
            if token.end > offset or token.kind == STRING:
                continue
            if token.value in (")", "]"):
                depth += 1
            elif token.value in ("(", "[") and depth:
                depth -= 1
            elif token.value in ("(", "["):
                call = self._call_name(index - 1)
                return call, named or _parameter(call, commas)
            elif depth == 0 and token.value == ",":
                commas += 1
            elif depth == 0 and commas == 0 and token.value in ("=>", ":=") and index and named is None:
                named = self.tokens[index - 1].value
        return None, None


def _parameter(call: str | None, position: int) -> str | None:
    """Name of a call's argument by its place from 0; None for another function, or beyond its last."""
    params = CALLS[call].params if call in CALLS else ()
    return params[position].name if position < len(params) else None


def _use_in(many: Iterable[Facts], offset: int) -> tuple[Facts, _Use] | None:
    """The name at a place, in one of these workflows."""
    for facts in many:
        if facts.definition.span.start <= offset <= facts.definition.span.end:
            for use in uses(facts.root):
                if use.whole.start <= offset <= use.whole.end:
                    return facts, use
    return None


_QUOTE = re.compile(r"[eEnNuU]?&?'|\$\w*\$")
_CLOSERS = {"(": ")", "[": "]"}


def _open_brackets(tokens: Iterable[Token]) -> list[str]:
    """What closes the brackets that are open behind these tokens, outermost first: of `f(a[` it is `)`, `]`."""
    opened: list[str] = []
    for token in tokens:
        if token.kind == PUNCT and token.value in _CLOSERS:
            opened.append(_CLOSERS[token.value])
        elif token.kind == PUNCT and opened and token.value == opened[-1]:
            opened.pop()
        elif token.kind == PUNCT and token.value == ";":
            opened.clear()
    return opened


def _cut_off(text: str, end: int) -> Iterator[str]:
    """A text as if it ended here, with what is open closed: a quote, brackets, and a choice that has no `!>` yet."""
    before = text[:end]
    tokens = lex(before).tokens
    opened = _open_brackets(tokens)
    if tokens and tokens[-1].end == end:
        quote = _QUOTE.match(before, tokens[-1].start)
        closing = "'" if quote and quote.group().endswith("'") else quote.group() if quote else ""
        if closing and (tokens[-1].kind == ERROR or not before[quote.end() if quote else end :].endswith(closing)):
            before += closing
    yield before + "".join(reversed(opened))
    yield before + " !> 'SELECT'" + "".join(reversed(opened))
    yield before + "".join(f" !> 'SELECT'{closer}" for closer in reversed(opened))


def uses(root: Step) -> Iterator[_Use]:
    """Every place where a name is bound or read, in the order of the rows. A called child has names of its own."""
    pending = [(root, root)]
    while pending:
        step, scope = pending.pop()
        binding = step.node.binding
        if binding is not None:
            inner = Span(binding.span.start + 1, binding.span.end - 1)
            name_span = inner if len(inner) == len(binding.name) else binding.span
            yield _Use(binding.name, scope, step, name_span, binding.span, binds=True)
        for reference in reads.references(step.node):
            yield _Use(reference.name, scope, step, reference.name_span, reference.span, binds=False)
        below = isinstance(step.node, nodes.CallChild)
        pending += [(child, child if below else scope) for child in reversed(step.children)]


def _same(one: _Use, other: _Use) -> bool:
    return one.name == other.name and one.scope is other.scope


def column_names(facts: Facts, binders: Iterable[Step]) -> tuple[str, ...] | None:
    """Columns that every one of these steps may give; None when they are not known, or there are none in common."""
    found = [result.names for step in binders for result in facts.results(step)]
    if not found or None in found:
        return None
    first, *others = [names for names in found if names is not None]
    return tuple(name for name in first if all(name in names for names in others)) or None


def _complete_options(inside: str, offset: int) -> Iterator[Suggestion]:
    """Keys of df.call_child's options, and their values."""
    if value := _VALUE.search(inside):
        for choice in OPTIONS.get(value[1], ("", ()))[1]:
            yield Suggestion(choice, "value", Span(offset - len(value[2]), offset))
        return
    if key := _KEY.search(inside):
        for name, (says, _) in OPTIONS.items():
            yield Suggestion(name, "option", Span(offset - len(key[1]), offset), "", says)


def manual_page(title: str, entry: Entry) -> str:
    """One entry of the manual as Markdown."""
    signature = [f"```sql\n{entry.call.signature()}\n```"] if entry.call else []
    return "\n\n".join([f"**{title}**", *signature, entry.says, f"```sql\n{entry.example}\n```"])
