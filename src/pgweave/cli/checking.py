"""The body of `pgweave check`: read, fix, check, ask a database, report."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pgweave.cli.complaints import complain
from pgweave.cli.files import sources
from pgweave.cli.options import FINDINGS, TROUBLE, choice, coloured, say
from pgweave.cli.output import replace_file, write
from pgweave.compiler import fixes, project
from pgweave.compiler.facts import sqltext
from pgweave.compiler.reports import checked as reports
from pgweave.compiler.reports.checked import Checked, Style
from pgweave.compiler.reports.report import write as write_report
from pgweave.config import TARGETS, Config, codes_exist, load
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.parser import parse
from pgweave.version import __version__
from pgweave.workflow import findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source
    from pgweave.runtime.errors import PgweaveError

__all__ = ["Fixing", "check", "configured", "sources"]


@dataclass(frozen=True, slots=True)
class Fixing:
    """Which fixes to apply. wanted: those that keep the meaning. unsafe: with them, those that may change it."""

    wanted: bool
    unsafe: bool


def check(
    files: list[Source],
    config: Config,
    fixing: Fixing,
    output: Path | None,
    unreadable: list[PgweaveError],
    *,
    piped: str | None,
    dsn: str | None,
    embedded: bool,
) -> None:
    """Fix and check `files`, and report. Exit with 1 when a finding fails the check, with 2 when a file was unreadable.

    piped: what standard input is called, if it is one of the files. dsn, embedded: the database to ask, if any.
    """

    def find(source: Source) -> list[Diagnostic]:
        return _wanted(config, findings(source, config.target))

    if fixing.wanted:
        files = [_fixed(source, find, piped=source.name == piped, unsafe=fixing.unsafe) for source in files]
    if not sqltext.available():
        say("postgast is not installed, so the SQL of steps is looked at as text only: pip install postgast")
    with _database(dsn, embedded=embedded) as ask:
        checked = [
            Checked(source, tuple(_in_order([*find(source), *_wanted(config, ask(source))]))) for source in files
        ]
        checked = _together(checked, config)
    failing = frozenset({Severity.ERROR, Severity.WARNING} if config.strict else {Severity.ERROR})
    style = Style(failing, colour=output is None and coloured(sys.stdout), version=__version__)
    report = write_report(checked, config.output_format, style)
    if fixing.wanted and piped is not None and output is None:
        say(report.rstrip())  # standard output holds the program
    else:
        write(report.encode(errors="surrogatepass"), output)
    if config.output_format == "text":
        say(reports.summary(checked))
    if unreadable:
        for error in unreadable:
            complain(error)
        raise typer.Exit(TROUBLE)
    if any(finding.severity in failing for file in checked for finding in file.findings):
        raise typer.Exit(FINDINGS)


def _together(checked: list[Checked], config: Config) -> list[Checked]:
    """Add what only several files together show. Few files start workflows from their steps, so few are read again."""
    # More than one: the first starts the workflow itself, a second one may be in the SQL of one of its steps.
    starting = [number for number, file in enumerate(checked) if file.source.text.lower().count("df.start") > 1]
    if len(starting) < 2 or not config.selects("PW605"):
        return checked
    modules = [parse(checked[number].source).module for number in starting]
    for place, found in project.check(modules):
        file = checked[starting[place]]
        checked[starting[place]] = replace(file, findings=tuple(_in_order([*file.findings, found])))
    return checked


def _in_order(found: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(found, key=lambda one: (one.span, one.code))


def _fixed(source: Source, find: Callable[[Source], list[Diagnostic]], *, piped: bool, unsafe: bool) -> Source:
    """Fix one text and write it back to where it came from."""
    fixed = fixes.fix(source, find, unsafe=unsafe)
    if piped:
        typer.echo(fixed.source.text.encode(), nl=False)
    elif fixed.source.text != source.text:
        replace_file(Path(source.name), fixed.source.text.encode())
    for title in fixed.fixes:
        say(f"{source.name}: {title}")
    return fixed.source


@contextmanager
def _database(dsn: str | None, *, embedded: bool) -> Iterator[Callable[[Source], Sequence[Diagnostic]]]:
    """A function that asks the database about a text; without a database it finds nothing."""
    if dsn is None and not embedded:
        yield lambda _: ()
        return
    from pgweave.dbcheck import asking  # lazy: start-up, most checks have no database

    with asking(dsn, say) as examine:

        def ask(source: Source) -> Sequence[Diagnostic]:
            outcome = examine(source)
            for note in outcome.notes:
                say(f"{source.name}: {note}")
            return outcome.findings

        yield ask


def _wanted(config: Config, findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    return [found for found in findings if config.selects(found.code)]


def configured(
    file: Path | None,
    output_format: str | None,
    target: str | None,
    select: list[str] | None,
    ignore: list[str] | None,
    *,
    strict: bool,
) -> Config:
    """The project's configuration, overridden by the command line."""
    config = load(file)
    config = replace(
        config,
        output_format=choice("--output-format", output_format or config.output_format, reports.FORMATS),
        target=choice("--target", target or config.target, TARGETS),
        select=_codes(select) or config.select,
        ignore=(*config.ignore, *_codes(ignore)),
        strict=strict or config.strict,
    )
    codes_exist("--select", _codes(select))
    codes_exist("--ignore", _codes(ignore))
    return config


def _codes(given: list[str] | None) -> tuple[str, ...]:
    return tuple(code.strip().upper() for text in given or [] for code in text.split(",") if code.strip())
