"""How fast programs are checked: every stage of one program up to the limit of nodes, and a folder of many small ones.

    python benchmarks/check.py            a minute; see README.md beside it for what the figures mean
    python benchmarks/check.py --quick    a few seconds, for a first look

Every program is measured in a process of its own that has done nothing else, so imports, caches and memory count. Each
figure is the median of several processes with the least and the most beside it. Processor time is counted, so that
other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from time import perf_counter, process_time

TARGET_SECONDS, TARGET_MEGABYTES = 2.0, 300.0  # one program of 10,000 nodes: parse, graph, checks, rows
TARGET_FOLDER_SECONDS = 5.0  # 1,000 files of 20 nodes, cold
STAGES = ("loading", "parse", "checks", "graph", "rows")


def program(nodes: int) -> str:
    """One workflow of so many nodes, no deeper than it must be; every step reads what the one before it has named."""

    def steps(first: int, count: int) -> str:
        if count > 1:
            left = count // 2
            return f"({steps(first, left)})\n~> ({steps(first + left, count - left)})"
        read = f", $step_{first - 1}.total AS before" if first > 1 else ""
        sql = f"SELECT id, sum(amount) AS total{read} FROM orders_{first} WHERE shop = ''s{first}'' GROUP BY id LIMIT 1"
        return f"'{sql}' |=> 'step_{first}'"

    return steps(1, (nodes + 1) // 2)


def measured(text: str) -> dict[str, float]:
    """Seconds of processor time for each stage, and the most memory that was in use, in a process that runs only this."""
    times: dict[str, float] = {}
    started = process_time()

    def lap(stage: str) -> None:
        nonlocal started
        now = process_time()
        times[stage] = now - started
        started = now

    from pgweave.compiler import graph, lower, passes
    from pgweave.grammar.parser import parse
    from pgweave.grammar.span import Source

    small = parse(Source("small.df", program(3))).module  # grammar, libpg_query and networkx are loaded at first use
    passes.check(small)
    graph.build(small.definitions[0])
    lap("loading")
    parsed = parse(Source("grown.df", text))
    assert parsed.ok, parsed.diagnostics[:1]
    (definition,) = parsed.module.definitions
    lap("parse")
    found = passes.check(parsed.module)
    assert not found, found[:1]
    lap("checks")
    graph.build(definition)
    lap("graph")
    lower.rows(definition)
    lap("rows")
    return {**times, "megabytes": getrusage(RUSAGE_SELF).ru_maxrss / 1024}


def in_a_process(nodes: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", str(nodes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def growth(sizes: tuple[int, ...], runs: int) -> tuple[float, float, float]:
    """Print a line for each size. Returns seconds and megabytes of the largest, and how much more a node costs in it."""
    print(f"one program, {runs} processes each: milliseconds of processor time")
    print(f"  {'nodes':>7} " + "".join(f"{stage:>10}" for stage in STAGES) + f"{'all':>10}{'MB':>8}   µs a node")
    per_node: list[float] = []
    seconds = megabytes = 0.0
    for nodes in sizes:
        found = [in_a_process(nodes) for _ in range(runs)]
        stages = {stage: median(one[stage] for one in found) * 1e3 for stage in STAGES}
        totals = [sum(one[stage] for stage in STAGES) for one in found]
        seconds, megabytes = median(totals), median(one["megabytes"] for one in found)
        per_node.append((sum(stages.values()) - stages["loading"]) / nodes * 1e3)
        columns = "".join(f"{stages[stage]:10.1f}" for stage in STAGES)
        spread = f"({min(totals):.2f} .. {max(totals):.2f} s)"
        print(f"  {nodes:7,} {columns}{seconds * 1e3:10.1f}{megabytes:8.0f}   {per_node[-1]:9.1f}   {spread}")
    return seconds, megabytes, per_node[-1] / per_node[0]


def folder(files: int, nodes: int, runs: int) -> float:
    """`pgweave check` of a folder, in a new process. Returns seconds of processor time."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(files):
            text = f"-- Program {number}.\n{program(nodes)}\n".replace("orders_", f"orders_{number}_")
            Path(place, f"program_{number:04}.df").write_text(text, encoding="utf-8")
        times, clock = [], []
        for _ in range(runs):
            before, started = getrusage(RUSAGE_CHILDREN), perf_counter()
            subprocess.run([sys.executable, "-m", "pgweave", "check", place], check=True, capture_output=True)
            after = getrusage(RUSAGE_CHILDREN)
            clock.append(perf_counter() - started)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    spread = f"({min(times):.2f} .. {max(times):.2f}), by the clock {min(clock):.2f} s at least"
    print(f"a folder of {files:,} files of {nodes} nodes, {runs} processes: {median(times):.2f} s {spread}")
    return median(times)


def main() -> None:
    """Measure, and say how far the figures are from their targets."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--quick", action="store_true", help="a few seconds, for a first look")
    arguments.add_argument("--one", type=int, metavar="NODES", help="measure one program here and print JSON")
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(measured(program(given.one))))
        return
    runs = 2 if given.quick else 5
    seconds, megabytes, factor = growth((100, 9_999) if given.quick else (100, 300, 1_000, 3_000, 9_999), runs)
    all_files = folder(100 if given.quick else 1_000, 19, 1 if given.quick else 3)
    print("against the targets")
    print(f"  10,000 nodes      {seconds:6.2f} s    of {TARGET_SECONDS:.1f}")
    print(f"                    {megabytes:6.0f} MB   of {TARGET_MEGABYTES:.0f}")
    print(f"  growth            {factor:6.2f} x the time a node costs among 100; 1 is linear")
    print(f"  1,000 files       {all_files:6.2f} s    of {TARGET_FOLDER_SECONDS:.1f}" + " (of 100 files)" * given.quick)


if __name__ == "__main__":
    main()
