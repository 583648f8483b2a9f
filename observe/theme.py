"""Colours of what notebooks show, in light and dark surroundings, as CSS.

Pictures are drawn once, in the light colours of compiler.palette; CSS puts the dark ones in their place, so nothing is
laid out twice. Dark is what the front end says (JupyterLab, Notebook, VS Code, marimo), else what the person's system says.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from pgweave.compiler.pictures.palette import DARK, LIGHT, Palette

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# JupyterLab and Notebook 7, VS Code, marimo.
_DARK_FRONT_END = (
    ":is(body[data-jp-theme-light=false],body.vscode-dark,body.vscode-high-contrast,body.dark,.dark-theme)"
)
_NOT_LIGHT = "body:not([data-jp-theme-light=true],.vscode-light,.light,.light-theme)"

# Custom properties of our HTML: of what is light, of what is dark. The severities' colours keep a contrast of 4.5.
_LIGHT = {
    "ink": LIGHT.ink, "faint": LIGHT.faint, "ground": "#f7f8fa", "rule": "#d5dbe1",
    "error": "#b3261e", "warning": "#8a5a00", "info": "#0b5cad",
    "keyword": "#7c4dbd", "call": "#0b5cad", "string": "#23692f", "number": "#8a5a00", "comment": "#5c6670",
}  # fmt: skip
_DARK = {
    "ink": DARK.ink, "faint": DARK.faint, "ground": "#1b2027", "rule": "#3a434d",
    "error": "#ff8a80", "warning": "#f2c14e", "info": "#7ab8ff",
    "keyword": "#c8a6ff", "call": "#7ab8ff", "string": "#8fd19e", "number": "#f2c14e", "comment": "#9aa5b1",
}  # fmt: skip


def svg_style() -> str:
    """For a picture that stands alone, as an image: dark where the person's system is."""
    return _by_system(_pairs("svg.pgweave-picture", ground=True))  # some front ends put it into the page


@cache
def style() -> str:
    """For pgweave's HTML, below an element of class `pgweave`."""
    light, dark = (
        ".pgweave{" + "".join(f"--pgw-{name}:{value};" for name, value in values.items()) + "}"
        for values in (_LIGHT, _DARK)
    )
    return "\n".join((_RULES, light, _by_system(f"{_NOT_LIGHT} {dark}"), f"{_DARK_FRONT_END} {dark}"))


@cache
def picture_style() -> str:
    """For a picture that stands as elements in a page, below an element of class `pgweave`."""
    clear = ".pgweave svg .graph > polygon[fill='#ffffff']{fill:transparent}"
    return "\n".join(
        (clear, _by_system(_pairs(f"{_NOT_LIGHT} .pgweave svg")), _pairs(f"{_DARK_FRONT_END} .pgweave svg"))
    )


def _by_system(rules: str) -> str:
    return f"@media (prefers-color-scheme: dark) {{{rules}}}"


def _pairs(within: str, *, ground: bool = False) -> str:
    """Rules that put each dark colour of a picture in the place of the light one. ground: the picture's own too."""
    rules = [
        f"{within} [{what}='{light}' i]{{{what}:{dark}}}"
        for light, dark in _colours().items()
        for what in ("fill", "stroke")
    ]
    # White is the ground of the picture, of a box and of the words on a bar; in the dark these are three colours.
    white = {
        ".pw_node [fill='#ffffff']": f"fill:{DARK.fills[''][0]}",
        "text[fill='#ffffff']": f"fill:{DARK.background}",
        ".state_skipped [fill='#ffffff'],.pw_OPAQUE [fill='#ffffff']": f"fill:{DARK.background}",
        **({".graph > polygon[fill='#ffffff']": f"fill:{DARK.background}"} if ground else {}),
    }
    for selectors, declaration in white.items():
        rules += [f"{within} {selector}{{{declaration}}}" for selector in selectors.split(",")]
    return "".join(rules)


@cache
def _colours() -> dict[str, str]:
    """Light colour -> dark colour, of everything but white."""
    pairs = dict(
        pair for field in fields(Palette) for pair in _of(getattr(LIGHT, field.name), getattr(DARK, field.name))
    )
    return {light: dark for light, dark in pairs.items() if light not in ("#ffffff", dark)}


