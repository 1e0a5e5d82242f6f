"""Remake the pictures of the README: `python docs/screenshots.py [NAME …]`.

Serves the explorer, opens it in a headless Chromium with the network cut, waits for a telling
moment, and writes `docs/<name>.png` with at most 256 colours, which keeps them small.
"""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.browser import ARGS, chromium_path, serve

DOCS = Path(__file__).parent

LIMIT_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Picture:
    """A link, the simulation time to wait for, and the window's size."""

    query: str
    until: float
    width: int = 1440
    height: int = 900


PICTURES = {
    "explorer": Picture("system=kdv&speed=2&theme=light&exact=1", 5.2),
    "explorer-cahn-hilliard": Picture("system=cahn_hilliard_2d&theme=dark", 0.012),
    "explorer-pendulum": Picture("system=pendulum&preset=friction&theme=light", 40.0),
    "explorer-phone": Picture("system=wave&theme=dark", 6.0, 400, 860),
}


def take(browser: Browser, url: str, picture: Picture) -> Image.Image:
    """The page, paused at the wanted time."""
    page = browser.new_page(viewport=ViewportSize(width=picture.width, height=picture.height))
    page.goto(f"{url}?{picture.query}")
    field = page.get_by_test_id("field").first
    field.wait_for()
    deadline = time.monotonic() + 120
    while float(field.get_attribute("data-t") or 0) < picture.until:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{picture.query}: t = {picture.until} was not reached")
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    shot = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return shot.convert("RGB").quantize(256, dither=Image.Dither.NONE)


def main() -> int:
    names = sys.argv[1:] or list(PICTURES)
    with serve() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(ARGS))
        for name in names:
            take(browser, server.url, PICTURES[name]).save(DOCS / f"{name}.png", optimize=True)
        browser.close()
    total = sum(path.stat().st_size for path in DOCS.glob("*.png"))
    sys.stdout.write(f"{len(names)} pictures; docs/*.png now take {total / 2**20:.2f} MiB\n")
    return int(total > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
