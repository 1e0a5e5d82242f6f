"""`python -m benchmarks.live_view [--json] [--quick]`: how smooth and how quick the live page is.

Serves the explorer, opens it in headless Chromium with the network cut, and counts painted canvases
(`data-seq`), the time from opening the page to the second painted frame on a warm server, and the
time from moving the Δt slider to the painted frame that was computed with it. With `--json` the
last line is one object, {"figures": […], "recipe": {…}}, as `benchmarks.rows.live_view` reads it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import psutil
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.browser import ARGS, WHOLE, Server, chromium_path, serve

VIEWPORT = ViewportSize(width=1440, height=900)
ALONE = "system=kdv&preset=two_solitons"
SCENES = {
    "Cahn–Hilliard 128²": ("system=cahn_hilliard_2d&preset=spinodal&n=128", 30.0, 58.0),
    "Cahn–Hilliard 256²": ("system=cahn_hilliard_2d&preset=spinodal&n=256", 30.0, 58.0),
    "KdV with space–time picture": (ALONE, 30.0, 60.0),
    "KdV, truth and three models": ("system=kdv", 20.0, 60.0),
    "Cahn–Hilliard 64², truth and DGNet": (
        "system=cahn_hilliard_2d&lanes=truth,dgnet",
        10.0,
        30.0,
    ),
}
CROWD = 8
"""Sessions that play at once."""

# Every 90 ms, so that changes do not queue: moves the slider, waits for a frame with another Δt.
SLIDER_TO_PAINT = """async (trials) => {
  const find = (root, selector) => {
    const hit = root.querySelector(selector);
    if (hit) return hit;
    for (const e of root.querySelectorAll('*')) {
      const inner = e.shadowRoot && find(e.shadowRoot, selector);
      if (inner) return inner;
    }
    return null;
  };
  const canvas = find(document, 'canvas[data-testid=field]');
  const range = find(document, "[data-control='dt'] .range");
  const [low, high] = [Number(range.min), Number(range.max)];
  const times = [];
  for (let i = 0; i < trials; i++) {
    range.value = low + (high - low) * (0.30 + 0.15 * ((i * 0.618) % 1));
    const old = canvas.dataset.dt, start = performance.now();
    range.dispatchEvent(new Event('input', {bubbles: true}));
    while (canvas.dataset.dt === old && performance.now() - start < 3000) {
      await new Promise(requestAnimationFrame);
    }
    times.push(performance.now() - start);
    await new Promise((r) => setTimeout(r, 90 + 40 * Math.random()));
  }
  return times;
}"""


def await_frames(page: Page, count: int) -> None:
    """Until the first canvas has painted `count` frames."""
    field = page.get_by_test_id("field").first
    field.wait_for(timeout=30_000)
    deadline = time.monotonic() + 30
    while int(field.get_attribute("data-seq") or 0) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {count} frames within 30 s")
        time.sleep(0.01)


def await_whole(page: Page) -> None:
    """Until everything is there: the page comes in pieces, moving pictures first."""
    page.locator(WHOLE).wait_for(state="attached", timeout=60_000)


def page_load(page: Page, server: Server) -> float:
    """Seconds from opening the bare page to the second painted frame."""
    start = time.perf_counter()
    page.goto(server.url)
    await_frames(page, 2)
    return time.perf_counter() - start


def painted(page: Page, server: Server, query: str, seconds: float) -> dict[str, float]:
    """Frames per second, and CPU milliseconds a frame of the server's main thread.

    The main thread runs the event loop; the simulation steps in the others.
    """
    page.goto(f"{server.url}?{query}")
    await_whole(page)
    await_frames(page, 30)
    field, process = page.get_by_test_id("field").first, psutil.Process(server.pid)

    def sample() -> tuple[float, float, float]:
        loop = next(t for t in process.threads() if t.id == server.pid)
        seq = float(field.get_attribute("data-seq") or 0)
        return time.perf_counter(), seq, loop.user_time + loop.system_time

    t0, seq0, cpu0 = sample()
    page.wait_for_timeout(1000 * seconds)
    t1, seq1, cpu1 = sample()
    frames = max(seq1 - seq0, 1.0)
    return {"fps": frames / (t1 - t0), "server": 1e3 * (cpu1 - cpu0) / frames}


def slider_times(page: Page, trials: int) -> tuple[float, float]:
    """Median and 90 % quantile of the milliseconds from the Δt slider to a frame with its value."""
    times = sorted(page.evaluate(SLIDER_TO_PAINT, trials))
    return times[len(times) // 2], times[int(0.9 * len(times))]


def crowd(chromium: Browser, server: Server, seconds: float, trials: int) -> list[dict[str, Any]]:
    """Frames per second of each of several sessions that play at once, and one's slider."""
    pages = [chromium.new_page(viewport=VIEWPORT) for _ in range(CROWD)]
    for index, page in enumerate(pages):
        query = ALONE if index % 2 else "system=pendulum&preset=swing"
        page.goto(f"{server.url}?{query}")
        await_whole(page)
    seqs = [_seq(page) for page in pages]
    start = time.perf_counter()
    pages[0].wait_for_timeout(1000 * seconds)
    elapsed = time.perf_counter() - start
    rates = [(_seq(page) - seq) / elapsed for page, seq in zip(pages, seqs, strict=True)]
    _, p90 = slider_times(pages[1], trials)
    for page in pages:
        page.close()
    name = f"{CROWD} sessions playing pendulum or KdV"
    return [
        _figure(f"{name}: slowest", min(rates), "fps", 10.0, 20.0, "higher"),
        _figure(f"{name}: slider to painted frame, p90", p90, "ms", 250.0, 150.0),
    ]


