"""One function per code: what is known of one definition (`Subject`) -> findings. `compiler.passes` lists them in order.

Wording is in grammar/catalogue.py; a check passes a code, a variant and values.

    characters     0xx: characters that reorder what a reader sees
    grouping       1xx: operators that group otherwise than a reader expects
    names          2xx: names that no step binds, or that no step reads
    results        2xx: columns and rows that a result does not have
    placeholders   2xx, 4xx: `$name` in the wrong place of a text
    variables      2xx: `{name}`
    shape          3xx: steps that cannot be reached, loops without an end
    conditions     3xx: conditions that are always true, or no condition at all
    waiting        4xx: signals, schedules, timeouts; http_requests: HTTP steps
    effects        5xx: steps that do twice, or too early, what should be done once
    statements     5xx: SQL that PostgreSQL cannot read, or cannot run in a step
    starts         5xx, 6xx: how instances are started
    children       6xx: called children and awaited instances
    portable       with `--target pg_durable`: what the extension refuses or reads otherwise
"""
