"""`python -m chaos --seconds 600 --seed 1`: kill, cut, stop, fill and step everything, and check that nothing is lost.

Exit code 0 when every promise held, 1 when one did not. CONTRIBUTING.md says how to read the summary.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from time import monotonic

from chaos.run import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long faults come; the end takes up to two minutes more"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="what draws the faults and the load; by default a new one"
    )
    parser.add_argument("--faults-per-second", type=float, default=4.0)
    parser.add_argument("--output", type=Path, default=Path("build/chaos"), help="folder of the summary and the logs")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr)
    what = Plan(options.seconds, seed, options.faults_per_second)
    began = monotonic()

    def say(said: str) -> None:
        print(f"{monotonic() - began:7.1f} s  {said}", file=sys.stderr, flush=True)

    found = run(what, say, keep=options.output)
    text = json.dumps(found, indent=2, default=float)
    (options.output / "summary.json").write_text(text + "\n")
    print(text)
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
