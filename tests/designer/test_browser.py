"""`pgweave studio` opens the browser; the page's secret address is in no argument of a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# A "browser" that prints its arguments, and the modes and the content of the file that it is given.
BROWSER = """
import json, sys, urllib.parse, urllib.request
from pathlib import Path
file = Path(urllib.request.url2pathname(urllib.parse.urlsplit(sys.argv[1]).path))
given = {"arguments": sys.argv[1:], "file": str(file), "modes": [], "page": ""}
if file.exists():
    given["modes"] = [one.stat().st_mode & 0o777 for one in (file, file.parent)]
    given["page"] = file.read_text()
print(json.dumps(given), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="on Windows files have no modes; a user's temporary folder is private")
def test_the_browser_is_given_a_private_file_and_not_the_secret_address(tmp_path: Path) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text(BROWSER)
    environment = {**os.environ, "BROWSER": f"{sys.executable} {browser} %s", "DISPLAY": ":0"}
    command = [sys.executable, "-m", "pgweave", "studio", str(tmp_path / "new.df")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            given = json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=60)
    secret = urlsplit(url).path.strip("/")
    assert len(secret) > 20
    assert not any(secret in argument for argument in given["arguments"])
    assert given["modes"] == [0o600, 0o700]
    assert f'content="0; url={url}"' in given["page"]
    assert not Path(given["file"]).exists(), "it is removed when the server ends"
