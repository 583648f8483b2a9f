"""How fast a program is read: text to AST on one core, growth with the number of nodes, and a cold `pgweave check`.

    python benchmarks/parse.py            a minute; see README.md beside it for what the figures mean
    python benchmarks/parse.py --quick    a few seconds, for a first look

Every figure is the median of several runs with the least and the most beside it. Processor time is counted, so that
other work on the machine disturbs little; what is compared is measured in turns, so that it disturbs both alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from pgweave.grammar.kinds import MAX_TEXT
from pgweave.grammar.parser import parse
from pgweave.grammar.reading.lexer import lex
from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TARGET_MEGABYTES = 1.0  # a second, of realistic text
TARGET_COLD_MS = 100.0  # above `python -c "import lark"`
SMALL = "'SELECT 1 AS n' |=> 'first' ~> 'SELECT $first + 1';\n"

# A workflow as people write them: most of it is SQL, in every kind of quotes, with comments between the steps.
WORKFLOW = """\
-- Workflow {number}: orders of one customer, from the cart to the invoice.
SELECT df.start(
    $$ INSERT INTO orders (customer_id, placed_at, currency, total)
       SELECT c.id, now(), c.currency, sum(l.quantity * p.price)
       FROM carts AS c
       JOIN cart_lines AS l ON l.cart_id = c.id
       JOIN products AS p ON p.id = l.product_id
       WHERE c.id = {number} AND c.state = 'open' -- nobody pays twice
       GROUP BY c.id, c.currency
       RETURNING id, customer_id, total $$ |=> 'order_{number}'
    ~> df.if_rows(
        'order_{number}',
        'UPDATE carts SET state = ''ordered'', order_id = $order_{number}.id WHERE id = {number}',
        'INSERT INTO problems (kind, text) VALUES (''empty cart'', ''cart {number} had no lines'')'
    )
    ~> (
        (df.wait_for_signal('paid-{number}', 259200) |=> 'payment')
        | (df.sleep(259200) ~> 'UPDATE orders SET state = ''expired'' WHERE id = $order_{number}.id')
    )
    /* The warehouse and the accountants do not wait for each other. */
    ~> (
        df.call_child(
            'SELECT reserve_stock(line_id, quantity) FROM order_lines WHERE order_id = {number}' |=> 'stock'
            ~> ('SELECT bool_and(reserved) FROM reservations WHERE order_id = {number}'
                ?> 'UPDATE orders SET state = ''packed'' WHERE id = {number} RETURNING id, packed_by, packed_at'
                !> df.break('out of stock')),
            'ship-{number}',
            '{{"timeout_seconds": 172800}}'
        )
        & df.http(
            'https://accounts.example.com/v1/invoices/$order_{number}.id',
            'POST',
            body => '{{"order": $order_{number}.id, "total": $order_{number}.total, "lines": "see attachment"}}',
            headers => jsonb_build_object('authorization', 'Bearer {{token}}', 'x-request', 'order-{number}'),
            timeout_seconds => 60
        )
    )
    ~> $$ UPDATE orders AS o
          SET state = 'done', finished_at = now(), invoice = i.document
          FROM invoices AS i
          WHERE i.order_id = o.id AND o.id = $order_{number}.id
          RETURNING o.id, o.total, o.finished_at - o.placed_at AS took $$,
    'order-{number}'
);

