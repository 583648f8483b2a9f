"""`check`: findings for people, scripts and CI, and fixes. No database unless one is named."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import FINDINGS, ConfigFile, ForceExclude, StdinFilename, choice, say
from pgweave.cli.output import replace_file, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pgweave.compiler.reports.checked import Checked
    from pgweave.config import Config
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source

Codes = Annotated[list[str] | None, typer.Option(metavar="PW..", help="Codes or beginnings of codes, with commas.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(check)


def check(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH..", help="Files, folders (all *.df below), or - for standard input.")
    ],
    output_format: Annotated[
        str | None, typer.Option(help="text, json, github, sarif or junit.", show_default="text")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the report here instead of to standard output.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail the check too.")] = False,
    select: Codes = None,
    ignore: Codes = None,
    target: Annotated[
        str | None, typer.Option(help="pgweave, or pg_durable: say what would differ there.", show_default="pgweave")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended without changing what a program means.")
    ] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With --fix: also mend what may change what a program means.")
    ] = False,
    dsn: Annotated[
        str | None, typer.Option("--dsn", help="Have this database prepare every step; nothing is executed.")
    ] = None,
    embedded: Annotated[bool, typer.Option("--embedded", help="The same, with the embedded server.")] = False,
    stdin_filename: StdinFilename = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Check programs. Exits with 1 when there are errors."""
    from pgweave import __version__
    from pgweave.cli.files import sources
    from pgweave.compiler.facts import sqltext
    from pgweave.compiler.reports.checked import Checked, Style, summary
    from pgweave.compiler.reports.checked import write as written
    from pgweave.grammar.diagnostics import Severity
    from pgweave.workflow import findings

    config = _configured(config_file, output_format, target, select, ignore, strict=strict)
    found = sources(paths, config, stdin_name=stdin_filename, force=force_exclude)

    def find(source: Source) -> list[Diagnostic]:
        return _wanted(config, findings(source, config.target))

    if fix:
        piped = (stdin_filename or "<stdin>") if "-" in paths else None
        found = [_mended(source, find, piped=source.name == piped, unsafe=unsafe_fixes) for source in found]
    if not sqltext.available():
        say("postgast is not installed, so the SQL of steps is looked at as text only: pip install postgast")
    with _database(dsn, embedded=embedded) as ask:
        checked = [
            Checked(source, tuple(_in_order([*find(source), *_wanted(config, ask(source))]))) for source in found
        ]
        checked = _together(checked, config)
    failing = frozenset({Severity.ERROR, Severity.WARNING} if config.strict else {Severity.ERROR})
    style = Style(failing, colour=output is None and sys.stdout.isatty(), version=__version__)
    report = written(checked, config.output_format, style)
    if fix and "-" in paths and output is None:
        say(report.rstrip())  # standard output holds the program
    else:
        write(report.encode(errors="surrogatepass"), output)
    if config.output_format == "text":
        say(summary(checked))
    if any(finding.severity in failing for file in checked for finding in file.findings):
        raise typer.Exit(FINDINGS)


def _together(checked: list[Checked], config: Config) -> list[Checked]:
    """Add what only several files together show. Few files start workflows from their steps, so few are read again."""
    starting = [number for number, file in enumerate(checked) if file.source.text.lower().count("df.start") > 1]
    if len(starting) < 2 or not config.selects("PW605"):
        return checked
    from pgweave.compiler import project
    from pgweave.grammar.parser import parse

    modules = [parse(checked[number].source).module for number in starting]
    for place, found in project.check(modules):
        file = checked[starting[place]]
        checked[starting[place]] = replace(file, findings=tuple(_in_order([*file.findings, found])))
    return checked


def _in_order(found: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(found, key=lambda one: (one.span, one.code))


def _mended(source: Source, find: Callable[[Source], list[Diagnostic]], *, piped: bool, unsafe: bool) -> Source:
    """Mend one text and put it where it came from."""
    from pgweave.compiler import fixes

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
    """What to ask for the database's opinion about a text: nothing, without a database."""
    if dsn is None and not embedded:
        yield lambda _: ()
        return
    from pgweave.dbcheck import check as checked
    from pgweave.grammar.parser import parse
    from pgweave.runtime.connect import connect
    from pgweave.runtime.target import prepared
    from pgweave.workflow import read

    with prepared(dsn, say) as place, connect(place) as connection:

        def ask(source: Source) -> Sequence[Diagnostic]:
            companion = Path(source.name).with_suffix(".setup.sql")
            outcome = checked(parse(source).module, connection, read(companion) if companion.is_file() else None)
            for note in outcome.notes:
                say(f"{source.name}: {note}")
            return outcome.findings

        yield ask


def _wanted(config: Config, findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    return [found for found in findings if config.selects(found.code)]


def _configured(
    file: Path | None,
    output_format: str | None,
    target: str | None,
    select: list[str] | None,
    ignore: list[str] | None,
    *,
    strict: bool,
) -> Config:
    """What the project says, with the words of the command line before it."""
    from pgweave.compiler.reports.checked import FORMATS
    from pgweave.config import TARGETS, codes_exist, load

    config = load(file)
    config = replace(
        config,
        output_format=choice("--output-format", output_format or config.output_format, FORMATS),
        target=choice("--target", target or config.target, TARGETS),  # type: ignore[arg-type]
        select=_codes(select) or config.select,
        ignore=(*config.ignore, *_codes(ignore)),
        strict=strict or config.strict,
    )
    codes_exist("--select", _codes(select))
    codes_exist("--ignore", _codes(ignore))
    return config


def _codes(given: list[str] | None) -> tuple[str, ...]:
    return tuple(code.strip().upper() for text in given or [] for code in text.split(",") if code.strip())
