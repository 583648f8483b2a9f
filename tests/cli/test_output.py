"""What scripts and CI read: reports, exit codes, configuration, artefacts."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import jsonschema
import pytest
import typer.main

from pgweave.cli.app import build
from pgweave.cli.options import coloured
from pgweave.form_names import EMITS, STYLES

if TYPE_CHECKING:
    from cli.conftest import Command

SCHEMA = json.loads((Path(__file__).parents[1] / "support" / "sarif-2.1.0.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def programs(pgweave: Command) -> None:
    """One program with an error, one with a remark."""
    pgweave.write("undefined.df", "'SELECT 1'\n~> 'SELECT $nobody'\n")
    pgweave.write("remark.df", "df.call_child('SELECT 1', 'child') ~> 'SELECT 1'")


def test_a_file_that_cannot_be_read_does_not_hide_the_findings_of_others(pgweave: Command) -> None:
    pgweave.write("latin.df", b"'\xe9'")
    done = pgweave("check", "latin.df", "not_there.df", "undefined.df")
    assert done.code == 2
    assert "error[PW201]" in done.out
    assert "latin.df is not UTF-8" in done.err
    assert "Cannot read not_there.df" in done.err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_the_environment_says_whether_there_are_colours(
    pgweave: Command, variables: dict[str, str], *, expected: bool
) -> None:
    found = pgweave("check", "undefined.df", stdin=b"", **{"NO_COLOR": "", "FORCE_COLOR": "", **variables}).out
    assert ("\x1b[" in found) is expected


def test_a_dumb_terminal_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert coloured(terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(terminal)


def test_a_shell_completes_commands(pgweave: Command) -> None:
    done = pgweave(_PGWEAVE_COMPLETE="complete_bash", COMP_WORDS="pgweave che", COMP_CWORD="1")
    assert done.out.split() == ["check"]


def test_sarif_of_the_command_is_valid(pgweave: Command) -> None:
    done = pgweave("check", ".", "--output-format", "sarif")
    assert done.code == 2, "two files cannot be read"
    done = pgweave("check", "undefined.df", "broken.df", "clean.df", "--output-format", "sarif")
    assert (done.code, done.err) == (1, "")
    document = json.loads(done.out)
    jsonschema.Draft4Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    assert {"PW001", "PW201"} <= {result["ruleId"] for result in run["results"]}
    assert [one["location"]["uri"] for one in run["artifacts"]] == ["undefined.df", "broken.df", "clean.df"]


def test_github_and_junit(pgweave: Command) -> None:
    lines = pgweave("check", "undefined.df", "--output-format", "github").out.splitlines()
    assert [line for line in lines if line.startswith("::error file=undefined.df,line=2,endLine=2,col=12,")]
    root = ElementTree.fromstring(pgweave("check", "undefined.df", "clean.df", "--output-format", "junit").out)
    assert root.get("failures") == "1"


def test_a_report_can_be_written_to_a_file_and_the_exit_code_stays(pgweave: Command) -> None:
    done = pgweave("check", "undefined.df", "--output-format", "sarif", "-o", "report.sarif")
    assert (done.code, done.out) == (1, "")
    assert json.loads((pgweave.folder / "report.sarif").read_bytes())["version"] == "2.1.0"


def test_select_and_ignore(pgweave: Command) -> None:
    def codes(*options: str) -> set[str]:
        done = pgweave("check", "undefined.df", "remark.df", "--output-format", "json", *options)
        return {one["code"] for one in json.loads(done.out)}

    assert {"PW201", "PW601"} <= codes()
    assert codes("--select", "PW2") == {"PW201"}
    assert codes("--select", "pw201,PW601", "--ignore", "PW2") == {"PW201", "PW601"}, "the longer one wins"
    assert "PW601" not in codes("--ignore", "PW6")
    assert pgweave("check", "undefined.df", "--ignore", "PW201").code == 0
    wrong = pgweave("check", "undefined.df", "--select", "PW9")
    assert (wrong.code, "no diagnostic begins with 'PW9'" in wrong.err) == (2, True)


def test_a_target_finds_what_would_differ_there(pgweave: Command) -> None:
    pgweave.write("cron.df", "df.wait_for_schedule('0 9 * * 1-5') ~> 'SELECT 1'")
    here = json.loads(pgweave("check", "cron.df", "--output-format", "json").out)
    there = json.loads(pgweave("check", "cron.df", "--output-format", "json", "--target", "pg_durable").out)
    assert "PW403" in {one["code"] for one in there} - {one["code"] for one in here}
    wrong = pgweave("check", "cron.df", "--target", "mysql")
    assert (wrong.code, "'mysql' is not one of pgweave, pg_durable" in wrong.err) == (2, True)


def test_pyproject_is_obeyed_and_the_command_line_goes_first(pgweave: Command) -> None:
    pgweave.write(
        "pyproject.toml",
        '[tool.pgweave]\nselect = ["PW2"]\noutput-format = "json"\nexclude = ["latin.df", "broken.df"]\n',
    )
    assert {one["code"] for one in json.loads(pgweave("check", ".").out)} == {"PW201"}
    done = pgweave("check", "remark.df", "--select", "PW6", "--output-format", "text")
    assert "info[PW601]" in done.out
    pgweave.write("other.toml", '[tool.pgweave]\nignore = ["PW"]\n')
    assert pgweave("check", "undefined.df", "--config", "other.toml").code == 0


def test_a_mistake_in_pyproject_is_no_traceback(pgweave: Command) -> None:
    pgweave.write("pyproject.toml", "[tool.pgweave]\nstrict = 'yes'\n")
    done = pgweave("check", "clean.df")
    assert (done.code, done.out) == (2, "")
    assert "strict is not true or false" in done.err


def test_standard_input_has_the_name_that_it_is_given(pgweave: Command) -> None:
    done = pgweave("check", "-", "--stdin-filename", "flows/new.df", stdin=b"'SELECT $nobody'")
    assert " --> flows/new.df:1:9" in done.out


def test_excluded_files_that_are_named_are_checked_unless_that_is_forced(pgweave: Command) -> None:
    pgweave.write("pyproject.toml", '[tool.pgweave]\nexclude = ["undefined.df"]\n')
    assert pgweave("check", "undefined.df").code == 1
    done = pgweave("check", "undefined.df", "--force-exclude")
    assert (done.code, done.err) == (0, "No findings.\n")


def test_strict_makes_warnings_fail(pgweave: Command) -> None:
    pgweave.write("loop.df", "@> 'SELECT 1'")
    found = {one["severity"] for one in json.loads(pgweave("check", "loop.df", "--output-format", "json").out)}
    assert "warning" in found
    assert "error" not in found
    assert pgweave("check", "loop.df").code == 0
    assert pgweave("check", "loop.df", "--strict").code == 1


# Artefacts


def test_a_script_is_emitted_in_both_styles(pgweave: Command) -> None:
    rows = pgweave("compile", "clean.df", "--emit", "sql")
    start = pgweave("compile", "clean.df", "--emit", "sql", "--style", "start")
    assert (rows.code, start.code) == (0, 0)
    assert "INSERT INTO df.nodes" in rows.out
    assert "SELECT df.start(" in start.out
    assert all(done.out.rstrip().endswith("COMMIT;") for done in (rows, start))
    assert "'x' is not one of rows, start" in pgweave("compile", "clean.df", "--emit", "sql", "--style", "x").err
    assert "'start' means nothing here" in pgweave("compile", "clean.df", "--emit", "dot", "--style", "start").err


def test_the_help_names_every_form_that_the_python_interface_has(pgweave: Command) -> None:
    helped = pgweave("compile", "--help").out
    assert re.findall(r"tree, .* or ascii", " ".join(helped.split()))[0].replace(" or", ",").split(", ") == [*EMITS]
    assert all(style in helped for styles in STYLES.values() for style in styles)


def test_rows_as_a_table(pgweave: Command) -> None:
    assert pgweave("compile", "clean.df", "--style", "table").out == (
        "id        node_type  left_node  right_node  result_name  query\n"
        "00000001  THEN       00000002   00000003    -            -\n"
        "00000002  SQL        -          -           first        SELECT 1 AS one\n"
        "00000003  SQL        -          -           -            SELECT $first + 1 AS two\n"
    )


def test_one_artefact_for_every_workflow(pgweave: Command) -> None:
    pgweave.write("flows/a.df", "'SELECT 1'")
    done = pgweave("compile", "two.df", "flows/a.df", "--emit", "mermaid", "-o", "{dir}/{stem}.{name}.mmd")
    assert (done.code, done.err) == (0, "")
    for path in ("two.left.mmd", "two.right.mmd", "flows/a.a.mmd"):
        assert (pgweave.folder / path).read_text(encoding="utf-8").startswith("flowchart TD\n"), path


def test_a_label_cannot_lead_out_of_the_folder(pgweave: Command) -> None:
    pgweave.write("sly.df", "df.start('SELECT 1', '../../sly');")
    assert pgweave("compile", "sly.df", "-o", "{name}.json").code == 0
    assert (pgweave.folder / "sly.json").is_file()


def test_two_workflows_do_not_overwrite_each_other(pgweave: Command) -> None:
    done = pgweave("compile", "two.df", "-o", "{stem}.json")
    assert (done.code, (pgweave.folder / "two.json").exists()) == (2, False)
    assert "Two workflows would be written to two.json; the second is right." in done.err


def test_several_programs_need_several_places(pgweave: Command) -> None:
    done = pgweave("compile", "clean.df", "remark.df", "-o", "out.json")
    assert done.code == 2
    assert "{dir}/{name}.sql" in done.err


def test_check_fails_when_an_artefact_is_missing_or_stale_and_writes_nothing(pgweave: Command) -> None:
    command = ["compile", "two.df", "--emit", "sql", "-o", "{name}.sql"]
    missing = pgweave(*command, "--check")
    assert missing.code == 1
    assert "left.sql is missing.\nright.sql is missing.\n" in missing.err
    assert not (pgweave.folder / "left.sql").exists()
    assert pgweave(*command).code == 0
    assert pgweave(*command, "--check").err == ""
    pgweave.write("right.sql", (pgweave.folder / "right.sql").read_bytes().replace(b"\n", b"\r\n"))
    assert pgweave(*command, "--check").code == 0, "line ends of another system are no difference"
    pgweave.write("two.df", "df.start('SELECT 1', 'left');\ndf.start('SELECT 3', 'right');\n")
    stale = pgweave(*command, "--check")
    assert (stale.code, stale.out) == (1, "")
    assert stale.err.startswith("right.sql is out of date.\n")
    assert "without --check" in stale.err


def test_check_needs_a_place_to_compare_with(pgweave: Command) -> None:
    done = pgweave("compile", "clean.df", "--check")
    assert (done.code, "--output" in done.err) == (2, True)


def test_a_picture_can_be_dark_and_folded(pgweave: Command) -> None:
    pgweave.write("deep.df", "@> ('SELECT 1' ~> (('SELECT 2' ~> 'SELECT 3') & 'SELECT 4'))")
    assert pgweave("render", "deep.df", "-o", "out.dot", "--depth", "1", "--dark").code == 0
    text = (pgweave.folder / "out.dot").read_text(encoding="utf-8")
    assert "pw_part_fold" in text
    assert "#15191e" in text


def test_a_large_picture_is_folded_and_says_so(pgweave: Command) -> None:
    chain = " ~> ".join(f"'SELECT {number}'" for number in range(200))
    pgweave.write("long.df", chain)
    done = pgweave("render", "long.df", "-o", "out.dot")
    assert "folded, --depth 99 shows all of it" in done.err
    assert "184 more steps" in (pgweave.folder / "out.dot").read_text(encoding="utf-8")
    assert "folded" not in pgweave("render", "long.df", "-o", "out.dot", "--depth", "99").err


# What projects copy

ROOT = Path(__file__).parents[2]


def hooks() -> dict[str, list[str]]:
    """Entries of .pre-commit-hooks.yaml by id; read line by line, for that is all that the file has."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    return dict(
        zip(
            re.findall(r"^- id: (\S+)$", text, re.MULTILINE),
            map(shlex.split, re.findall(r"^  entry: (.+)$", text, re.MULTILINE)),
            strict=True,
        )
    )


