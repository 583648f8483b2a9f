"""What a notebook costs. Run: python benchmarks/notebook.py [--quick].

    first picture      a new process that loads the extension and runs a `%%pgweave` cell, up to its picture; wall time.
                       Beside it one that only imports IPython and networkx and draws the same DOT with Graphviz
    idle               processor time of a kernel that shows a run live and works it off, while the run waits for a
                       signal; of one core. Beside it a kernel that has nothing to do

Each is measured several times, in turns; printed are minimum, median and maximum.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_client.manager import start_new_kernel

import pgweave
from pgweave.runtime import migrate
from pgweave.runtime.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = "--quick" in sys.argv
ROUNDS = 3 if QUICK else 9
IDLE_SECONDS = 5 if QUICK else 20
PROGRAM = Path(__file__).resolve().parent.parent / "examples" / "approval.df"

SHELL = "from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance()"
OURS = f"""{SHELL}
from IPython.utils.capture import capture_output
shell.run_line_magic("load_ext", "pgweave")
with capture_output() as captured:
    assert shell.run_cell("%%pgweave\\n" + open({str(PROGRAM)!r}).read()).success
assert any("image/svg+xml" in output.data for output in captured.outputs)
"""
PEER = f"""{SHELL}
import networkx, pygraphviz, sys
assert b"<svg" in pygraphviz.AGraph(sys.stdin.read()).draw(format="svg", prog="dot")
"""
START = """
%load_ext pgweave
run = __import__("pgweave").parse("df.wait_for_signal('go')").start()
"""


def main() -> None:
    """Measure in folders of our own, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
            os.environ[name] = folder
        os.environ.pop("PGWEAVE_DSN", None)
        first_picture()
        with embedded.temporary(progress=lambda text: print(text, file=sys.stderr)) as server:
            migrate.install(server.dsn)
            idle(server.dsn)


def first_picture() -> None:
    """From nothing to a picture."""
    dot = pgweave.load(PROGRAM).render("dot")
    ours, peers = [], []
    for _ in range(ROUNDS + 1):
        peers.append(_seconds(PEER, dot))
        ours.append(_seconds(OURS))
    del ours[0], peers[0]  # files are read, modules compiled
    print(f"first picture              {_spread(ours)} s")
    print(f"  IPython, networkx, dot   {_spread(peers)} s")
    print(f"  ratio                    {_spread([a / b for a, b in zip(ours, peers, strict=True)])}")


def _seconds(code: str, given: bytes = b"") -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], input=given, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def idle(dsn: str) -> None:
    """A live picture of which nothing changes, beside a kernel that sleeps."""
    with _kernel("", dsn) as nothing, _kernel(START, dsn) as live:
        time.sleep(5)  # what happens at first, and the pauses that grow, are over
        shares: dict[int, list[float]] = {nothing: [], live: []}
        for _ in range(3):
            before = {pid: _processor_seconds(pid) for pid in shares}
            time.sleep(IDLE_SECONDS)
            for pid, found in shares.items():
                found.append((_processor_seconds(pid) - before[pid]) / IDLE_SECONDS * 100)
    print(f"idle, live picture         {_spread(shares[live])} % of a core")
    print(f"  a kernel with nothing    {_spread(shares[nothing])} % of a core")


@contextmanager
def _kernel(code: str, dsn: str) -> Iterator[int]:
    """The process of a kernel that has run this."""
    manager, client = start_new_kernel(env={**os.environ, "PGWEAVE_DSN": dsn})
    try:
        reply = client.execute(f"{code}\nimport os", user_expressions={"pid": "os.getpid()"}, reply=True, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        yield int(reply["content"]["user_expressions"]["pid"]["data"]["text/plain"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _spread(values: list[float]) -> str:
    return f"{min(values):8.3f} {statistics.median(values):8.3f} {max(values):8.3f}"


if __name__ == "__main__":
    main()
