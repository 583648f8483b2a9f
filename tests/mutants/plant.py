"""Plants bugs in a copy of the repository, one at a time, and says which of them no test sees.

    python tests/mutants/plant.py                 all of mutants.toml
    python tests/mutants/plant.py NAME ..         these only

Each mutant is one replacement in one file, with the tests of which one has to fail then. Run it on a tree whose tests pass:
a test that fails anyway sees every bug. A mutant whose text does not occur exactly once is an error: the code has changed,
and the bug has to be planted where it is now.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv*", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info")
TIMEOUT_SECONDS = 600  # a test that never ends is seen, too


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. tests: as pytest takes them; at least one of them has to fail. promise: what the bug breaks."""

    name: str
    file: str
    old: str
    new: str
    promise: str
    tests: tuple[str, ...]

    def planted(self, root: Path) -> str:
        """The text of its file with the bug in it. ValueError when the bug does not apply."""
        text = (root / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: the old text occurs {count} times in {self.file}; plant the bug elsewhere")
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """All of mutants.toml, in its order."""
    table = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text(encoding="utf-8"))
    return [
        Mutant(name, row["file"], row["old"], row["new"], row["promise"], tuple(row["tests"]))
        for name, row in table.items()
    ]


def verdict(copy: Path, tests: tuple[str, ...]) -> str:
    """What the tests say about a copy: "seen", "survived", or why neither is known."""
    report = copy / "mutant.xml"
    report.unlink(missing_ok=True)
    # Without bytecode files: two texts of one length, written within a second, would be taken for one.
    path = os.pathsep.join([str(copy / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import pytest; raise SystemExit(pytest.main())"]
    command += ["--exitfirst", "--quiet", "--no-header", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    # Into a file, and as a process group: what the tests have started would keep a pipe open when they are ended.
    with (copy / "mutant.log").open("w+", encoding="utf-8") as log:
        running = subprocess.Popen(command, cwd=copy, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            running.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return "seen"
        log.seek(0)
        said = log.read()
    suite = ElementTree.parse(report).getroot().find("testsuite") if report.exists() else None
    if suite is None or int(suite.attrib["tests"]) == 0:
        return "no test ran: " + said[-4000:]
    if int(suite.attrib["failures"]):
        return "seen"
    # An error in a fixture: of the checker after the test, or of a schema that cannot be installed.
    errors = [str(error.get("message")) for error in suite.iter("error")]
    if errors and all("on teardown" in error for error in errors):
        return "seen"
    return "error: " + "; ".join(errors) if errors else "survived"


def main(names: list[str]) -> int:
    """Plant them, print one line for each; the exit status is 1 when one of them was not seen."""
    chosen = [mutant for mutant in mutants() if not names or mutant.name in names]
    if unknown := set(names) - {mutant.name for mutant in chosen}:
        print("no such mutant:", *sorted(unknown))
        return 2
    left = []
    with tempfile.TemporaryDirectory(prefix="pgweave-mutants-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for mutant in chosen:
            file = copy / mutant.file
            healthy = file.read_text(encoding="utf-8")
            try:
                file.write_text(mutant.planted(copy), encoding="utf-8")
                said = verdict(copy, mutant.tests)
            except ValueError as error:
                said = f"error: {error}"
            finally:
                file.write_text(healthy, encoding="utf-8")
            print(f"{mutant.name}: {said}", flush=True)
            if said != "seen":
                left.append(mutant)
    for mutant in left:
        print(f"not seen: {mutant.name}, though it breaks the promise that {mutant.promise}")
    print(f"{len(chosen) - len(left)} of {len(chosen)} planted bugs were seen")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
