"""The bodies of `pgweave compile` and `pgweave render`, and how a command chooses one workflow of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pgweave.cli.files import excluded
from pgweave.cli.options import FINDINGS, choice, say
from pgweave.cli.output import is_stale, placed, write
from pgweave.compiler.pictures.draw import DrawError
from pgweave.compiler.pictures.folding import READABLE_NODES
from pgweave.config import load
from pgweave.form_names import EMITS, STYLES
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.render import render_all
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import decode, read
from pgweave.workflow import load_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgweave.form_names import Emit, Format, Style
    from pgweave.grammar.span import Source
    from pgweave.workflow import WorkflowSource

SUFFIXES: dict[str, Format] = {
    ".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot", ".mmd": "mmd", ".mermaid": "mmd",
}  # fmt: skip


def included(files: list[str], config_file: Path | None) -> list[str]:
    """Those files that the configuration does not exclude."""
    config = load(config_file)
    return [file for file in files if not excluded(Path(file), config)]


def compile_files(
    files: list[str], emit: str, style: str | None, output: Path | None, only: str | None, *, stale: bool
) -> None:
    """Compile workflows and write the results. stale: compare with what stands at `output` instead."""
    form: Emit = choice("--emit", emit, EMITS)
    styles: tuple[Style, ...] = STYLES.get(form, ())
    chosen_style: Style | None = None
    if style is not None:
        known: Style = choice("--style", style, styles)
        chosen_style = known
    if stale and output is None:
        raise typer.BadParameter("say with --output what to compare with.", param_hint="--check")
    artefacts: dict[Path | None, bytes] = {}
    for file, workflow in _chosen(files, output, only):
        place = None if output is None else placed(output, file, workflow.name)
        # Refused before anything is written, so that no half of the results replaces old files.
        if place in artefacts:
            raise _clash(place, workflow)
        text = workflow.compile(form, style=chosen_style)
        artefacts[place] = (text if text.endswith("\n") else text + "\n").encode()
    if stale:
        _compare(artefacts)
        return
    for place, data in artefacts.items():
        write(data, place)


def _chosen(files: list[str], output: Path | None, only: str | None) -> Iterator[tuple[str, WorkflowSource]]:
    """One workflow, unless the output's name makes a place for each of several."""
    if output is not None and "{" in str(output):
        for file in files:
            for workflow in load_source(_read(file)):
                if only in {None, workflow.name}:
                    yield file, workflow
    elif len(files) > 1:
        raise PgweaveError(f"{len(files)} programs cannot be written to one place.", "Use -o '{dir}/{name}.sql'.")
    else:
        yield files[0], choose(files[0], only)


def _clash(place: Path | None, workflow: WorkflowSource) -> PgweaveError:
    return PgweaveError(
        f"Two workflows would be written to {place}; the second is {workflow.name}.",
        "Use {dir} and {name} in --output.",
    )


def _compare(artefacts: Mapping[Path | None, bytes]) -> None:
    outdated = [place for place, data in artefacts.items() if place is not None and is_stale(data, place)]
    for place in outdated:
        say(f"{place} is out of date." if place.exists() else f"{place} is missing.")
    if outdated:
        say("Update it: run the same command without --check.")
        raise typer.Exit(FINDINGS)


def render_file(file: str, output: Path | None, only: str | None, *, depth: int | None, dark: bool) -> None:
    """Draw one workflow of a file. depth: levels of blocks to show; None: as many as can be read."""
    target = output or Path("workflow.svg" if file == "-" else Path(file).with_suffix(".svg").name)
    form = SUFFIXES.get(target.suffix.lower())
    if form is None:
        raise typer.BadParameter(
            f"{target.suffix or target} names no format; use {', '.join(SUFFIXES)}.", param_hint="--output"
        )
    workflow = choose(file, only)
    _show_errors(workflow)
    try:
        picture = workflow.render(form, depth="readable" if depth is None else depth, dark=dark)
    except DrawError as error:
        raise PgweaveError(f"Cannot draw: {error}", "Or use a text format: -o out.dot, -o out.mmd.") from error
    write(picture, target)
    large = depth is None and len(workflow.graph) > READABLE_NODES
    say(
        f"{target}: {workflow.name}, {len(picture):,} bytes" + ("; folded, --depth 99 shows all of it" if large else "")
    )


def choose(file: str, only: str | None) -> WorkflowSource:
    """The one workflow of a file, or the one called `only`."""
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
    return decode("<stdin>", sys.stdin.buffer.read()) if file == "-" else read(file)


def _show_errors(workflow: WorkflowSource) -> None:
    errors = [finding for finding in workflow.check() if finding.severity is Severity.ERROR]
    if errors:
        say(render_all(errors, workflow.module.source).rstrip())
