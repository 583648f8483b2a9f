"""What the pages say is so: the two commands, every command and option named, links, programs, the picture."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import psycopg
import pytest
import typer.main

import pgweave
from pgweave.cli.app import build
from pgweave.runtime.client import Client
from pgweave.runtime.worker.service import working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
SVG = "{http://www.w3.org/2000/svg}"


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_quick_start_is_one_block_of_exactly_two_commands() -> None:
    """The first makes its own environment and runs a program, the second tests; CI runs the second as it stands here."""
    (block,) = blocks("sh", section("Quick start"))
    first, second = block.splitlines()
    steps = [step.strip() for step in first.split("&&")]
    assert steps[0].startswith("python3 -m venv ")
    assert "'.[all]'" in steps[1]
    assert steps[2].endswith("pgweave run examples/parent_child.df")
    assert second.startswith("make ")
    assert second.removeprefix("make ") in targets()


def test_ci_runs_the_second_of_the_two_commands() -> None:
    """The script reads it from the page, so that they cannot drift; this reads it as the script does."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (line,) = (line for line in script.splitlines() if line.startswith("command="))
    found = subprocess.run(
        ["/bin/sh", "-c", f'{line}\nprintf %s "$command"'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == blocks("sh", section("Quick start"))[0].splitlines()[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="asks make")
def test_make_without_a_target_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in shown.splitlines()} == targets()


@pytest.mark.skipif(shutil.which("make") is None, reason="asks make")
def test_no_target_touches_the_environment_of_the_quick_start() -> None:
    """Whoever runs `make test` after the first line keeps a .venv without the packages of the tests."""
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", *sorted(targets())], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ".venv-test/bin/pytest" in planned
    assert re.findall(r"\.venv(?=[/\s]).*", planned) == []


def commands(page: str) -> Iterator[tuple[list[str], list[str]]]:
    """Every `pgweave ..` of a page, in a code block or between backticks: its words and its options."""
    code = [*re.findall(r"`([^`\n]+)`", page), *"\n".join(blocks(r"\w*", page)).splitlines()]
    for text in code:
        for found in re.findall(r"(?:^|[\s/])pgweave ((?:[\w./-]+ ?)*)", text):
            yield re.findall(r"(?<![\w./-])[a-z]+(?![\w./-])", found), re.findall(r"(?<!\S)--?[a-z][a-z-]*", found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    root = typer.main.get_command(build())
    for words, options in commands(page.read_text(encoding="utf-8")):
        if not words:
            continue
        command = root.commands[words[0]]  # type: ignore[attr-defined]
        if words[0] == "db" and len(words) > 1:
            command = command.commands[words[1]]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(options) <= known, words


def test_the_readme_names_every_command() -> None:
    root = typer.main.get_command(build())
    named = {tuple(words[:1]) for words, _ in commands(README)} | {tuple(words[:2]) for words, _ in commands(README)}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert (name,) in named
        assert all((name, below) in named for below in getattr(command, "commands", {}))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert links or page.name != "README.md"
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


def parts(svg: bytes) -> set[tuple[str, str, str, tuple[str, ...]]]:
    """What a picture says, without where: Graphviz versions differ in places, never in ids, classes and words."""
    return {
        (
            group.get("id", ""),
            group.get("class", ""),
            group.findtext(f"{SVG}title", ""),
            tuple(unescape("".join(text.itertext())) for text in group.iter(f"{SVG}text")),
        )
        for group in ElementTree.fromstring(svg).iter(f"{SVG}g")
        if group.get("class") != "graph"
    }


def test_the_picture_is_that_of_the_program() -> None:
    """`make golden` draws it again."""
    drawn = pgweave.load(ROOT / "examples" / "parent_child.df").render("svg")
    assert parts((ROOT / "docs" / "parent_child.svg").read_bytes()) == parts(drawn)
    assert len(parts(drawn)) > 5


def test_the_statement_for_psql_does_what_it_says(database: str) -> None:
    """Typed in as it stands, no Python compiler involved."""
    (statements,) = blocks("sql", section("From psql"))
    with psycopg.connect(database, autocommit=True) as connection:
        *others, start = (statement for statement in statements.split(";\n") if statement.strip())
        for statement in others:
            connection.execute(statement.encode())
        row = connection.execute(start.encode()).fetchone()
        assert row is not None
        with working(database), Client(database) as client:
            assert client.wait(row[0]) == "completed"
        assert connection.execute("select payload -> 'result' -> 'rows' from audit_log").fetchone() == (
            [{"status": "ready", "report_id": 42}],
        )


def test_the_lines_of_python_run(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = blocks("python", section("From Python"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((ROOT / "examples" / "parent_child.setup.sql").read_bytes())
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PGWEAVE_DSN", database)
    exec(compile(lines, "README.md", "exec"), {})
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown] == ["completed", "completed"]


def shape(line: str) -> str:
    """A line without what differs from run to run: ids, times, places."""
    line = re.sub(r"\b[0-9a-f]{8}\b", "ID", line)
    line = re.sub(r"\d+\.\d+ s", "TIME", line)
    return re.sub(r" in /\S+", " in DIR", line).rstrip()


@pytest.fixture
def embedded_run() -> Iterator[Callable[[], str]]:
    """The quick start's `pgweave run`, on an embedded server of its own; gives all that it prints."""
    folder = Path(tempfile.mkdtemp(prefix="pgweave-readme-"))
    folder.chmod(0o755)  # root's server runs as another account
    environment = {"PATH": "/usr/bin:/bin", "PGWEAVE_DATA": str(folder / "data"), "COLUMNS": "100", "LC_ALL": "C.UTF-8"}

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pgweave", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stderr + done.stdout

    try:
        yield lambda: command("run", "examples/parent_child.df")
        command("db", "stop")
    finally:
        shutil.rmtree(folder)


def test_what_the_quick_start_shows_is_what_it_prints(embedded_run: Callable[[], str]) -> None:
    """And run again, it finds its server."""
    (promised,) = blocks("text", section("Quick start"))
    assert {shape(line) for line in promised.splitlines()} <= {shape(line) for line in embedded_run().splitlines()}
    again = embedded_run()
    assert "starting PostgreSQL" not in again
    assert "✓ parent-workflow" in again
