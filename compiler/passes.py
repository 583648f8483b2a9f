"""What stands between the parser and the lowering: every check, in one visible order.

A module in, findings out. A check is a function of one definition with its facts (`Subject`); it changes nothing, finds
everything it can, and raises only for our own bugs. What comes of findings (reports, exit codes) is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from pgweave.compiler import suppress
from pgweave.compiler.checks import (
    characters,
    children,
    conditions,
    effects,
    grouping,
    http_requests,
    names,
    placeholders,
    portable,
    results,
    shape,
    starts,
    statements,
    variables,
    waiting,
)
from pgweave.compiler.facts import sqltext
from pgweave.compiler.facts.definition_facts import Facts
from pgweave.compiler.subject import Shared, Subject, Target
from pgweave.grammar.diagnostics import Diagnostic

if TYPE_CHECKING:
    from pgweave.grammar.nodes import Module

Check: TypeAlias = Callable[[Subject], Iterable[Diagnostic]]

PASSES: tuple[Check, ...] = (
    # what was meant
    grouping.mixed_operators,
    grouping.loop_prefix_swallow,
    grouping.else_if_chain,
    grouping.composite_condition,
    grouping.deep_chain,
    grouping.timeout_tail,
    # who knows which name, and what it stands for
    names.undefined_name,
    names.maybe_unbound,
    names.shadowed_name,
    names.unused_result,
    names.forgotten_name,
    results.unknown_column,
    results.nested_path,
    results.bare_multi_column,
    results.duplicate_columns,
    results.many_rows_scalar,
    results.empty_or_null,
    results.null_compare,
    results.join_result_access,
    results.never_any_rows,
    portable.other_result,
    portable.unread_type,
    portable.minus_before_value,
    variables.undeclared_variable,
    variables.variable_as_result,
    variables.constant_only_slot,
    placeholders.placeholder_in_literal,
    placeholders.positional_parameter,
    placeholders.name_hits_syntax,
    placeholders.dollar_of_a_pattern,
    placeholders.json_splice,
    # where control goes
    conditions.non_query_condition,
    conditions.truthy_surprise,
    shape.do_while,
    shape.eternal_loop,
    shape.unreachable,
    shape.stray_break,
    shape.break_value,
    shape.race_error_wins,
    # what it waits for, and what it does to the world
    waiting.signal_timeout_unchecked,
    waiting.signal_payload,
    waiting.cron_dialect,
    waiting.never_fires,
    waiting.early_signal,
    http_requests.default_post,
    http_requests.unchecked,
    http_requests.body_of_a_get,
    effects.at_least_once_effect,
    effects.session_state,
    effects.compose_time_call,
    effects.quote_hell,
    starts.label_as_id,
    starts.label_too_long,
    starts.caller_transaction,
    starts.waited_for_before_commit,
    # PostgreSQL's own opinion
    statements.syntax,
    statements.several_statements,
    statements.runs_alone,
    statements.copy_to_client,
    # instances that belong together
    portable.child_calls,
    children.await_without_timeout,
    children.unknown_option,
    children.bad_option_value,
    children.unlabelled_child,
    starts.child_cycle,
    children.awaits_itself,
    children.child_result_path,
    children.timeout_too_short,
    children.child_database,
    children.literal_instance_id,
)

PORTABILITY = frozenset(
    {"PW205", "PW217", "PW219", "PW220", "PW221", "PW403", "PW404", "PW407", "PW501", "PW609", "PW612"}
)
"""Codes of what exists on pg_durable only, since pgweave fixed the behaviour: looked for with that target alone."""

_WIDER_THERE = frozenset({"PW212", "PW215", "PW302", "PW305", "PW602", "PW603"})
"""Codes that find more with the target pg_durable."""

_FOUND_ELSEWHERE = frozenset({"PW104", "PW106", "PW504", "PW509", "PW513", "PW605", "PW611"})
"""Codes of the parser, the lowering, the database and of several files together: no check here finds them, so none can be missing here."""


_NEEDS_PARSER = frozenset(
    {
        "PW203", "PW206", "PW207", "PW208", "PW209", "PW218", "PW219", "PW220", "PW222", "PW301", "PW306", "PW307", "PW501", "PW502", "PW505", "PW510",
        "PW511", "PW512", "PW514", "PW605",
    }
)  # fmt: skip
"""Codes that find less, or nothing, without PostgreSQL's parser."""


def is_unreadable(code: str) -> bool:
    """Whether findings of this code say that a text, or part of it, cannot be read at all."""
    return code.startswith("PW0") and code not in ("PW030", "PW031", "PW032")


def check(module: Module, *, target: Target = "pgweave", parser: bool = True) -> tuple[Diagnostic, ...]:
    """Run every check on every definition. Findings in the order of the text, then of their codes.

    target: pg_durable for what would differ there too. parser: whether PostgreSQL's parser may be asked, if installed.
    """
    shared = Shared(module, [Facts(definition, parser=parser) for definition in module.definitions])
    found: list[Diagnostic] = list(characters.turned_text(module))
    for facts in shared.facts:
        subject = Subject(shared, facts, target)
        found += [diagnostic for run in PASSES for diagnostic in run(subject)]
    # Last: whether a comment allows nothing is known only when every check has run.
    kept = suppress.apply(found, module, lambda code: code not in _unjudged(target, parser=parser))
    return tuple(sorted(kept, key=lambda diagnostic: (diagnostic.span, diagnostic.code, diagnostic.title)))


def _unjudged(target: Target, *, parser: bool) -> frozenset[str]:
    """Codes that may be missing because nobody looked for them, or not for all of them."""
    # A comment that allows PW205 is right for the other target, and must not be called unused here.
    there = PORTABILITY | _WIDER_THERE if target == "pgweave" else frozenset()
    read = frozenset() if parser and sqltext.available() else _NEEDS_PARSER
    return there | read | _FOUND_ELSEWHERE
