"""Pictures of the designer for people to look at: ten programs, light and dark, and one of them while it runs.

python tests/browser/screenshots.py FOLDER         a PNG each, on the machine's Chromium
python tests/browser/screenshots.py                the one in the README, docs/designer.png
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.lab import chromium
from support.studio import Designer, studio

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "tests" / "golden" / "gallery"
PROGRAMS = [
    *sorted((ROOT / "examples").glob("*.df")),
    *(GALLERY / f"{name}.df" for name in ("onboarding", "a_saga_with_compensation", "calls_to_the_web")),
    *(GALLERY / f"{name}.df" for name in ("branches_in_branches", "long_words_and_strange_letters")),
]


def main(folder: Path | None) -> None:
    """Take the pictures."""
    place = Path(tempfile.mkdtemp(prefix="pgweave-screenshots-"))
    place.chmod(0o755)  # root's server runs as another account
    data = str(place / "data")
    try:
        with chromium() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 760}, reduced_motion="reduce")
            if folder:
                for program in PROGRAMS:
                    opened(Designer(context.new_page(), program), program, data, folder)
            running(Designer(context.new_page(), place / "approval.df"), data, folder)
        subprocess.run(
            [sys.executable, "-m", "pgweave", "db", "stop"], env={**os.environ, "PGWEAVE_DATA": data}, check=True
        )
    finally:
        shutil.rmtree(place)


def opened(designer: Designer, program: Path, data: str, folder: Path) -> None:
    """A program as it is opened, with its last step in view selected."""
    with studio(program, PGWEAVE_DATA=data) as url:
        designer.open(url)
        designer.page.locator("[data-block-id] .pw-verb").last.click()
        shoot(designer, folder / f"{program.stem}-light.png")
        designer.page.get_by_role("button", name="Dark").click()
        shoot(designer, folder / f"{program.stem}-dark.png")
    designer.page.close()


def running(designer: Designer, data: str, folder: Path | None) -> None:
    """The approval example, where it waits for its boss."""
    for name in ("approval.df", "approval.setup.sql"):
        shutil.copy(ROOT / "examples" / name, designer.path.parent)
    with studio(designer.path, PGWEAVE_DATA=data) as url:
        designer.open(url)
        designer.test_id("run").click()
        designer.test_id("start").click()
        waiting = designer.page.locator("[data-status=waiting]")
        waiting.wait_for()
        waiting.locator(".pw-handle").click()
        designer.page.locator("[data-testid=signal-form] textarea").first.fill('{"approved": true, "by": "Ann"}')
        light, dark = ("running-light", "running-dark") if folder else ("designer", "designer-dark")
        folder = folder or ROOT / "docs"
        shoot(designer, folder / f"{light}.png")
        designer.page.get_by_role("button", name="Dark").click()
        shoot(designer, folder / f"{dark}.png")


def shoot(designer: Designer, path: Path) -> None:
    """Take one picture, when everything is painted."""
    designer.painted()
    designer.page.screenshot(path=path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
