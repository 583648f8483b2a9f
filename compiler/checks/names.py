"""Checks of names: every `$name` needs a step that binds it, on every path, and every name a reader."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING

from pgweave.compiler.facts.flow import ANY_NAME
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Severity, finding, note, rated
from pgweave.grammar.reading.lexer import OP, PUNCT, STRING, lex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Read, Step
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic, Note
    from pgweave.grammar.reading.lexer import Token


def undefined_name(subject: Subject) -> Iterator[Diagnostic]:
    """PW201. A step reads `$x` and no step before it binds x, on any path.

    In SQL code such a `$x` is a syntax error for certain. In a string, a URL or a JSON body a dollar may mean itself
    (`'$min'` in a jsonpath, `?$filter=` in a URL), so there we speak up only when the name is nearly one that is known.
    A name that is a variable's has a finding of its own.
    """
    variables = subject.declared
    for read in subject.facts.flow.reads:
        name, tested = read.reference.name, isinstance(read.step.node, nodes.IfRows)
        if not read.undefined or (name in variables and not tested) or (tested and name.startswith(("$", "{"))):
            continue
        found = _undefined(subject, read)
        if found is not None:
            yield found


def _undefined(subject: Subject, read: Read) -> Diagnostic | None:
    reference = read.reference
    name = reference.name
    elsewhere = [binding for binding, _ in subject.facts.bindings.get(name, ())]
    tested = isinstance(read.step.node, nodes.IfRows)
    near = get_close_matches(name, [visible for visible in read.visible if visible != ANY_NAME], n=1)
    said = {"name": name, "sigil": "" if tested else "$"}
    if elsewhere:
        notes = tuple(note("PW201", binding.span, name=name) for binding in elsewhere[:3])
        return finding("PW201", reference.span, "elsewhere", notes=notes, values=said)
    if near:
        edits = subject.replace(reference.name_span, name, near[0])
        return finding("PW201", reference.span, "near", near=near[0], edits=edits, values=said)
    return None if reference.plain else finding("PW201", reference.span, values=said)


def maybe_unbound(subject: Subject) -> Iterator[Diagnostic]:
    """PW202. A name is bound on some of the paths that lead to its reader.

    An error where the first turn of a loop certainly comes without it; else a warning, for the person may know that the
    other paths never get here.
    """
    for read in subject.facts.flow.reads:
        binders = subject.facts.binders(read)
        if None not in read.binders or not binders or any(isinstance(one.node, nodes.Opaque) for one in binders):
            continue
        first_turn = read.first == frozenset({None})
        certain = first_turn and not read.reference.plain and not _guarded(subject.facts, read.step)
        variant = "first-turn" if first_turn else _missing(subject, read)
        name, tested = read.reference.name, isinstance(read.step.node, nodes.IfRows)
        found = finding(
            "PW202",
            read.reference.span,
            variant,
            name=name,
            sigil="" if tested else "$",
            notes=_bound("PW202", binders, name),
        )
        yield rated(found, Severity.ERROR) if certain else found


def _guarded(facts: Facts, step: Step) -> bool:
    """Whether a choice or race inside the loop decides whether `step` runs."""
    for outer in facts.around(step):
        match outer.node:
            case nodes.Loop():
                return False
            case nodes.If() if outer.children[2] is step:
                step = outer
            case nodes.If() | nodes.IfRows() | nodes.Race():
                return True
            case _:
                step = outer
    return False


def _missing(subject: Subject, read: Read) -> str:
    """Variant of PW202: when the name is missing, by what stands around the step that binds it."""
    here = {read.step, *subject.facts.around(read.step)}
    for binder in subject.facts.binders(read):
        for outer in subject.facts.around(binder):
            if outer in here:
                break
            match outer.node:
                case nodes.If() | nodes.IfRows():
                    return "other-branch"
                case nodes.Race():
                    return "other-wins"
                case nodes.Loop():
                    return "loop-left"
                case _:
                    pass
    return ""


def shadowed_name(subject: Subject) -> Iterator[Diagnostic]:
    """PW210. A name that is lost: replaced on its own step, by a later step before anybody read it, or in a JOIN."""
    yield from _named_twice(subject)
    facts = subject.facts
    for name, bound in facts.bindings.items():
        if len(bound) < 2:
            continue
        for (first, lost), (second, last) in pairwise(bound):
            meeting = _meeting(facts, lost, last)
            notes = (note("PW210", first.span),)
            # One after the other, and nobody reads the first before it is lost.
            if isinstance(meeting.node, nodes.Then) and not facts.readers.get(lost):
                yield finding("PW210", second.span, name=name, notes=notes)
            elif isinstance(meeting.node, nodes.Join) and _read_outside(facts, meeting, last):
                yield finding("PW210", second.span, "join", name=name, notes=notes)


def _meeting(facts: Facts, one: Step, other: Step) -> Step:
    """The innermost step around both; one of them, if it stands around the other."""
    outer = {one, *facts.around(one)}
    return other if other in outer else next(step for step in facts.around(other) if step in outer)


def _read_outside(facts: Facts, join: Step, binder: Step) -> bool:
    return any(join not in facts.around(read.step) for read in facts.readers.get(binder, ()))


def _named_twice(subject: Subject) -> Iterator[Diagnostic]:
    """`step |=> 'a' |=> 'b'`: the tree has kept the second name only, so the text is asked."""
    for step in subject.facts.root.walk():
        binding = step.node.binding
        if binding is None or binding.operator is None or binding.target is None:
            continue
        target = subject.written(binding.target)
        # The tail first: lexing the whole left side of every name would cost the square of a long chain.
        lost = _last_name(target) if _ENDS_NAMED.search(target[-_TAIL:]) else None
        if lost is not None:
            yield finding("PW210", binding.span, "two-names", name=lost)


_ENDS_NAMED = re.compile(r"\|=>\s*'[A-Za-z0-9_]+'[()\s]*\Z")
_TAIL = 200  # characters; a name and its operator are shorter


def _last_name(text: str) -> str | None:
    """The name that a step is given last, its parentheses taken off; None when it ends with something else."""
    tokens = lex(text).tokens
    while tokens and tokens[0].value == "(" and _partner(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    named = len(tokens) > 2 and tokens[-1].kind == STRING and (tokens[-2].kind, tokens[-2].value) == (OP, "|=>")
    return tokens[-1].value if named else None


def _partner(tokens: list[Token]) -> int:
    """Place of the bracket that closes the first one; -1 if none does."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == PUNCT:
            depth += (token.value in "([") - (token.value in ")]")
            if depth == 0:
                return at
    return -1