def _of(
    light: str | Mapping[str, tuple[str, str]], dark: str | Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    if isinstance(light, str) or isinstance(dark, str):
        yield str(light), str(dark)
        return
    for name, colours in light.items():
        yield from zip(colours, dark[name], strict=True)


# `.pgweave.pgweave`: JupyterLab sets the cells of all tables that are HTML to the right, with a rule of two classes.
_RULES = """\
.pgweave{font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;color:var(--pgw-ink)}
.pgweave svg{max-width:100%;height:auto}
.pgweave pre.pgw-finding,.pgweave pre.pgw-code{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12.5px;\
line-height:1.4;color:var(--pgw-ink);background:var(--pgw-ground);border-left:4px solid var(--pgw-rule);border-radius:3px;\
margin:6px 0;padding:8px 10px;overflow-x:auto;white-space:pre}
.pgweave pre.pgw-error{border-left-color:var(--pgw-error)}.pgweave .pgw-error b{color:var(--pgw-error)}
.pgweave pre.pgw-warning{border-left-color:var(--pgw-warning)}.pgweave .pgw-warning b{color:var(--pgw-warning)}
.pgweave pre.pgw-info{border-left-color:var(--pgw-info)}.pgweave .pgw-info b{color:var(--pgw-info)}
.pgweave pre .pgw-line{display:block;white-space:pre-wrap;padding-left:4ch;text-indent:-4ch}
.pgweave i.pgw-help{font-style:normal;font-weight:600;color:var(--pgw-info)}
.pgweave .pgw-faint{color:var(--pgw-faint)}
.pgweave p{margin:4px 0}
.pgweave table{border-collapse:collapse;margin:6px 0;font-variant-numeric:tabular-nums}
.pgweave.pgweave table :is(th,td){padding:3px 10px;text-align:left;vertical-align:top;border-bottom:1px solid var(--pgw-rule);\
white-space:pre-wrap;max-width:60ch}
.pgweave.pgweave table th{font-weight:600;border-bottom-width:2px;white-space:nowrap}
.pgweave.pgweave table td.pgw-long{overflow-wrap:anywhere;min-width:24ch}
.pgweave.pgweave table :is(th,td).pgw-number{text-align:right}
.pgweave.pgweave table td.pgw-null{color:var(--pgw-faint);font-style:italic}
.pgweave .pgw-keyword{color:var(--pgw-keyword)}.pgweave .pgw-call{color:var(--pgw-call)}
.pgweave .pgw-string{color:var(--pgw-string)}.pgweave .pgw-number-literal{color:var(--pgw-number)}
.pgweave .pgw-comment{color:var(--pgw-comment);font-style:italic}"""


@cache
def state_style() -> str:
    """For a picture in a page whose boxes change state: the class `state_..` of a box decides, not how it was drawn."""
    dark = _states(DARK, ".pgweave svg")
    by_system = "".join(f"{_NOT_LIGHT} {rule}" for rule in dark)
    return "\n".join(
        (
            ".pgweave svg .pw_node *{transition:fill .3s,stroke .3s}",
            "".join(_states(LIGHT, ".pgweave svg")),
            _by_system(by_system),
            "".join(f"{_DARK_FRONT_END} {rule}" for rule in dark),
        )
    )


def _states(palette: Palette, within: str) -> list[str]:
    """Fill and line of each state; a bar is filled with its line's colour."""
    rules = []
    for state, (fill, line) in palette.states.items():
        width = "1.8" if state in ("running", "failed") else "1.1"
        dashes = "5,2" if state == "skipped" else "none"
        box = f"{within} .pw_node.state_{state} :is(path,polygon,ellipse)"
        bar = f"{within} .pw_node.state_{state}:is(.pw_part_fork,.pw_part_merge) :is(path,polygon)"
        rules.append(f"{box}{{fill:{fill};stroke:{line};stroke-width:{width};stroke-dasharray:{dashes}}}")
        # Words on a bar have to be read, whatever its state; these two are too faint for that.
        rules.append(f"{bar}{{fill:{palette.line if state in ('pending', 'skipped') else line}}}")
    return rules


def live_style() -> str:
    """For the live picture of a run."""
    # For screen readers only: others read the sentence above the picture.
    unseen = ".pgw-live{position:relative}.pgw-live>p{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    return "\n".join((style(), picture_style(), state_style(), unseen))
