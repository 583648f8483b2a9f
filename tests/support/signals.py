"""Signals as a terminal leaves them, for processes that tests start and then end by a signal."""

from __future__ import annotations

import signal


def usual_signals() -> None:
    """For `preexec_fn`. What a suite under nohup, or in the background of a shell, ignores its children would ignore too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
