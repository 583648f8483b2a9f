"""`diff` and `summary`: what changed between two files or revisions, in words, as pictures, as Markdown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Command

OLD = "df.start(\n    'SELECT 1'\n    ~> df.sleep(5),\n    'flow');\n"
NEW = "df.start(\n    'SELECT 1'\n    ~> df.sleep(60)\n    ~> 'SELECT 2',\n    'flow');\n"


def git(command: Command, *arguments: str) -> None:
    settings = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    environment = {**command.environment(), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *settings, *arguments], cwd=command.folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def repository(pgweave: Command) -> Command:
    """A repository with one commit that holds OLD, and NEW in the working tree."""
    for file in pgweave.folder.iterdir():
        file.unlink()
    pgweave.write("flows/a.df", OLD)
    pgweave.write("flows/gone.df", "'SELECT 3'")
    git(pgweave, "init", "--quiet")
    git(pgweave, "add", ".")
    git(pgweave, "commit", "--quiet", "--message", "first")
    pgweave.write("flows/a.df", NEW)
    return pgweave


def test_two_files_are_compared_in_words(pgweave: Command) -> None:
    pgweave.write("old.df", OLD)
    pgweave.write("new.df", NEW)
    done = pgweave("diff", "old.df", "new.df")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "flow: changed\n"
        "  ~ changed sleep: 1 min: seconds 5 -> 60 (new.df:3:8)\n"
        "  + added SQL: SELECT 2, after sleep: 1 min (new.df:4:8)\n"
    )
    assert pgweave("diff", "old.df", "new.df", "--exit-code").code == 1


def test_no_difference_is_said_and_succeeds(pgweave: Command) -> None:
    done = pgweave("diff", "--exit-code", "clean.df", "-", stdin=(pgweave.folder / "clean.df").read_bytes())
    assert (done.code, done.err) == (0, "No differences.\n")


def test_the_difference_as_json(pgweave: Command) -> None:
    pgweave.write("old.df", OLD)
    pgweave.write("new.df", "df.setvar('region', 'eu');\n" + NEW)
    found = json.loads(pgweave("diff", "old.df", "new.df", "--json").out)
    assert [variable["said"] for variable in found["variables"]] == ["variable region"]
    (workflow,) = found["workflows"]
    assert (workflow["name"], workflow["what"]) == ("flow", "changed")
    assert [change["what"] for change in workflow["changes"]] == ["changed", "added"]
    assert workflow["changes"][0]["new"] == {
        "file": "new.df",
        "start": {"line": 4, "column": 8},
        "end": {"line": 4, "column": 20},
    }


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("mmd", b"flowchart")])
def test_the_difference_is_drawn(pgweave: Command, suffix: str, start: bytes) -> None:
    pgweave.write("old.df", OLD)
    pgweave.write("new.df", NEW)
    done = pgweave("diff", "old.df", "new.df", "-o", f"out.{suffix}")
    assert done.code == 0
    assert (pgweave.folder / f"out.{suffix}").read_bytes().startswith(start)


def test_the_picture_of_a_difference_marks_what_changed(pgweave: Command) -> None:
    pgweave.write("old.df", OLD)
    pgweave.write("new.df", NEW)
    pgweave("diff", "old.df", "new.df", "-o", "out.dot", "--dark")
    text = (pgweave.folder / "out.dot").read_text(encoding="utf-8")
    assert "diff_added" in text
    assert "diff_changed" in text
    assert "#15191e" in text


def test_a_revision_is_compared_with_the_file_as_it_is(repository: Command) -> None:
    assert "~ changed sleep: 1 min: seconds 5 -> 60 (flows/a.df:3:8)" in repository("diff", "HEAD:flows/a.df").out
    assert "seconds 60 -> 5 (HEAD:flows/a.df:3:8)" in repository("diff", "flows/a.df", "HEAD:flows/a.df").out


def test_paths_of_revisions_start_at_the_working_directory_or_at_the_top(repository: Command) -> None:
    inner = type(repository)(repository.folder / "flows")
    assert "seconds 5 -> 60" in inner("diff", "HEAD:a.df").out
    assert "seconds 5 -> 60" in inner("diff", "HEAD:flows/a.df", "a.df").out


REFUSALS = {
    "one file": (["diff", "clean.df"], 2, "write REV:PATH"),
    "no file": (["diff", "nope.df", "clean.df"], 2, "Cannot read nope.df"),
    "a broken program": (["diff", "clean.df", "broken.df"], 1, "error[PW001]"),
    "no repository": (["diff", "HEAD:clean.df"], 2, "git show: not a git repository"),
    "an option for a revision": (["diff", "--", "--output=x:clean.df"], 2, "is no revision"),
    "an unknown picture": (["diff", "clean.df", "two.df", "-o", "x.bmp"], 2, ".svg"),
    "several to draw": (["diff", "clean.df", "two.df", "-o", "x.svg"], 2, "Choose one with --only NAME."),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_compared_says_why(pgweave: Command, case: str) -> None:
    arguments, code, said = REFUSALS[case]
    done = pgweave(*arguments, GIT_CEILING_DIRECTORIES=str(pgweave.folder.parent))
    assert (done.code, said in done.err) == (code, True), done.err


def test_without_git_a_revision_says_what_to_do(pgweave: Command) -> None:
    done = pgweave("diff", "HEAD:clean.df", PATH=str(Path(sys.executable).parent))
    assert done.code == 2
    assert "there is no git on PATH" in done.err
    assert "compare the files" in done.err


def test_a_wrong_revision_is_no_new_file(repository: Command) -> None:
    assert "git rev-parse" in repository("summary", "flows", "--base", "nope").err
    assert "invalid object name" in repository("diff", "nope:flows/a.df").err


def test_the_summary_shows_changed_workflows_only(repository: Command) -> None:
    repository.write("flows/new.df", "'SELECT 4'")
    repository.write("flows/same.df", "'SELECT 5'")
    git(repository, "add", "flows/same.df")
    git(repository, "commit", "--quiet", "--message", "second", "flows/same.df")
    (repository.folder / "flows" / "gone.df").unlink()
    done = repository("summary", "flows", "--base", "HEAD")
    assert (done.code, done.err) == (0, "")
    headings = [line for line in done.out.splitlines() if line.startswith("###")]
    assert headings == ["### flow (changed)", "### new (added)", "### gone (removed)"]
    assert "- `~` changed sleep: 1 min: seconds 5 -\\> 60" in done.out
    assert done.out.count("```mermaid\nflowchart TD\n") == 3
    assert "class n4 changed" in done.out


def test_the_summary_without_a_base_shows_every_workflow_and_every_finding(pgweave: Command) -> None:
    pgweave.write("flows/a.df", OLD)
    pgweave.write("flows/b|c.df", "'SELECT $nobody'")
    done = pgweave("summary", "flows", "-o", "out.md")
    assert (done.code, done.out) == (0, "")
    text = (pgweave.folder / "out.md").read_text(encoding="utf-8")
    assert "2 files checked. 1 error" in text
    assert "| error PW201 | flows/b\\|c.df:1 |" in text
    assert text.count("```mermaid") == 2


def test_the_summary_of_what_cannot_be_read_says_so(pgweave: Command) -> None:
    done = pgweave("summary", "broken.df")
    assert done.code == 0
    assert "It cannot be read, so it is not drawn." in done.out


def test_nothing_changed_is_said(repository: Command) -> None:
    repository.write("flows/a.df", OLD)
    assert "No workflow differs from `HEAD`." in repository("summary", "flows", "--base", "HEAD").out
