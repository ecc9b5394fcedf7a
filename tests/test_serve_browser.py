"""The page of `spikeunet serve` in a headless browser: a picture in, a result out, by keyboard and on a phone, too."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_in_browser import DESKTOP, PHONE, Watched, browser, browser_program
from running_server import running_server, wait_until
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import save_model
from spikeunet.engine.pictures.picture_files import write_picture

pytest.importorskip("tornado", reason="the server needs tornado (extra serve)")
pytest.importorskip("jinja2", reason="its pages need jinja2 (extra serve)")
pytest.importorskip("matplotlib", reason="its reports need matplotlib (extra serve)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_program() is None, reason="no chromium, or no playwright (extra browser), is installed"),
]
WAIT = 180_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_model(small_denoiser(description="Halves it <b>"), folder / "gray.npz")
    save_model(small_denoiser(task="derain"), folder / "rain.npz")
    save_model(small_segmenter(), folder / "bright.npz")
    models = [part for name in ("gray", "bright", "rain") for part in ("--model", folder / f"{name}.npz")]
    options = ["--workers", 1, "--threads", 1, "--max-upload", 1, "--per-client", 20]
    with running_server(*models, *options) as found:
        yield found


@pytest.fixture(scope="module")
def running():
    with browser() as found:
        yield found


def close(window, server, complaints=()):
    """Close a window in which nothing was complained of, but what is expected, and from which nobody else was asked."""
    rest = [found for found in window.complaints if not any(text in found for text in complaints)]
    assert rest == []
    assert [url for url in window.requests if not url.startswith((server.url, "blob:"))] == []
    window.close()


@pytest.fixture
def opened(running, server):
    """Opens the page, and closes it at the end."""
    windows, expected = [], []

    def open_page(size=DESKTOP, scheme="light", complaints=()):
        windows.append(Watched(running, server.url, size, scheme))
        expected.append(complaints)
        return windows[-1].page

    yield open_page
    for window, texts in zip(windows, expected, strict=True):
        close(window, server, texts)


@pytest.fixture(scope="module")
def finished(running, server):
    """A page with the result of a picture that was chosen."""
    window = Watched(running, server.url)
    assert window.page.locator("#run").is_disabled()
    window.page.locator("#file").set_input_files(file())
    assert window.page.locator("#chosen").inner_text() == "it's <b>.png"
    window.page.locator("#steps").fill("4")
    window.page.locator("#run").click()
    finish(window.page)
    yield window.page
    close(window, server)


def file(*shape, name="it's <b>.png", suffix=".png"):
    stream = io.BytesIO()
    samples = np.random.default_rng(1).integers(0, 256, shape or (48, 64), dtype=np.uint8)
    write_picture(stream, samples, format=suffix)
    return {"name": name, "mimeType": "image/png", "buffer": stream.getvalue()}


def finish(page):
    page.locator("#report").wait_for(state="visible", timeout=WAIT)
    assert not page.locator("#error").is_visible()


def test_a_picture_that_is_chosen_before_the_script_is_there_is_taken(opened):
    page = opened()
    held = []

    def hold(route):
        held.append(route)

    page.route("**/try.js", hold)
    page.goto(page.url, wait_until="commit")
    page.locator("#file").set_input_files(file())
    page.wait_for_timeout(200)  # its change is over when the script comes
    assert page.locator("#run").is_disabled()
    held.pop().continue_()
    page.locator("#run:enabled").wait_for(timeout=WAIT)
    assert page.locator("#chosen").inner_text() == "it's <b>.png"


def test_a_picture_that_is_chosen_comes_back(finished):
    page = finished
    assert page.locator("#before").get_attribute("alt") == "it's b.png, before"
    sizes = page.locator("#compare img").evaluate_all("images => images.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes == [[64, 48], [64, 48]]
    assert "Operations per pixel" in page.locator("#cards").inner_text()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "it's b-denoised.png"
    assert Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).size == (64, 48)


def test_the_slider_of_the_report_moves_it(finished):
    page = finished
    seen = []
    for value in ("0", "100"):
        page.locator("#split").fill(value)
        shot = page.locator("#compare").screenshot()
        seen.append(np.asarray(Image.open(io.BytesIO(shot)).convert("L"), np.int64))
    assert np.abs(seen[0] - seen[1]).mean() > 5
    assert page.locator("#split").get_attribute("aria-valuetext") == "100 % before"


def test_the_report_opens_and_works(finished):
    page = finished
    with page.context.expect_page() as other:
        page.locator("#report").click()
    report = other.value
    complaints = []
    report.on("console", lambda message: complaints.append(message.text))
    report.wait_for_load_state("load")
    assert report.locator("h1").inner_text() == "it's b.png"
    report.locator("#step").fill("0")
    assert report.locator("[data-step]:visible").get_attribute("alt").endswith("after 1 of 4 time steps")
    # It is a page of no site: whatever it held, it could ask this server nothing.
    assert report.evaluate("origin") == "null"
    assert report.evaluate("fetch('/api').then(() => 'answered', () => 'refused')") == "refused"
    report.close()


def test_all_controls_are_reached_by_the_tab_key_and_an_example_by_the_keyboard_alone(opened):
    page = opened()
    page.locator("#file").set_input_files(file())
    page.locator("summary").first.click()
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.example"))
    wanted = {
        "theme",
        "file",
        "camera",
        "chelsea",
        "rocket",
        "retina",
        "model",
        "steps",
        "add-noise",
        "strength",
        "format",
    }
    assert wanted | {"self-ensemble", "range", "page", "seed", "kernels", "run"} <= set(reached)
    page.locator("#steps").focus()
    page.keyboard.type("1")
    page.locator("[data-example=camera]").focus()
    page.keyboard.press("Enter")
    assert page.locator("[data-example=camera]").get_attribute("aria-pressed") == "true"
    assert page.locator("#add-noise").input_value() == "25"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "run":
            break
    page.keyboard.press("Enter")
    finish(page)
    assert "PSNR" in page.locator("#cards").inner_text()


def the_strength_goes_back_to_what_the_model_does(page):
    assert page.locator("#strength-text").inner_text() == "all of it"
    page.locator("#strength").fill("0.4")
    assert page.locator("#strength-text").inner_text() == "40 %"
    page.locator("#strength-reset").click()
    assert page.locator("#strength-text").inner_text() == "all of it"


def test_the_task_decides_what_can_be_chosen(opened):
    page = opened()
    the_strength_goes_back_to_what_the_model_does(page)
    assert page.locator("#model option").all_inner_texts() == ["gray"]
    assert page.locator("#model-text").inner_text() == "Halves it <b>"
    page.locator("input[value=segment]").check(force=True)
    assert page.locator("#model option").all_inner_texts() == ["bright"]
    assert not page.locator("#add-noise").is_visible()
    assert not page.locator("#strength").is_visible()
    page.locator("#file").set_input_files(file())
    page.locator("#run").click()
    finish(page)
    assert page.locator("#after-name").inner_text() == "segmented"
    assert page.locator("#download-overlay").is_visible()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).mode == "P"


def test_rain_is_added_and_taken_off(opened):
    page = opened()
    page.locator("[data-example=rocket]").click()
    assert page.locator("input[value=derain]").is_checked()
    assert page.locator("#model option").all_inner_texts() == ["rain"]
    assert page.locator("#add-rain").input_value() == "heavy"
    assert page.locator("#strength").is_visible()
    assert not page.locator("#add-noise").is_visible()
    page.locator("#file").set_input_files(file(48, 64, 3))
    assert page.locator("#add-rain").input_value() == ""
    page.locator("#add-rain").select_option("light")
    page.locator("#run").click()
    finish(page)
    assert page.locator("#after-name").inner_text() == "derained"
    assert "PSNR" in page.locator("#cards").inner_text()


def test_a_picture_can_be_dropped_and_pasted(opened):
    page = opened()
    content = base64.b64encode(file()["buffer"]).decode()
    give = """([text, kind]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], `${kind}.png`, { type: "image/png" }));
      const event = kind === "drop" ? new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })
        : new ClipboardEvent(kind, { clipboardData: data, bubbles: true });
      document.querySelector("header").dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(give, [content, kind])
        assert page.locator("#chosen").inner_text() == f"{kind}.png"
    page.locator("#run").click()
    finish(page)


