"""Checks of requests: which method, and whether anybody looks at the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, finding
from pgweave.grammar.reading.lexer import PUNCT, STRING, WORD, lex
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.reading.lexer import Token


def default_post(subject: Subject) -> Iterator[Diagnostic]:
    """PW405. `df.http(url)` and no word about the method: it posts nothing to somewhere, and perhaps GET was meant."""
    for step in subject.facts.of(nodes.Http):
        node = step.node
        if not isinstance(node, nodes.Http) or node.method != "POST" or node.body is not None:
            continue
        arguments = _arguments(subject.written(node.span))
        if len(arguments) < 1 or "method" in arguments or arguments[:2].count(None) > 1:
            continue
        yield finding("PW405", subject.call_name(node), edits=_with_method(subject, node), safe=True)


def _with_method(subject: Subject, node: nodes.Http) -> tuple[Edit, ...]:
    """State what is the case: `'POST'` behind the URL, where the URL is a plain literal that comes first."""
    url = subject.written(node.url.span)
    tokens = lex(url).tokens
    before = subject.written(Span(node.span.start, node.url.span.start))
    # Behind a named URL no position is left for the method.
    if len(tokens) != 1 or tokens[0].kind != STRING or not before.rstrip().endswith("("):
        return ()
    return (Edit(Span(node.url.span.end, node.url.span.end), ", 'POST'"),)


def _arguments(call: str) -> list[str | None]:
    """Names of a call's arguments, None for one without; empty when the text is no call."""
    tokens = lex(call).tokens
    opening = next((at for at, token in enumerate(tokens) if token.value == "("), None)
    if opening is None or [token.value for token in tokens[:3]] != ["df", ".", "http"]:
        return []
    depth, names, first = 0, list[str | None](), True
    for at in range(opening, len(tokens)):
        token = tokens[at]
        if token.kind == PUNCT and token.value in ")]":
            depth -= 1
            if depth == 0:
                break
        if depth == 1 and first:
            names.append(_name(tokens, at))
        # `first`: the next token begins an argument of this call, and not of one within it.
        first = depth == 1 and token.value == "," and token.kind == PUNCT
        if token.kind == PUNCT and token.value in "([":
            depth += 1
            first = depth == 1
    return names


def _name(tokens: list[Token], at: int) -> str | None:
    named = tokens[at].kind == WORD and at + 1 < len(tokens) and tokens[at + 1].value in ("=>", ":=")
    return tokens[at].value if named else None


_TELLING = frozenset({"ok", "status"})


def unchecked(subject: Subject) -> Iterator[Diagnostic]:
    """PW406. Steps follow a request, and none of them asks whether it was answered well. The last step's answer is seen."""
    facts = subject.facts
    for step in facts.of(nodes.Http, nodes.HttpMultipart):
        if not facts.followed(step) or facts.decides(step):
            continue
        placeholders = [read.reference.placeholder for read in facts.looks_at(step)]
        if any(one is None or one.column is None or one.column in _TELLING for one in placeholders):
            continue
        binding = step.node.binding
        if binding:
            yield finding("PW406", subject.call_name(step.node), name=binding.name)
        else:
            yield finding("PW406", subject.call_name(step.node), "unnamed")


def body_of_a_get(subject: Subject) -> Iterator[Diagnostic]:
    """PW408. A GET with a body: it is sent, and what the server makes of it nobody has agreed on (RFC 9110, 9.3.1)."""
    for step in subject.facts.of(nodes.Http):
        node = step.node
        if isinstance(node, nodes.Http) and node.method == "GET" and node.body is not None:
            yield finding("PW408", node.body.span)