"""


def realistic(size: int) -> str:
    """A file of about so many characters."""
    pieces, length, number = [], 0, 1
    while length < size:
        pieces.append(WORKFLOW.format(number=number))
        length += len(pieces[-1])
        number += 1
    return "".join(pieces)


def balanced(nodes: int) -> str:
    """One workflow of about so many nodes, no deeper than it must be."""
    if nodes < 3:
        return f"'SELECT run_step({nodes}) FROM work WHERE id = 42'"
    left = (nodes - 1) // 2
    return f"({balanced(left)} & {balanced(nodes - 1 - left)})"


def seconds(work: Callable[[], object]) -> float:
    """Processor time of doing it once."""
    started = process_time()
    work()
    return process_time() - started


def spread(values: Sequence[float], unit: str) -> str:
    """Median, least and most."""
    return f"{median(values):8.2f} {unit}   ({min(values):.2f} .. {max(values):.2f})"


def checked(source: Source) -> Source:
    """A text that must parse, or the figures mean nothing."""
    assert parse(source).ok
    return source


def throughput(size: int, runs: int) -> float:
    """Megabytes a second through the lexer, the whole parser and the formatter. Returns the parser's median."""
    source = checked(Source("orders.df", realistic(size)))
    megabytes = len(source.text.encode()) / 1e6
    count = len(parse(source).module.definitions)
    print(f"realistic text: {megabytes:.2f} MB, {count} workflows, {runs} runs each")
    stages: dict[str, Callable[[], object]] = {
        "lexer": lambda: lex(source.text),
        "text to AST": lambda: parse(source),
    }
    times: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(runs):
        for name, work in stages.items():
            times[name].append(seconds(work))
    for name, found in times.items():
        print(f"  {name:12}{spread([megabytes / time for time in found], 'MB/s')}")
    part = Source("orders.df", realistic(size // 10))
    amount = len(part.text.encode()) / 1e6
    formatted = [amount / seconds(lambda: format_source(part)) for _ in range(runs)]
    print(f"  {'formatter':12}{spread(formatted, 'MB/s')}   with its proof: it parses twice")
    return megabytes / median(times["text to AST"])


def growth(runs: int) -> float:
    """Time per node from 10 to 10,000 nodes. Returns how much more a node costs among 10,000 than among 10."""
    print("growth: one workflow of so many nodes")
    per_node: list[float] = []
    for nodes in (10, 100, 1000, 9_999):
        source = checked(Source("grown.df", balanced(nodes)))
        repeat = max(1, 1000 // nodes)
        times = [seconds(lambda: [parse(source) for _ in range(repeat)]) / repeat for _ in range(runs)]  # noqa: B023
        per_node.append(min(times) / nodes * 1e6)  # the least: what else runs on the machine only ever adds
        print(f"  {nodes:6,} nodes {spread([time * 1e3 for time in times], 'ms')}   {per_node[-1]:.1f} µs a node")
    return per_node[-1] / per_node[0]


def cold(runs: int) -> float:
    """A new process for each: bare Python, Python with Lark, `pgweave check` of a small file. Returns ms above Lark.

    Modules have been compiled to byte code by a first round that is not measured, as an installation does it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.df"
        file.write_text(SMALL, encoding="utf-8")
        commands = {
            "python -c pass": ["-c", "pass"],
            "with import lark": ["-c", "import lark"],
            "pgweave check": ["-m", "pgweave", "check", str(file)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        clock: dict[str, list[float]] = {name: [] for name in commands}
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for command in commands.values():
            _processor_ms(command, environment)
        for _ in range(runs):
            for name, command in commands.items():
                started = perf_counter()
                times[name].append(_processor_ms(command, environment))
                clock[name].append((perf_counter() - started) * 1e3)
    print(f"cold start: {runs} processes each, in turns")
    for name, found in times.items():
        print(f"  {name:18}{spread(found, 'ms')}   by the clock {min(clock[name]):.0f} ms at least")
    above = [check - lark for check, lark in zip(times["pgweave check"], times["with import lark"], strict=True)]
    ratio = [check / bare for check, bare in zip(times["pgweave check"], times["python -c pass"], strict=True)]
    print(f"  {'check above lark':18}{spread(above, 'ms')}")
    print(f"  {'check : python':18}{spread(ratio, 'x ')}")
    return median(above)


def _processor_ms(command: list[str], environment: dict[str, str]) -> float:
    """Processor time of a process of its own."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def main() -> None:
    """Measure, and say how far the figures are from their targets."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--quick", action="store_true", help="a few seconds, for a first look")
    quick = arguments.parse_args().quick
    speed = throughput(100_000 if quick else MAX_TEXT * 9 // 10, 3 if quick else 7)
    factor = growth(3 if quick else 7)
    above = cold(3 if quick else 15)
    print("against the targets")
    print(f"  text to AST       {speed:6.2f} MB/s      of {TARGET_MEGABYTES:.2f}")
    print(f"  growth            {factor:6.2f} x the time a node costs among 10; 1 is linear")
    print(f"  cold check        {above:6.0f} ms above Python with Lark, of {TARGET_COLD_MS:.0f}")


if __name__ == "__main__":
    main()