BAD = {
    "bad.png: not a PNG, JPEG": b"no picture",
    "4200x4200 pixels are more than the limit": file(4200, 4200)["buffer"][:900_000],
}
"""Pictures by what is said of them."""


def test_bad_input_is_one_line_on_the_page(opened):
    page = opened(complaints=("400",))
    # Too large a file is not even sent.
    page.locator("#file").set_input_files({"name": "big.png", "mimeType": "image/png", "buffer": bytes(1_100_000)})
    assert "larger than 1048576 bytes" in page.locator("#error").inner_text()
    assert page.locator("#run").is_disabled()
    for text, content in BAD.items():
        page.locator("#file").set_input_files({"name": "bad.png", "mimeType": "image/png", "buffer": content})
        page.locator("#run").click()
        page.locator("#error", has_text=text).wait_for(state="visible", timeout=WAIT)
        assert page.locator("#error").get_attribute("role") == "alert"
        assert page.locator("#run").is_enabled()
    # What is refused by its address, too.
    page.locator("#file").set_input_files(file())
    page.locator("#steps").fill("99")
    page.locator("#run").click()
    page.locator("#error", has_text="99").wait_for(state="visible", timeout=WAIT)
    assert page.locator("#error").inner_text() == "steps are at most 32 on this server (got 99)"
    # And the page goes on.
    page.locator("#steps").fill("")
    page.locator("#run").click()
    finish(page)


