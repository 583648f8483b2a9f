"""`python -m pgweave` and the `pgweave` command: how the process begins and ends. The commands are in pgweave.cli.app."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress


def main() -> None:
    """Run the command line."""
    gc.set_threshold(100_000)  # while libraries load there is no garbage to find, and looking for it takes a while
    try:
        from pgweave.cli.app import main as run  # lazy: start-up, collection is off before anything loads

        run()
    except SystemExit as end:
        _leave(end.code)
        raise


def _leave(code: object) -> None:
    """End at once where nothing is open but files: Python's own clean-up takes a fifth of a small check.

    With connections, servers or threads, which may have clean-up of their own, Python ends as usual.
    """
    if not isinstance(code, int) or not {"psycopg", "asyncio"}.isdisjoint(sys.modules):
        return
    with suppress(OSError, ValueError):  # a closed pipe is reported by Python's own clean-up
        sys.stdout.flush()
        sys.stderr.flush()
        if threading.active_count() == 1:
            os._exit(code)


if __name__ == "__main__":
    main()
