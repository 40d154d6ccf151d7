"""The Chromium that tests look at pages with: found, or installed from Debian's packages by `python -m tests.browser`."""

from __future__ import annotations

import os
import shutil
import subprocess

BROWSER = "CLEARLINE_BROWSER"
"""A Chromium's program; without it one on the path is taken."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium: `python -m tests.browser` installs it where it may, and CLEARLINE_BROWSER says where another is"
_STEP_S = 300
_STEPS = (
    ("apt-get", "-q", "-o", "Acquire::Retries=2", "update"),
    ("apt-get", "-q", "-y", "--no-install-recommends", "install", "chromium"),
)


def find() -> str | None:
    """The program of a Chromium, None where there is none."""
    return os.environ.get(BROWSER) or next(filter(None, map(shutil.which, NAMES)), None)


def install() -> str:
    """Install Chromium where there is none and that is ours to do; a word on what came of it. Tests say that they skip where it failed."""
    if found := find():
        return f"browser: {found}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "browser: none, and only root installs Debian's; tests of pages skip their look in a browser"
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("== a browser for the tests of pages, once for this machine", flush=True)
    for step in _STEPS:
        try:
            done = subprocess.run(step, env=environ, capture_output=True, text=True, timeout=_STEP_S, check=False)
        except subprocess.TimeoutExpired:
            return (
                f"browser: none, `{' '.join(step)}` took over {_STEP_S} s; tests of pages skip their look in a browser"
            )
        if done.returncode:
            words = (done.stderr or done.stdout).strip()[-300:]
            return f"browser: none, `{' '.join(step)}` failed: {words}; tests of pages skip their look in a browser"
    return f"browser: {find()}"


if __name__ == "__main__":
    print(install())