def unused_result(subject: Subject) -> Iterator[Diagnostic]:
    """PW211. A result is named and no later step reads it.

    The last step's name tells people what the workflow comes to, and a request or a timed wait that nobody looks at has
    a finding of its own. A step inside a loop counts as later than itself: the next turn may read it.
    """
    facts = subject.facts
    if any(read.undefined for read in facts.flow.reads) or any(True for _ in facts.of(nodes.Opaque)):
        return  # who knows whom they were to read
    for name, bound in facts.bindings.items():
        read_somewhere = any(facts.readers.get(step) for _, step in bound)  # then the last of them counts: PW210
        for binding, step in bound:
            if facts.readers.get(step) or not facts.followed(step) or step in facts.flow.endless:
                continue
            if not _has_its_own(step) and not read_somewhere:
                yield finding("PW211", binding.span, name=name)


def _has_its_own(step: Step) -> bool:
    match step.node:
        case nodes.Http() | nodes.HttpMultipart():
            return True
        case nodes.Signal(timeout_seconds=limit):
            return limit is not None
        case _:
            return False


def forgotten_name(subject: Subject) -> Iterator[Diagnostic]:
    """PW217. A name that is kept here and not on pg_durable: of a pause, or by a loop that is the whole workflow."""
    if not subject.portable:
        return
    facts = subject.facts
    whole = isinstance(facts.root.node, nodes.Loop)
    for read in facts.flow.reads:
        name, span = read.reference.name, read.reference.span
        binders = facts.binders(read)
        pauses = [one for one in binders if isinstance(one.node, nodes.Sleep | nodes.WaitSchedule)]
        if pauses:
            call = "df.sleep" if isinstance(pauses[0].node, nodes.Sleep) else "df.wait_for_schedule"
            yield finding("PW217", span, call=call, name=name, notes=_bound("PW217", pauses, name))
        elif whole and (earlier := [one for one in binders if one not in read.first]):
            yield finding("PW217", span, "loop", name=name, notes=_bound("PW217", earlier, name))


def _bound(code: str, steps: list[Step], name: str) -> tuple[Note, ...]:
    bindings = [step.node.binding for step in steps[:3]]
    return tuple(note(code, binding.span, name=name) for binding in bindings if binding is not None)
