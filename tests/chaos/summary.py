"""What a chaos run has seen, as one JSON document."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.checker import Violation

AROUND_SECONDS = 3.0
TAKEOVER_SECONDS = 1.0
SLOPE_SECONDS = 30.0


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(values: Sequence[float]) -> dict[str, float | int]:
    """Count, median, 99th percentile and maximum, of seconds."""
    if not values:
        return {"count": 0}
    return {
        "count": len(values),
        "p50": round(percentile(values, 0.5), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }


def slope(samples: Sequence[tuple[float, float]]) -> float | None:
    """MB a minute of (seconds, MB), without the first fifth, in which a process warms up. None: less than half a minute."""
    kept = samples[len(samples) // 5 :]
    if not kept or kept[-1][0] - kept[0][0] < SLOPE_SECONDS:
        return None
    return round(60 * statistics.linear_regression([at for at, _ in kept], [mb for _, mb in kept]).slope, 3)


def memory(samples: Mapping[int, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
    """By worker: MB at the first and the last look, at most, and the slope, of the process that is there now."""
    return [
        {"worker": number, "first_mb": round(rss[0][1], 1), "last_mb": round(rss[-1][1], 1),
         "max_mb": round(max(mb for _, mb in rss), 1), "mb_per_minute": slope(rss)}
        for number, rss in samples.items() if rss
    ]  # fmt: skip


def takeover(seconds: Sequence[float]) -> dict[str, Any]:
    """How soon another worker had the instances of one that was killed while nothing else was out of order."""
    found = figures(seconds)
    return found | {"median_within_a_second": bool(seconds) and found["p50"] < TAKEOVER_SECONDS}


def told(violation: Violation, log: Sequence[tuple[float, str]], seen_at: float) -> dict[str, Any]:
    """A violation and the faults around the moment when it was first seen."""
    around = [
        f"{at:8.2f} s  {what}" for at, what in log if seen_at - 4 * AROUND_SECONDS <= at <= seen_at + AROUND_SECONDS
    ]
    return asdict(violation) | {"seen_at": round(seen_at, 2), "faults_around": around[-40:]}