def test_the_hooks_are_those_that_are_promised() -> None:
    assert list(hooks()) == ["pgweave-check", "pgweave-fmt", "pgweave-diagrams"]


@pytest.mark.parametrize("hook", hooks())
def test_a_hook_passes_what_is_in_order_and_fails_what_is_not(pgweave: Command, hook: str) -> None:
    name, *entry = hooks()[hook]
    assert name == "pgweave"
    pgweave.write("flows/good.df", "'SELECT 1'\n")
    pgweave("compile", "flows/good.df", "--emit", "mermaid", "-o", "{dir}/{name}.mmd")
    good = pgweave(*entry, "flows/good.df")
    assert (good.code, good.out) == (0, ""), good.err
    pgweave.write("flows/bad.df", "'SELECT 1'   ~>  'SELECT $nobody'")
    bad = pgweave(*entry, "flows/good.df", "flows/bad.df")
    changed = (pgweave.folder / "flows/bad.df").read_text(encoding="utf-8") != "'SELECT 1'   ~>  'SELECT $nobody'"
    assert bad.code == 1 or changed, "pre-commit fails a hook that changes a file"


@pytest.mark.parametrize("hook", hooks())
def test_a_hook_leaves_alone_what_the_project_excludes(pgweave: Command, hook: str) -> None:
    """pre-commit names every file that is in the commit."""
    pgweave.write("pyproject.toml", '[tool.pgweave]\nexclude = ["legacy"]\n')
    pgweave.write("legacy/old.df", "'SELECT")
    done = pgweave(*hooks()[hook][1:], "legacy/old.df")
    assert (done.code, done.out) == (0, ""), done.err


