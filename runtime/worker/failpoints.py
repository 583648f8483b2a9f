"""Named places at which a worker process can be made to die, so that tests can try each of them.

PGWEAVE_FAILPOINT=after_claim kills this process, as SIGKILL does it, when it first comes to that place;
PGWEAVE_FAILPOINT=after_step:3 when it comes there for the third time. Unset, which is always but in tests, a place costs
one comparison.
"""

from __future__ import annotations

import os
import signal
from threading import Lock, Timer

POINTS = (
    "before_claim", "after_claim", "after_load", "after_settle",
    "before_step", "in_step", "after_step",
    "before_wait", "after_wait",
    "before_decide", "after_decide",
    "before_park", "after_park",
    "before_finish", "after_finish",
)  # fmt: skip
"""In the order in which a worker comes to them. in_step: while the server is at work on the statement."""

HTTP_POINTS = ("before_permit", "before_send", "after_answer")
"""Around a request: before it is announced, before it is sent, before its answer is recorded. Then comes after_step."""

_lock = Lock()
_name, _, _times = os.environ.get("PGWEAVE_FAILPOINT", "").partition(":")
_left = int(_times or 1)


def failpoint(name: str, *, in_seconds: float = 0.0) -> None:
    """Die here if the environment says so. in_seconds: a little later, in the middle of what follows."""
    if name != _name:
        return
    global _left  # noqa: PLW0603 - the environment arms one process, once
    with _lock:
        _left -= 1
        due = _left == 0
    if due and in_seconds:
        Timer(in_seconds, _die).start()
    elif due:
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
