"""`compile`, `render`, `explain`: programs as text, no database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgweave.cli.options import FINDINGS, ConfigFile, ForceExclude, Only, choice, say
from pgweave.cli.output import is_stale, placed, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgweave.grammar.span import Source
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import Workflow

SUFFIXES = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot", ".mmd": "mmd", ".mermaid": "mmd"}


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command("compile")(compile_)
    app.command()(render)
    app.command()(explain)


def compile_(
    files: Annotated[list[str], typer.Argument(metavar="FILE..", help="Programs, or - for standard input.")],
    emit: Annotated[str, typer.Option(help="tree, rows, sql, graph, dot, mermaid or ascii.")] = "rows",
    style: Annotated[
        str | None,
        typer.Option(
            help="Of --emit sql: rows inserts the node rows, start calls df.start, on pg_durable too."
            " Of --emit rows: json or table."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here. {dir}, {stem} and {name} make a file for each workflow."),
    ] = None,
    stale: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail when what stands at --output is out of date.")
    ] = False,
    only: Only = None,
    config_file: ConfigFile = None,
    force_exclude: ForceExclude = False,
) -> None:
    """Compile workflows to text."""
    from pgweave.cli.files import excluded
    from pgweave.config import load
    from pgweave.workflow import EMITS, STYLES

    if force_exclude:
        config = load(config_file)
        files = [file for file in files if not excluded(Path(file), config)]
        if not files:
            return
    emit = choice("--emit", emit, EMITS)
    if style is not None:
        style = choice("--style", style, STYLES.get(emit, ()))  # type: ignore[call-overload]
    if stale and output is None:
        raise typer.BadParameter("say with --output what to compare with.", param_hint="--check")
    artefacts: dict[Path | None, bytes] = {}
    for file, workflow in _chosen(files, output, only):
        _refuse_errors(workflow)
        place = None if output is None else placed(output, file, workflow.name)
        if place in artefacts:
            raise _clash(place, workflow)
        text = workflow.compile(emit, style=style)  # type: ignore[arg-type]
        artefacts[place] = (text if text.endswith("\n") else text + "\n").encode()
    if stale:
        _compare(artefacts)
        return
    for place, data in artefacts.items():
        write(data, place)


def _chosen(files: list[str], output: Path | None, only: str | None) -> Iterator[tuple[str, Workflow]]:
    """One workflow, unless the output's name makes a place for each of several."""
    from pgweave.runtime.errors import PgweaveError
    from pgweave.workflow import load_source

    if output is not None and "{" in str(output):
        for file in files:
            for workflow in load_source(_read(file)):
                if only in {None, workflow.name}:
                    yield file, workflow
    elif len(files) > 1:
        raise PgweaveError(f"{len(files)} programs cannot be written to one place.", "Use -o '{dir}/{name}.sql'.")
    else:
        yield files[0], choose(files[0], only)


def _clash(place: Path | None, workflow: Workflow) -> PgweaveError:
    from pgweave.runtime.errors import PgweaveError

    return PgweaveError(
        f"Two workflows would be written to {place}; the second is {workflow.name}.",
        "Use {dir} and {name} in --output.",
    )


def _compare(artefacts: Mapping[Path | None, bytes]) -> None:
    outdated = [place for place, data in artefacts.items() if place is not None and is_stale(data, place)]
    for place in outdated:
        say(f"{place} is out of date." if place.exists() else f"{place} is missing.")
    if outdated:
        say("Write it anew with the same command without --check.")
        raise typer.Exit(FINDINGS)


def render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A program, or - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="out.svg, .png, .pdf, .dot or .mmd; default: FILE.svg.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=0, help="Levels of blocks to show; what is deeper becomes one box. Default: all that is readable."
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark background.")] = False,
    only: Only = None,
) -> None:
    """Draw one workflow, also one with errors: the picture may show what is wrong."""
    from pgweave.compiler.pictures.draw import DrawError
    from pgweave.compiler.pictures.folding import READABLE_NODES
    from pgweave.runtime.errors import PgweaveError

    target = output or Path("workflow.svg" if file == "-" else Path(file).with_suffix(".svg").name)
    form = SUFFIXES.get(target.suffix.lower())
    if form is None:
        raise typer.BadParameter(
            f"{target.suffix or target} names no format; use {', '.join(SUFFIXES)}.", param_hint="--output"
        )
    workflow = choose(file, only)
    _show_errors(workflow)
    try:
        picture = workflow.render(form, depth="readable" if depth is None else depth, dark=dark)  # type: ignore[arg-type]
    except DrawError as error:
        raise PgweaveError(f"Cannot draw: {error}", "Or use a text format: -o out.dot, -o out.mmd.") from error
    write(picture, target)
    large = depth is None and len(workflow.graph) > READABLE_NODES
    say(
        f"{target}: {workflow.name}, {len(picture):,} bytes" + ("; folded, --depth 99 shows all of it" if large else "")
    )


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


def _show_errors(workflow: Workflow) -> None:
    from pgweave.grammar.diagnostics import Severity
    from pgweave.grammar.render import render_all

    errors = [finding for finding in workflow.check() if finding.severity is Severity.ERROR]
    if errors:
        say(render_all(errors, workflow.module.source).rstrip())


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
