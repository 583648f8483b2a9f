"""The short form of a chaos run: every kind of fault at least once, more than 300 of them, and no promise broken.

`make chaos SECONDS=600 SEED=n` is the long form.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from chaos.faults import FAST, SLOW, plan
from chaos.run import Plan, run
from chaos.summary import figures, memory, slope
from chaos.workers import LEASE_SECONDS

SHORT = Plan(seconds=62.0, seed=1, faults_per_second=5.4, slow_every=6.0, kills=3)


@pytest.mark.slow
def test_three_hundred_faults_of_every_kind_break_no_promise() -> None:
    said: list[str] = []
    found = run(SHORT, said.append)
    print(json.dumps(found, indent=1, default=float))  # what is shown when it fails
    assert found["violations"] == []
    assert found["faults"] >= 300
    assert {*found["faults_by_kind"], *found["skipped"]} >= {*FAST, *SLOW}
    assert found["instances_by_status"].keys() == {"completed", "failed", "cancelled"}
    # One that is killed is gone to the server at once; the lease is for links that fall silent.
    assert found["takeover_after_kill_seconds"]["p50"] < LEASE_SECONDS


def test_a_seed_draws_the_same_faults_again_and_others_draw_others() -> None:
    drawn = plan(SHORT.seed, SHORT.seconds, SHORT.faults_per_second, SHORT.workers, SHORT.slow_every)
    assert drawn == plan(SHORT.seed, SHORT.seconds, SHORT.faults_per_second, SHORT.workers, SHORT.slow_every)
    assert drawn != plan(SHORT.seed + 1, SHORT.seconds, SHORT.faults_per_second, SHORT.workers, SHORT.slow_every)
    fast, slow = drawn
    assert {fault.kind for fault in fast} == {*FAST}
    assert Counter(fault.kind for fault in slow) == Counter(SLOW), "each of them once"
    assert len(fast) >= 300
    assert all(fault.worker for fault in fast if fault.kind == "kill -9"), "the memory of worker 0 is followed"


def test_the_figures_of_the_summary_are_what_they_are_called() -> None:
    assert figures([]) == {"count": 0}
    assert figures([0.4, 0.1, 0.2, 0.3]) == {"count": 4, "p50": 0.3, "p99": 0.4, "max": 0.4}
    growing = [(float(n), 40.0 + n / 60) for n in range(120)]
    assert slope(growing) == pytest.approx(1.0)
    assert slope(growing[:20]) is None
    assert memory({0: growing, 1: []}) == [
        {"worker": 0, "first_mb": 40.0, "last_mb": 42.0, "max_mb": 42.0, "mb_per_minute": 1.0}
    ]
