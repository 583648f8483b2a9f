"""`check`, `compile`, `render`, `explain`: programs as text, no database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import FINDINGS, say

if TYPE_CHECKING:
    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Source
    from pgweave.workflow import Workflow

SUFFIXES = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot", ".mmd": "mmd", ".mermaid": "mmd"}


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(check)
    app.command("compile")(compile_)
    app.command()(render)
    app.command()(explain)


def check(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH..", help="Files, folders (all *.df below), or - for standard input.")
    ],
    output_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Check programs. Exits with 1 when there are errors."""
    from pgweave.grammar.diagnostics import Severity
    from pgweave.grammar.render import as_json, render

    if output_format not in {"text", "json"}:
        raise typer.BadParameter(
            f"{output_format!r} is not an output format; use text or json.", param_hint="--output-format"
        )
    failing = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    found = [(source, finding) for source in _sources(paths) for finding in _findings(source)]
    if output_format == "json":
        typer.echo(json.dumps([as_json(finding, source) for source, finding in found], indent=2, ensure_ascii=False))
    else:
        for source, finding in found:
            typer.echo(render(finding, source, colour=sys.stdout.isatty()) + "\n")
        say(_summary([finding for _, finding in found]))
    if any(finding.severity in failing for _, finding in found):
        raise typer.Exit(FINDINGS)


def _sources(paths: list[str]) -> list[Source]:
    return [source for path in paths for source in _below(path)]


def _below(path: str) -> list[Source]:
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import read

    if not Path(path).is_dir():
        return [_read(path)]
    found = [read(file) for file in sorted(Path(path).rglob("*.df"))]
    if not found:  # a check that looks at nothing must not pass
        raise PgweaveError(f"There is no .df file in {path}.", "Check the path.")
    return found


def _findings(source: Source) -> list[Diagnostic]:
    from pgweave.compiler import lower, passes
    from pgweave.grammar import parser
    from pgweave.workflow import COMPUTED

    parsed = parser.parse(source)
    refusals = [
        finding
        for definition in parsed.module.definitions
        for finding in lower.refusals(definition)
        if finding.code != COMPUTED
    ]
    # What is unreadable in one statement says nothing about the others: they are checked all the same.
    return sorted(
        [*parsed.diagnostics, *passes.check(parsed.module), *refusals], key=lambda finding: (finding.span, finding.code)
    )


def _summary(found: list[Diagnostic]) -> str:
    if not found:
        return "No findings."
    counts = {
        severity: sum(finding.severity.value == severity for finding in found)
        for severity in ("error", "warning", "info")
    }
    return (
        ", ".join(
            f"{count} {severity}{'s' if count != 1 and severity != 'info' else ''}"
            for severity, count in counts.items()
            if count
        )
        + "."
    )


def compile_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program, or - for standard input.")],
    emit: Annotated[str, typer.Option(help="tree, rows, graph, dot, mermaid or ascii.")] = "rows",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of standard output.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="The workflow of this name, in a file with several.")] = None,
) -> None:
    """Compile one workflow to text."""
    from pgweave.workflow import EMITS

    if emit not in EMITS:
        raise typer.BadParameter(f"{emit!r} is not one of {', '.join(EMITS)}.", param_hint="--emit")
    workflow = choose(file, only)
    _refuse_errors(workflow)
    _write((workflow.compile(emit) + "\n").encode(), output)


def render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program, or - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="out.svg, .png, .pdf, .dot or .mmd; default: FILE.svg.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="The workflow of this name, in a file with several.")] = None,
) -> None:
    """Draw one workflow."""
    from pgweave.compiler.draw import DrawError
    from pgweave.runtime.errors import PgweaveError

    target = output or Path("workflow.svg" if file == "-" else Path(file).with_suffix(".svg").name)
    form = SUFFIXES.get(target.suffix.lower())
    if form is None:
        raise typer.BadParameter(
            f"{target.suffix or target} names no format; use {', '.join(SUFFIXES)}.", param_hint="--output"
        )
    workflow = choose(file, only)
    _refuse_errors(workflow)
    try:
        picture = workflow.render(form)  # type: ignore[arg-type]
    except DrawError as error:
        raise PgweaveError(f"Cannot draw: {error}", "Or use a text format: -o out.dot, -o out.mmd.") from error
    _write(picture, target)
    say(f"{target}: {workflow.name}, {len(picture):,} bytes")


def choose(file: str, only: str | None) -> Workflow:
    """The one workflow of a file, or the one called `only`."""
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import load_source

    source = _read(file)
    workflows = load_source(source)
    wanted = [workflow for workflow in workflows if only in {None, workflow.name}]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(workflow.name for workflow in workflows)
    if not workflows:
        raise PgweaveError(f"{source.name} holds no workflow.", "Write one: df.start('SELECT 1', 'name');")
    if only is not None:
        raise PgweaveError(
            f"{source.name} holds no single workflow called {only!r}. It holds: {names}.",
            "Choose one with --only NAME.",
        )
    raise PgweaveError(f"{source.name} holds {len(workflows)} workflows: {names}.", "Choose one with --only NAME.")


def _read(file: str) -> Source:
    from pgweave.workflow import decode, read

    return decode("<stdin>", sys.stdin.buffer.read()) if file == "-" else read(file)


def _refuse_errors(workflow: Workflow) -> None:
    from pgweave.workflow import refuse_errors

    refuse_errors(workflow.check(), workflow.module.source)


def _write(data: bytes, target: Path | None) -> None:
    from pgweave.runtime.errors import PgweaveError

    if target is None:
        typer.echo(data, nl=False)
        return
    try:
        target.write_bytes(data)
    except OSError as error:
        raise PgweaveError(
            f"Cannot write {target}: {error.strerror}.", "Choose another place with --output."
        ) from error


def explain(code: Annotated[str, typer.Argument(metavar="CODE", help="A finding's code, such as PW201.")]) -> None:
    """Show the page of a diagnostic. Works offline."""
    from difflib import get_close_matches
    from importlib import resources

    from pgweave.grammar.diagnostics import CATALOGUE
    from pgweave.runtime.errors import PgweaveError

    page = resources.files("pgweave.grammar").joinpath(f"codes/{code.upper()}.md")
    if code.upper() not in CATALOGUE or not page.is_file():
        near = get_close_matches(code.upper(), CATALOGUE, n=1)
        raise PgweaveError(
            f"There is no diagnostic {code}.", f"Did you mean {near[0]}?" if near else "Codes look like PW201."
        )
    typer.echo(page.read_text(encoding="utf-8").rstrip())
