"""Times put into words: the one place that knows units."""

from __future__ import annotations

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def exact(seconds: int) -> str:
    """Whole seconds as people say them: `90 s`, `5 min`, `36 h`, `7 d`; only exact multiples change the unit.

    One day is `24 h`: people count in days from two on.
    """
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0 and (unit != "d" or seconds >= 2 * size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def rough(seconds: int) -> str:
    """The largest unit that fits, rounded down: 5,000 seconds are `1 h`."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def tick(seconds: float) -> str:
    """A time on an axis, in the unit that needs the fewest digits: `500 ms`, `1.5 min`, `0`."""
    for unit, size in (*_UNITS, ("s", 1)):
        if seconds >= size and (unit != "d" or seconds >= 2 * size):
            return f"{seconds / size:g} {unit}"
    return f"{seconds * 1000:g} ms" if seconds else "0"


def measured(seconds: float) -> str:
    """A time that was measured: `0.034 s`, `2.1 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds:.3f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {remainder} s"
