"""Checks of waits: what a signal brings, what happens when none comes, and what a schedule means where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.compiler.checks.results import column_span, path_behind, with_path
from pgweave.compiler.facts.outcomes import SIGNAL
from pgweave.compiler.facts.reads import Slot
from pgweave.grammar import durations, nodes
from pgweave.grammar.diagnostics import finding
from pgweave.grammar.meaning import cron_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.compiler.facts.flow import Read
    from pgweave.compiler.subject import Subject
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Text

_ENVELOPE = frozenset(column.name for column in SIGNAL)


def signal_timeout_unchecked(subject: Subject) -> Iterator[Diagnostic]:
    """PW401. A timed wait for a signal, and nothing looks at what came of it.

    Not for the last step, whose result people see; not for an unnamed wait in a loop, which is a sleep that a signal
    cuts short.
    """
    facts = subject.facts
    for step in facts.of(nodes.Signal):
        node = step.node
        if not isinstance(node, nodes.Signal) or node.timeout_seconds is None or not facts.followed(step):
            continue
        looped = any(isinstance(outer.node, nodes.Loop) for outer in facts.around(step))
        # As a condition its result is looked at too, if wrongly: an object is always true (PW105).
        if facts.looks_at(step) or facts.decides(step) or (looped and node.binding is None):
            continue
        limit, span = durations.exact(node.timeout_seconds), subject.call_name(node)
        if node.binding:
            yield finding("PW401", span, limit=limit, name=node.binding.name)
        else:
            yield finding("PW401", span, "unnamed", limit=limit)


# $s::jsonb->>'k', ($s)::json->'k', $s::jsonb #>> '{k,0}'
_KEY = re.compile(r"\)*\s*(?:::\s*jsonb?\s*\)*\s*)?(?P<operator>->>?|#>>?)\s*'(?P<brace>\{?)\s*(?P<key>[^',}]*)")


def signal_payload(subject: Subject) -> Iterator[Diagnostic]:
    """PW402. `$s::jsonb->>'k'`, `$s.k` or `$s.data.k` of a signal: what was sent is the JSON under `data`."""
    for read, results in subject.facts.readings:
        if not results or not all(isinstance(result.step.node, nodes.Signal) for result in results):
            continue
        found = _payload(subject, read)
        if found is not None:
            yield found


def _payload(subject: Subject, read: Read) -> Diagnostic | None:
    reference, placeholder, text = read.reference, read.reference.placeholder, read.reference.text
    if placeholder is None or text is None or placeholder.star:
        return None
    name, end = reference.name, placeholder.span.end
    column, path = placeholder.column, path_behind(reference)
    if path is not None and column == "data":
        keys = [part for part in re.split(r"[.\[\]]+", path) if part]
        if len(keys) == 1:
            better = f"((${name}.data)::jsonb ->> '{keys[0]}')"
        else:
            better = f"((${name}.data)::jsonb #>> '{{{','.join(keys)}}}')"
        edits = subject.rewrite(text, placeholder.span.start, end + len(path), better)
        return finding("PW402", with_path(reference, path), "path", path=path, better=better, edits=edits)
    if column is not None and column not in _ENVELOPE:
        better = f"((${name}.data)::jsonb ->> '{column}')"
        sql = reference.slot is Slot.SQL
        # The expression is SQL, and would be plain text in a URL.
        edits = subject.rewrite(text, placeholder.span.start, end, better) if sql else ()
        own = ", ".join(one.name for one in SIGNAL)
        return finding("PW402", column_span(reference), names=own, better=better, edits=edits)
    if column is None and reference.slot is Slot.SQL:
        return _whole_envelope(subject, read, text, end)
    return None


def _whole_envelope(subject: Subject, read: Read, text: Text, end: int) -> Diagnostic | None:
    key = _KEY.match(text.value, end)
    if key is None or key["key"].strip() in _ENVELOPE or not key["key"]:
        return None
    if not key["operator"].startswith("#"):
        edits = subject.rewrite(text, key.start("operator"), key.start("operator"), "-> 'data' ")
    else:
        edits = subject.rewrite(text, key.end("brace"), key.end("brace"), "data,") if key["brace"] else ()
    better = f"${read.reference.name}::jsonb -> 'data' ->> '{key['key']}'"
    span = read.reference.span | text.span_of(key.start("key"), key.end("key"))
    return finding("PW402", span, "key", key=key["key"], better=better, edits=edits)


_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def cron_dialect(subject: Subject) -> Iterator[Diagnostic]:
    """PW403. On pg_durable weekdays count from 1 for Sunday, both day fields must match, and there are no zones."""
    if not subject.portable:
        return
    for step in subject.facts.of(nodes.WaitSchedule):
        cron = step.node.cron  # type: ignore[union-attr]
        fields = list(re.finditer(r"\S+", cron.value))
        if fields and fields[0].group().upper().startswith("CRON_TZ="):
            span = cron.span_of(fields[0].start(), fields[0].end())
            yield finding("PW403", span, "zone")
            del fields[0]
        if len(fields) == 5:
            yield from _weekdays(subject, cron, fields)


def never_fires(subject: Subject) -> Iterator[Diagnostic]:
    """PW409. A schedule of days that no year has, such as the 31st of February."""
    for step in subject.facts.of(nodes.WaitSchedule):
        cron = step.node.cron  # type: ignore[union-attr]
        if cron_rules.problem(cron.value) is None and (found := cron_rules.impossible_day(cron.value)) is not None:
            yield finding("PW409", cron.span_of(*found))


def _weekdays(subject: Subject, cron: Text, fields: list[re.Match[str]]) -> Iterator[Diagnostic]:
    day, weekday = fields[2], fields[4]
    span = cron.span_of(weekday.start(), weekday.end())
    if re.search("[0-9]", weekday.group().split("/")[0]):
        named = _named_days(weekday.group())
        edits = () if named is None else subject.replace(span, weekday.group(), named)
        yield finding("PW403", span, "named" if named else "", names=named, edits=edits, safe=True)
    if not day.group().startswith("*") and not weekday.group().startswith("*"):
        yield finding("PW403", cron.span_of(day.start(), weekday.end()), "both-days")


def _named_days(field: str) -> str | None:
    """A weekday field with names in the place of numbers: the same days in both dialects."""
    items: list[str] = []
    for item in field.split(","):
        numbers = re.fullmatch("([0-7])(?:-([0-7]))?", item)
        if numbers is None:
            if re.search("[0-9]", item):
                return None
            items.append(item)
        elif numbers[2] is None:
            items.append(_DAYS[int(numbers[1])])
        elif int(numbers[1]) >= int(numbers[2]):
            return None
        # SAT-SUN is no range from a lower to a higher day where Sunday is the first.
        elif numbers[2] == "7":
            items += [f"{_DAYS[int(numbers[1])]}-SAT", "SUN"]
        else:
            items.append(f"{_DAYS[int(numbers[1])]}-{_DAYS[int(numbers[2])]}")
    return ",".join(items)


def early_signal(subject: Subject) -> Iterator[Diagnostic]:
    """PW404. On pg_durable a signal that comes before its wait has begun is lost; here it is kept."""
    if not subject.portable:
        return
    for step in subject.facts.of(nodes.Signal):
        looped = any(isinstance(outer.node, nodes.Loop) for outer in subject.facts.around(step))
        if subject.facts.preceded(step) is not None:
            yield finding("PW404", subject.call_name(step.node))
        elif looped:
            yield finding("PW404", subject.call_name(step.node), "loop")
