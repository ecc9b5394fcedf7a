"""A headless browser that opens a report and notes what it complains of and whom it asks; screenshots for docs/.

python tests/report_in_browser.py REPORT.html FOLDER
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DESKTOP, PHONE = (1280, 860), (390, 844)


def browser_program():
    """Path of a browser, that of SPIKEUNET_BROWSER first; None where there is none, or nothing that drives it."""
    if importlib.util.find_spec("playwright") is None:
        return None
    named = os.environ.get("SPIKEUNET_BROWSER")
    return named or next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def browser():
    """The running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser_program(), args=FLAGS, chromium_sandbox=False)
        yield running
        running.close()


class Watched:
    """A page in a window of its own: `page`, and what it asked for and complained of.

    Parameters
    ----------
    running : browser
    path : path of a page, or its address
    size : (width, height)
    scheme : "light" or "dark"
        What the system prefers.
    """

    def __init__(self, running, path, size=DESKTOP, scheme="light"):
        viewport = {"width": size[0], "height": size[1]}
        self.context = running.new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=1)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path if str(path).startswith("http") else Path(path).resolve().as_uri())
        self.page.wait_for_load_state("load")

    def asked(self):
        """Addresses of all that the page asked for, but itself and what it holds."""
        return [url for url in self.requests if not url.startswith("data:")][1:]

    def close(self):
        """Close the window."""
        self.context.close()


def made_small(path, width, colours=128):
    """Scale a screenshot to a width and give it few colours, of which 128 are plenty for a page."""
    from PIL import Image

    with Image.open(path) as image:
        size = width, round(image.height * width / image.width)
        reduced = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    reduced.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)


def screenshots(report, folder):
    """Pictures of a report: desktop, phone and dark."""
    views = {
        "report_desktop": ((1280, 960), "light", "header", 960),
        "report_dark": ((1280, 1000), "dark", "#h-traffic", 800),
        "report_phone": (PHONE, "light", "header", 390),
    }
    with browser() as running:
        for name, (size, scheme, at, width) in views.items():
            watched = Watched(running, report, size, scheme)
            watched.page.locator("#split").fill("45")
            watched.page.evaluate("document.activeElement.blur()")
            watched.page.evaluate(f"document.querySelector('{at}').closest('section, header').scrollIntoView()")
            path = Path(folder) / f"{name}.png"
            watched.page.screenshot(path=path)
            made_small(path, width)
            print(path, path.stat().st_size, watched.complaints, watched.asked())
            watched.close()


if __name__ == "__main__":
    screenshots(sys.argv[1], sys.argv[2])
