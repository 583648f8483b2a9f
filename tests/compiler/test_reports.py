"""Reports: every format says everything, says it safely, and is what its readers expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgweave.compiler.reports.checked import FORMATS, Checked, Style, summary
from pgweave.compiler.reports.report import write
from pgweave.grammar.diagnostics import CATALOGUE, Diagnostic, Edit, Fix, Note, Rule, Severity
from pgweave.grammar.span import Source, Span

# As npm's @microsoft/jest-sarif carries it (MIT); OASIS publishes the same text with the specification.
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "support" / "sarif-2.1.0.json").read_text("utf-8"))

TEXT = "'SELECT 1'\n  ~> 'SELECT $nobody, é🐘'\n~> df.sleep(1)\n"
E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741


def found(code: str, severity: Severity, start: int, end: int, title: str = "Title") -> Diagnostic:
    rule = Rule(code=code, name="some-name", severity=severity, title="")
    return Diagnostic(rule, Span(start, end), title, "a label", "Do this.")


FILES = (
    Checked(
        Source("a b/ü,%:x.df", TEXT), (found("PW201", E, 22, 29), found("PW101", W, 0, 30), found("PW601", I, 48, 50))
    ),
    Checked(Source("clean.df", "'SELECT 1'"), ()),
    Checked(
        Source("/abs/odd.df", TEXT),
        (
            Diagnostic(
                Rule(code="PW102", name="odd", severity=E, title=""),
                Span(5, 5),
                "<b>&\n::error::\x01%0A",
                "",
                "",
                (Note(Span(0, 3), "a note"),),
                Fix("Fix it", (Edit(Span(0, 0), "("), Edit(Span(3, 4), ")")), safe=True),
            ),
        ),
    ),
)


def test_text_shows_each_finding_with_a_caret() -> None:
    text = write(FILES[:2], "text", Style())
    assert text.count("= help: Do this.") == 3
    assert "error[PW201]: Title\n  --> a b/ü,%:x.df:2:12" in text
    assert text.endswith("\n\n")


def test_json_is_one_array_of_findings_with_their_files() -> None:
    documents = json.loads(write(FILES, "json", Style()))
    assert [(one["file"], one["code"], one["start"]["line"]) for one in documents] == [
        ("a b/ü,%:x.df", "PW201", 2),
        ("a b/ü,%:x.df", "PW101", 1),
        ("a b/ü,%:x.df", "PW601", 3),
        ("/abs/odd.df", "PW102", 1),
    ]
    assert write(FILES[1:2], "json", Style()) == "[]\n"


def test_github_gets_one_command_for_each_finding_and_nothing_in_it_is_a_command() -> None:
    lines = write(FILES, "github", Style()).splitlines()
    assert lines[0] == (
        "::error file=a b/ü%2C%25%3Ax.df,line=2,endLine=2,col=12,endColumn=19,title=PW201 some-name"
        "::Title%0Aa label%0ADo this."
    )
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice", "::error"]
    assert "col=" not in lines[1], "columns of several lines would be taken for those of the first"
    assert lines[3].endswith("::<b>&%0A::error::\x01%250A")


def test_junit_counts_what_fails_the_check_and_keeps_the_rest_as_output() -> None:
    root = ElementTree.fromstring(write(FILES, "junit", Style()))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "2", "0")
    cases = [[len(case) and case[0].tag for case in suite] for suite in root]
    assert cases == [["failure", "system-out", "system-out"], [0], ["failure"]]
    strict = ElementTree.fromstring(write(FILES, "junit", Style(failing=frozenset({E, W}))))
    assert strict.get("failures") == "3"


def sarif(files: tuple[Checked, ...] = FILES) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(write(files, "sarif", Style(version="1.2.3")))
    jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(document)
    return document


def test_the_schema_of_sarif_refuses_what_is_none() -> None:
    """Else the tests below would promise nothing."""
    document = sarif()
    document["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate(document)


def test_sarif_names_rule_place_note_and_fix() -> None:
    (run,) = sarif()["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["PW101", "PW102", "PW201", "PW601"]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [result["ruleId"] for result in run["results"]]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "note", "error"]
    first, last = run["results"][0], run["results"][3]
    place = first["locations"][0]["physicalLocation"]
    assert place["region"] == {
        "startLine": 2, "startColumn": 12, "endLine": 2, "endColumn": 19, "charOffset": 22, "charLength": 7,
    }  # fmt: skip
    assert place["artifactLocation"] == {"uri": "a%20b/%C3%BC%2C%25%3Ax.df", "index": 0}
    assert last["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///abs/odd.df"
    assert last["relatedLocations"][0]["message"]["text"] == "a note"
    (change,) = last["fixes"][0]["artifactChanges"]
    assert [one["insertedContent"]["text"] for one in change["replacements"]] == ["(", ")"]


def test_sarif_carries_the_page_of_a_rule() -> None:
    code = next(code for code in sorted(CATALOGUE) if code == "PW201")
    checked = (Checked(Source("a.df", TEXT), (found(code, E, 0, 1),)),)
    (rule,) = sarif(checked)["runs"][0]["tool"]["driver"]["rules"]
    assert rule["help"]["markdown"].startswith("# PW201")


def test_a_fingerprint_survives_lines_above_it_and_tells_equal_findings_apart() -> None:
    def prints(text: str, start: int) -> list[str]:
        checked = Checked(Source("a.df", text), tuple(found("PW201", E, start, start + 3) for _ in range(2)))
        return [result["partialFingerprints"]["pgweave/v1"] for result in sarif((checked,))["runs"][0]["results"]]

    assert prints("abc def", 4) == prints("\n\nabc def", 6)
    assert len(set(prints("abc def", 4))) == 2


@pytest.mark.parametrize("format_", FORMATS)
@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    text=st.text(st.characters(codec="utf-8"), max_size=60),
    title=st.text(st.characters(codec="utf-8"), max_size=40),
    data=st.data(),
)
def test_whatever_is_in_a_program_a_report_can_be_read(
    format_: str, name: str, text: str, title: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    severity = data.draw(st.sampled_from(Severity))
    checked = (Checked(Source(name, text), (found("PW201", severity, start, end, title),)),)
    report = write(checked, format_, Style())
    assert report == write(checked, format_, Style())
    match format_:
        case "json":
            assert json.loads(report)[0]["title"] == title
        case "sarif":
            assert len(sarif(checked)["runs"][0]["results"]) == 1
        case "junit":
            assert len(list(ElementTree.fromstring(report).iter("testcase"))) == 1
        case "github":
            assert report.count("\n") == 1
        case _:
            assert "PW201" in report


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="text, json, github, sarif, junit"):
        write(FILES, "xml", Style())


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ([], "No findings."),
        ([E], "1 error."),
        ([I, W, E, E, W], "2 errors, 2 warnings, 1 info."),
        ([I, I], "2 info."),
    ],
)
def test_the_summary_counts(severities: list[Severity], said: str) -> None:
    files = [Checked(Source("a", "x"), (found("PW201", severity, 0, 1),)) for severity in severities]
    assert summary(files) == said