def start_long_run(page):
    page.locator("#file").set_input_files(file(900, 1000, name="long.jpg", suffix=".jpg"))
    page.locator("#steps").fill("32")
    page.locator("#run").click()
    page.locator("#cancel").wait_for(state="visible", timeout=WAIT)


def is_free(server):
    """Whether no picture waits or is at work, so that the next one is done at once."""
    if any(server.left_over()[0].glob("*/upload")):
        return False
    headers = {"Content-Type": "image/png"}
    return server.ask("POST", "/api/run", file()["buffer"], headers, model="gray").status == 200


def test_cancel_stops_the_work_and_so_does_a_page_that_is_closed(running, server):
    window = Watched(running, server.url)
    page = window.page
    start_long_run(page)
    page.locator("#stage", has_text="at work").wait_for(timeout=WAIT)
    page.locator("#cancel").click()
    page.locator("#error").wait_for(state="visible", timeout=WAIT)
    assert page.locator("#error").inner_text() == "Cancelled."
    wait_until(lambda: is_free(server))
    page.locator("#file").set_input_files(file())
    page.locator("#steps").fill("")
    page.locator("#run").click()
    finish(page)
    start_long_run(page)
    page.locator("#stage", has_text="at work").wait_for(timeout=WAIT)
    assert any(server.left_over()[0].glob("*/upload"))
    page.close(run_before_unload=False)
    wait_until(lambda: is_free(server))
    close(window, server)


def luminance(page, selector, name):
    text = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{name}")
    red, green, blue = (float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3])
    return 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read_and_changed(opened, scheme):
    page = opened(scheme=scheme)
    page.locator("[data-example=camera]").click()
    for _ in range(2):
        ground = luminance(page, ".card", "backgroundColor")
        texts = [luminance(page, selector, "color") for selector in ("h2", ".note", "summary", "legend", ".empty")]
        assert all((max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5 for text in texts)
        button = luminance(page, "#run", "backgroundColor"), luminance(page, "#run", "color")
        assert (max(button) + 0.05) / (min(button) + 0.05) >= 4.5
        assert (ground < 0.2) == (scheme == "dark")
        page.mouse.move(0, 0)
        page.locator("#theme").click()
        scheme = "light" if scheme == "dark" else "dark"


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened(PHONE)
    page.locator("summary").first.click()
    page.locator("#file").set_input_files(file(16, 600))
    page.locator("#run").click()
    finish(page)
    page.locator("summary").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    # What is seen of radio buttons and of the file's field is their label.
    seen = "'button, select, .button, .tasks span, input:not([type=radio], [type=file])'"
    small = f"""[...document.querySelectorAll({seen})]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 32).length"""
    assert page.evaluate(small) == 0


def test_a_token_opens_the_page_and_leaves_its_address_and_a_server_that_is_gone_is_said(running, tmp_path):
    save_model(small_denoiser(), tmp_path / "gray.npz")
    token = "a-token-of-enough-letters"
    with running_server("--model", tmp_path / "gray.npz", "--workers", 1, SPIKEUNET_TOKEN=token) as server:
        window = Watched(running, server.url)
        page = window.page
        assert page.locator("#file").count() == 0
        page.locator("#token").fill(token)
        page.keyboard.press("Enter")
        page.locator("#file").set_input_files(file())
        assert page.url == server.url
        page.locator("#run").click()
        finish(page)
        assert page.evaluate("document.cookie") == ""
    page.locator("#run").click()
    page.locator("#error").wait_for(state="visible", timeout=WAIT)
    assert "the server cannot be reached" in page.locator("#error").inner_text()
    window.close()
