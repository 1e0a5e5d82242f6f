"""Remake the pictures of the README: `python docs/screenshots.py [NAME …]`.

Serves the explorer, opens every page in a headless Chromium with the network cut, in both themes,
waits for a telling moment, and writes `docs/<name>.png` with at most 256 colours, which keeps them
small.
"""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.browser import ARGS, WHOLE, chromium_path, serve

DOCS = Path(__file__).parent

LIMIT_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Picture:
    """A link, what to wait for, and the window's size.

    `until` is a simulation time of the first lane, or None for a page without one; then the button
    `press` is pressed, if named, and `rest` seconds pass before the picture is taken.
    """

    query: str
    until: float | None = None
    press: str = ""
    rest: float = 0.3
    width: int = 1440
    height: int = 900


def _pictures() -> dict[str, Picture]:
    """Every page in both themes, and some scenes."""
    pages = {
        "explore": Picture("system=kdv", 1.5, height=1240),
        "train": Picture("page=train", press="Start", rest=15.0, height=1000),
        "results": Picture("page=results", rest=9.0, height=1100),
        "structure": Picture("page=structure", rest=9.0, height=1100),
        "theory": Picture("page=theory", rest=9.0, height=1100),
    }
    themed = {
        f"{name}-{theme}": replace(picture, query=f"{picture.query}&theme={theme}")
        for name, picture in pages.items()
        for theme in ("light", "dark")
    }
    return themed | {
        "cahn-hilliard-dark": Picture("system=cahn_hilliard_2d&preset=spinodal&theme=dark", 0.012),
        "pendulum-light": Picture("system=pendulum&theme=light", 12.0, height=1100),
        "phone-dark": Picture("system=wave&theme=dark", 6.0, width=400, height=860),
    }


PICTURES = _pictures()


def take(browser: Browser, url: str, picture: Picture) -> Image.Image:
    """The page at the wanted moment."""
    page = browser.new_page(viewport=ViewportSize(width=picture.width, height=picture.height))
    page.goto(f"{url}?{picture.query}")
    page.locator(WHOLE).wait_for(state="attached")
    if picture.until is not None:
        await_time(page, picture.until)
    if picture.press:
        page.get_by_role("button", name=picture.press, exact=True).click()
    page.wait_for_timeout(1000 * picture.rest)
    shot = Image.open(io.BytesIO(page.screenshot()))
    page.close()
    return shot.convert("RGB").quantize(256, dither=Image.Dither.NONE)


def await_time(page: Page, until: float) -> None:
    """Until the first lane has come to a time."""
    field = page.get_by_test_id("field").first
    field.wait_for()
    deadline = time.monotonic() + 120
    while float(field.get_attribute("data-t") or 0) < until:
        if time.monotonic() > deadline:
            raise RuntimeError(f"t = {until} was not reached")
        page.wait_for_timeout(20)


def main() -> int:
    names = sys.argv[1:] or list(PICTURES)
    if unknown := [name for name in names if name not in PICTURES]:
        sys.exit(f"unknown picture {unknown[0]!r}: use some of {', '.join(PICTURES)}")
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
