"""`check`: findings for people, scripts and CI. No database unless one is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import FINDINGS, ConfigFile, ForceExclude, StdinFilename, choice, say
from pgweave.cli.output import write

if TYPE_CHECKING:
    from pgweave.config import Config

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
    stdin_filename: StdinFilename = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Check programs. Exits with 1 when there are errors."""
    from pgweave import __version__
    from pgweave.cli.files import sources
    from pgweave.compiler.reports.checked import Checked, Style, summary
    from pgweave.compiler.reports.checked import write as written
    from pgweave.grammar.diagnostics import Severity
    from pgweave.workflow import findings

    config = _configured(config_file, output_format, target, select, ignore, strict=strict)
    checked = [
        Checked(source, tuple(found for found in findings(source, config.target) if config.selects(found.code)))
        for source in sources(paths, config, stdin_name=stdin_filename, force=force_exclude)
    ]
    failing = frozenset({Severity.ERROR, Severity.WARNING} if config.strict else {Severity.ERROR})
    style = Style(failing, colour=output is None and sys.stdout.isatty(), version=__version__)
    write(written(checked, config.output_format, style).encode(errors="surrogatepass"), output)
    if config.output_format == "text":
        say(summary(checked))
    if any(finding.severity in failing for file in checked for finding in file.findings):
        raise typer.Exit(FINDINGS)


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
