"""MLflow's page as a headless Chromium draws it."""

from __future__ import annotations

import subprocess
from pathlib import Path

DRAW_MILLISECONDS = 25_000
"""Time that the page has, as the page's own clock tells it, to fetch and draw what it shows."""


def _command(program: str, profile: Path) -> list[str]:
    return [
        program,
        "--headless=new",
        # Chromium's sandbox refuses root; the page is our own and from loopback.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        # Loopback alone: neither the page nor the browser may ask anybody else.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        "--window-size=1500,1300",
        f"--virtual-time-budget={DRAW_MILLISECONDS}",
    ]


def page_text(program: str, profile: Path, url: str) -> str:
    """The document of a page after its scripts ran, as HTML."""
    command = [*_command(program, profile), "--dump-dom", url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
    return done.stdout


def screenshot(program: str, profile: Path, url: str, path: Path) -> None:
    """Write what the page looks like as a PNG."""
    command = [*_command(program, profile), f"--screenshot={path}", url]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
