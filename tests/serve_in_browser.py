"""Screenshots of the page of `spikeunet serve` for docs/serve.md: python tests/serve_in_browser.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from report_in_browser import PHONE, Watched, browser, made_small
from running_server import running_server

VIEWS = {
    "serve_desktop": ((1280, 960), "light", "chelsea", 960),
    "serve_dark": ((1280, 900), "dark", "retina", 800),
    "serve_phone": (PHONE, "light", "rocket", 390),
}


def run_example(page, name):
    """Choose an example, run it, and wait for its result and its report."""
    page.locator(f"[data-example={name}]").click()
    page.locator("#run").click()
    page.locator("#report").wait_for(state="visible", timeout=60_000)


def take_screenshots(running, folder, url):
    """Pictures of the page: desktop, dark, phone; what was complained of, in all."""
    complaints = []
    for name, (size, scheme, example, width) in VIEWS.items():
        watched = Watched(running, url, size, scheme)
        run_example(watched.page, example)
        watched.page.locator("#split").fill("45")
        watched.page.mouse.move(2, 2)
        watched.page.evaluate("document.activeElement.blur()")
        watched.page.evaluate("scrollTo(0, 0)")
        path = Path(folder) / f"{name}.png"
        if size == PHONE:  # all of it, as if the phone were as high
            height = watched.page.evaluate("document.documentElement.scrollHeight")
            watched.page.set_viewport_size({"width": PHONE[0], "height": height})
        watched.page.screenshot(path=path)
        made_small(path, width, 256)
        complaints += watched.complaints
        watched.close()
    return complaints


if __name__ == "__main__":
    with running_server() as server, browser() as running:
        sys.stdout.write(f"{take_screenshots(running, sys.argv[1], server.url)}\n")