def test_every_command_of_the_example_workflow_exists() -> None:
    root = typer.main.get_command(build())
    text = (ROOT / "docs" / "examples" / "github-workflow.yml").read_text(encoding="utf-8")
    lines = re.findall(r"run: pgweave (.+)$", text, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        command = root.commands[line.split()[0]]  # type: ignore[attr-defined]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= known, line


# Fixes and the database's opinion

MISSPELT = """df.call_child('SELECT 1', 'c', '{"timeout_second": 5}')\n"""


def test_fix_fixes_a_file_and_reports_what_is_left(pgweave: Command) -> None:
    pgweave.write("typo.df", MISSPELT)
    assert pgweave("check", "typo.df").code == 1
    done = pgweave("check", "typo.df", "--fix", "--unsafe-fixes")
    assert "timeout_seconds" in (pgweave.folder / "typo.df").read_text(encoding="utf-8")
    assert (done.code, "PW602" in done.out) == (0, False)
    assert done.err.startswith("typo.df: ")


def test_without_fix_nothing_is_written(pgweave: Command) -> None:
    pgweave.write("typo.df", MISSPELT)
    pgweave("check", "typo.df", "--unsafe-fixes")
    assert (pgweave.folder / "typo.df").read_text(encoding="utf-8") == MISSPELT


def test_a_piped_program_comes_back_fixed(pgweave: Command) -> None:
    done = pgweave("check", "-", "--fix", "--unsafe-fixes", stdin=MISSPELT.encode())
    assert done.out == MISSPELT.replace("timeout_second", "timeout_seconds")


def test_a_database_is_asked_for_its_opinion(pgweave: Command, database: str) -> None:
    """Its own words, at the place in the file; the companion set-up makes the tables first."""
    pgweave.write("there.df", "'SELECT amount FROM bills' ~> 'SELECT amout FROM bills'")
    pgweave.write("there.setup.sql", "CREATE TABLE bills (amount numeric);")
    done = pgweave("check", "there.df", "--dsn", database, "--output-format", "json")
    (found,) = [one for one in json.loads(done.out) if one["severity"] == "error"]
    assert found["start"] == {"offset": 38, "line": 1, "column": 39}
    assert done.code == 1