def while_training(chromium: Browser, server: Server, seconds: float) -> dict[str, Any]:
    """Frames per second of KdV while a model is trained, relative to those without."""
    page, trainer = (chromium.new_page(viewport=VIEWPORT) for _ in range(2))
    alone = painted(page, server, ALONE, seconds)["fps"]
    trainer.goto(f"{server.url}?page=train")
    steps = trainer.get_by_label("Steps", exact=True)
    steps.fill("20000")  # more than it can take while this looks
    steps.press("Enter")
    trainer.get_by_role("button", name="Start", exact=True).click()
    trainer.wait_for_timeout(12_000)  # the worker imports and makes its data first
    cancel = trainer.get_by_role("button", name="Cancel", exact=True)
    if not cancel.is_enabled():
        raise RuntimeError("the training job does not run")
    beside = painted(page, server, ALONE, seconds)["fps"]
    cancel.click()
    for each in (page, trainer):
        each.close()
    return _figure(
        "painted while a model trains, of without", beside / alone, "", 0.6, 0.9, "higher"
    )


def _seq(page: Page) -> float:
    return float(page.get_by_test_id("field").first.get_attribute("data-seq") or 0)


def measure(quick: bool) -> dict[str, Any]:
    """All figures, and what they were measured with."""
    seconds, trials, loads = (2.0, 10, 1) if quick else (6.0, 40, 5)
    figures: list[dict[str, Any]] = []
    with serve() as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=list(ARGS))
        page = chromium.new_page(viewport=VIEWPORT)
        page_load(page, server)
        load = statistics.median(page_load(page, server) for _ in range(loads))
        figures.append(_figure("page load to first moving frame, warm", load, "s", 2.0, 1.5))
        for name, (query, least, aim) in SCENES.items():
            got = painted(page, server, query, seconds)
            figures.append(_figure(f"painted: {name}", got["fps"], "fps", least, aim, "higher"))
            figures.append(
                _figure(f"server CPU beside the step: {name}", got["server"], "ms/frame", 5.0, 2.0)
            )
        page.goto(f"{server.url}?{ALONE}")
        await_whole(page)
        await_frames(page, 30)
        p50, p90 = slider_times(page, trials)
        figures.append(_figure("slider to painted frame, KdV, p50", p50, "ms", 80.0, 40.0))
        figures.append(_figure("slider to painted frame, KdV, p90", p90, "ms", 150.0, 80.0))
        page.goto("about:blank")
        figures += crowd(chromium, server, seconds, trials)
        figures.append(while_training(chromium, server, seconds))
        recipe = {
            "browser": chromium.version,
            "viewport": VIEWPORT,
            "seconds": seconds,
            "trials": trials,
            "scenes": {name: query for name, (query, *_) in SCENES.items()},
        }
        chromium.close()
    return {"figures": figures, "recipe": recipe}


def _figure(
    label: str, value: float, unit: str, least: float, aim: float, better: str = "lower"
) -> dict[str, Any]:
    return {
        "label": label,
        "value": round(value, 3),
        "unit": unit,
        "least": least,
        "aim": aim,
        "better": better,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_view", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    parser.add_argument("--quick", action="store_true", help="short runs")
    arguments = parser.parse_args()
    if not chromium_path():
        sys.stderr.write("no Chromium found (set CHROMIUM to its path)\n")
        return 1
    result = measure(arguments.quick)
    for f in result["figures"]:
        bound = f"at least {f['least']:g}, aim {f['aim']:g}"
        print(f"{f['label']:<58} {f['value']:>9.2f} {f['unit']:<9} {bound}")
    if arguments.json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
