"""Checks of grouping: PostgreSQL gives all these operators one level, and groups from the left.

The documentation of the reference promises six levels. Where the two readings differ and nobody wrote parentheses, one
of them is wrong: the person's or the machine's. Rows of operators and both their readings come from `written`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.compiler.facts import written
from pgweave.compiler.facts.outcomes import Form
from pgweave.grammar import nodes
from pgweave.grammar.diagnostics import Edit, finding
from pgweave.grammar.kinds import MAX_DEPTH
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.definition_facts import Facts
    from pgweave.compiler.facts.flow import Step
    from pgweave.compiler.facts.written import Row, Tree
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic

DEEP = 200  # levels from which on it is worth a remark; the limit is MAX_DEPTH
_LONGEST = 100  # characters of both readings together; longer ones are written with letters for the steps


def mixed_operators(subject: Subject) -> Iterator[Diagnostic]:
    """PW101. A row that the documentation of the reference reads otherwise than PostgreSQL does.

    Not where a more telling finding speaks of it: a loop that repeats too little, an else-if chain.
    """
    for row in subject.facts.operator_rows:
        if _swallowing(subject.facts, row) or _else_ifs(row):
            continue
        actual, likely = _smallest(written.actual(row), written.documented(row))
        if actual == likely:
            continue
        said, meant = _in_words(subject, row, actual, likely)
        edits = subject.parenthesised(_mixed(row))
        yield finding("PW101", row.span, actual=said, likely=meant, edits=edits, safe=True)


def loop_prefix_swallow(subject: Subject) -> Iterator[Diagnostic]:
    """PW102. `@> a ~> b` repeats a only, and b is never reached. Not where a may leave the loop."""
    for row in subject.facts.operator_rows:
        for at in _swallowing(subject.facts, row):
            loop = row.operands[at].step
            assert loop is not None
            # The parentheses that were meant: @> (a ~> b).
            everything = Span(loop.node.body.outer.start, row.span.end)  # type: ignore[union-attr]
            edits = subject.parenthesised([everything])
            yield finding("PW102", row.operands[at].span, body=subject.brief(everything), edits=edits)


def else_if_chain(subject: Subject) -> Iterator[Diagnostic]:
    """PW103. `c ?> t !> d ?> u !> e` is read as `(c ?> t !> d) ?> u !> e`."""
    for row in subject.facts.operator_rows:
        places = _else_ifs(row)
        if not places:
            continue
        # c ?> t !> (d ?> u !> e): each else branch opens one, and all close at the end of the last.
        starts = [row.operands[at + 1].span.start for at in places]
        end = row.operands[places[-1] + 3].span.end
        opening = [Edit(Span(start, start), "(") for start in starts]
        edits = [*opening, Edit(Span(end, end), ")" * len(opening))]
        yield finding("PW103", row.left_span(places[0] + 1), rest=subject.brief(Span(starts[0], end)), edits=edits)


def composite_condition(subject: Subject) -> Iterator[Diagnostic]:
    """PW105. A condition that is always true, as any object or array is; or one that is more than it looks like.

    A sequence or race in parentheses is meant as it stands: its result is the last step's, or the winner's.
    """
    for step in subject.facts.of(nodes.If, nodes.Loop):
        condition = _condition(step)
        if condition is None:
            continue
        results = subject.facts.results(condition)
        if results and all(result.form in (Form.ARRAY, Form.OBJECT) for result in results):
            yield finding("PW105", condition.node.outer, results[0].form.value)
        elif _bare_composite(step, condition):
            variant = "sequence" if isinstance(condition.node, nodes.Then) else "race"
            span = condition.node.span
            yield finding("PW105", span, variant, edits=subject.parenthesised([span]), safe=True)


def deep_chain(subject: Subject) -> Iterator[Diagnostic]:
    """PW107. A definition that comes near the limit of nesting."""
    if subject.facts.depth >= DEEP:
        span = subject.facts.root.node.span
        yield finding("PW107", Span(span.start, span.start + 1), depth=subject.facts.depth, limit=MAX_DEPTH)


def timeout_tail(subject: Subject) -> Iterator[Diagnostic]:
    """PW309. `a | df.sleep(60) ~> x`: x was meant for the case that time is up, and runs in any case."""
    for row in subject.facts.operator_rows:
        for at in range(1, len(row.operators)):
            timer = row.operands[at].step
            # a | df.sleep(60) ~> x groups as (a | df.sleep(60)) ~> x.
            if row.operators[at - 1 : at + 1] != ("|", "~>") or timer is None:
                continue
            if not isinstance(timer.node, nodes.Sleep | nodes.WaitSchedule):
                continue
            end = at + 1
            while end < len(row.operators) and row.operators[end] == "~>":
                end += 1
            tail = row.operands[at].span | row.operands[end].span
            edits = subject.parenthesised([tail])
            race, wait = subject.brief(row.left_span(at)), subject.brief(row.operands[at].span)
            yield finding("PW309", row.operands[at + 1].span, race=race, wait=wait, edits=edits)


def _condition(step: Step) -> Step | None:
    match step.node:
        case nodes.If():
            return step.children[2]
        case nodes.Loop() if step.node.condition is not None:
            return step.children[1]
        case _:
            return None


def _bare_composite(step: Step, condition: Step) -> bool:
    """Whether several steps without parentheses are the condition of a `?>`; not an argument of a call."""
    node = condition.node
    if (
        not isinstance(step.node, nodes.If)
        or step.node.operator is None
        or not isinstance(node, nodes.Then | nodes.Race)
    ):
        return False
    named = node.binding is not None and (node.binding.grouped or node.binding.operator is None)
    return node.parens is None and node.operator is not None and not named


def swallowing(facts: Facts, row: Row) -> Iterator[Step]:
    """The loops of a row that repeat less than they seem to."""
    for at in _swallowing(facts, row):
        loop = row.operands[at].step
        if loop is not None:
            yield loop


def _swallowing(facts: Facts, row: Row) -> tuple[int, ...]:
    """Operands that are a bare loop without an end, with something behind it that therefore never runs.

    Not before `|`: whichever branch of a race wins, the loop ends with it.
    """
    return tuple(
        at
        for at, symbol in enumerate(row.operators)
        if row.operands[at].loop and symbol not in ("|", "!>") and not facts.ends(row.lefts[at])
    )


def _else_ifs(row: Row) -> tuple[int, ...]:
    """Operators `!>` behind whose operand a `?>` follows: there an else-if was meant."""
    pairs = zip(row.operators, row.operators[1:], strict=False)
    return tuple(at for at, pair in enumerate(pairs) if pair == ("!>", "?>"))


def _mixed(row: Row) -> list[Span]:
    """What has to be in parentheses so that a row says what it does: loops, and each left operand of another symbol."""
    spans = [operand.span for operand in row.operands[:-1] if operand.loop]
    for at in range(1, len(row.operators)):
        symbol, before = row.operators[at], row.operators[at - 1]
        if symbol == "!>" or before == "?>":
            continue
        # 'a' |=> 'x' ~> 'b' needs no parentheses: everybody reads it as PostgreSQL does.
        named_first = at == 1 and before == "|=>" and not row.operands[0].loop
        if symbol != before and not named_first:
            spans.append(row.left_span(at))
    return spans


def _smallest(actual: Tree, likely: Tree) -> tuple[Tree, Tree]:
    """The smallest parts in which two readings of a row differ."""
    while isinstance(actual, tuple) and isinstance(likely, tuple):
        if actual[0] != likely[0] or len(actual) != len(likely):
            break
        different = [pair for pair in zip(actual[1:], likely[1:], strict=True) if pair[0] != pair[1]]
        # Two parts that differ: this level is where the readings part.
        if len(different) != 1:
            break
        actual, likely = different[0]
    return actual, likely


def _in_words(subject: Subject, row: Row, actual: Tree, likely: Tree) -> tuple[str, str]:
    """Both readings in the person's own words, or with letters where those are too long."""
    words = [subject.brief(operand.span) for operand in row.operands]
    for at, operand in enumerate(row.operands):
        if operand.loop and operand.step is not None:
            words[at] = subject.brief(operand.step.node.body.outer)  # type: ignore[union-attr]
    found = _text(actual, words), _text(likely, words)
    if sum(map(len, found)) <= _LONGEST:
        return found
    long = [at for at in sorted({*_places(actual), *_places(likely)}) if row.operands[at].step is not None]
    # Names stay as they are, since they are short and say which step is meant.
    letters = {at: chr(ord("a") + number % 26) for number, at in enumerate(long)}
    short = [letters.get(at, word) for at, word in enumerate(words)]
    return _text(actual, short), _text(likely, short)


def _places(tree: Tree) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    else:
        for part in tree[1:]:
            yield from _places(part)


def _text(tree: Tree, words: list[str]) -> str:
    def inner(part: Tree) -> str:
        text = _text(part, words)
        return text if isinstance(part, int) else f"({text})"

    if isinstance(tree, int):
        return words[tree]
    symbol, *parts = tree
    match symbol:
        case "@>":
            return f"@> {inner(parts[0])}"
        case "if":
            condition, yes, no = map(inner, parts)
            return f"{condition} ?> {yes} !> {no}"
        case _:
            left, right = map(inner, parts)
            return f"{left} {symbol} {right}"
