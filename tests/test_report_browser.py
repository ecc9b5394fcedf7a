"""A report in a headless browser: sliders move, pictures change, nothing is complained of and nobody is asked."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from report_in_browser import DESKTOP, PHONE, Watched, browser, browser_program
from small_denoiser import small_denoiser

from spikeunet.engine import Conv2d, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import write_picture

pytest.importorskip("matplotlib", reason="reports need matplotlib (extra report)")
pytest.importorskip("jinja2", reason="reports need jinja2 (extra report)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_program() is None, reason="no chromium, or no playwright (extra browser), is installed"),
]


def talkative_denoiser():
    """`small_denoiser` whose spiking branch has a say in the output, which so changes from step to step."""
    network = small_denoiser()
    spoken = [
        Conv2d("conv2", "concat1", node.weight + np.float32(0.02)) if node.name == "conv2" else node
        for node in network.nodes
    ]
    return network.replace(spoken)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    save_model(talkative_denoiser(), folder / "gray.npz")
    rows, columns = np.mgrid[:96, :128]
    write_picture(folder / "it's <b>.png", (rows + columns).astype(np.uint8))
    arguments = ["report", folder / "gray.npz", folder / "it's <b>.png", "-o", folder / "page"]
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments), "--steps", "4", "--add-noise", "40", "--threads", "1"])
    assert stop.value.code == 0
    return folder / "page" / "report.html"


@pytest.fixture(scope="module")
def running():
    with browser() as found:
        yield found


@pytest.fixture
def opened(running, report):
    """Opens the page in a window of a size and scheme; at the end nothing was complained of, and nobody asked."""
    windows = []

    def open_page(size=DESKTOP, scheme="light"):
        windows.append(Watched(running, report, size, scheme))
        return windows[-1].page

    yield open_page
    for window in windows:
        assert window.complaints == []
        assert window.asked() == []
        window.close()


def pixels(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("L"), np.int64)


def test_the_slider_parts_before_and_after(opened):
    page = opened()
    box, slider = page.locator("#compare"), page.locator("#split")
    slider.fill("100")
    before = pixels(box)
    slider.fill("0")
    after = pixels(box)
    assert np.abs(before - after).mean() > 3
    slider.fill("50")
    half, middle = pixels(box), before.shape[1] // 2
    # Away from the line, and from the words in the corners.
    # The browser may scale a part by other pixels than the whole.
    np.testing.assert_allclose(half[60:, : middle - 4], before[60:, : middle - 4], atol=8)
    np.testing.assert_allclose(half[60:, middle + 4 :], after[60:, middle + 4 :], atol=8)


def test_the_picture_itself_can_be_dragged(opened):
    page = opened()
    box = page.locator("#compare").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 50)
    page.mouse.up()
    assert abs(int(page.locator("#split").input_value()) - 80) <= 1


def test_the_output_forms_by_the_keyboard(opened):
    page = opened()
    slider = page.locator("#step")
    slider.focus()
    seen = []
    page.keyboard.press("Home")
    for step in range(1, 5):
        shown = page.locator("[data-step]:visible")
        assert shown.count() == 1
        assert f"after {step} of 4" in shown.get_attribute("alt")
        text = page.locator("[data-step-text]:visible").inner_text()
        assert text.startswith(f"{step} of 4: ")
        assert "dB" in text
        assert slider.get_attribute("aria-valuetext") == text
        seen.append(pixels(shown))
        page.keyboard.press("ArrowRight")
    assert all((first != second).any() for first, second in pairwise(seen))


def test_a_layer_is_chosen(opened):
    page = opened()
    choices = page.locator("#layer option").all_inner_texts()
    assert [text.split()[0] for text in choices] == ["relu1", "pooling1", "relu_up1"]
    for index, text in enumerate(choices):
        page.locator("#layer").select_option(index=index)
        maps = page.locator("[data-layer]:visible")
        assert maps.count() == 1
        assert text.split()[0] in maps.locator("img").first.get_attribute("alt")
        assert maps.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")


def luminance(page, selector, name):
    red, green, blue = page.locator(selector).first.evaluate(
        f"element => getComputedStyle(element).{name}.match(/[0-9.]+/g).slice(0, 3).map(Number)"
    )
    return 0.2126 * (red / 255) ** 2.2 + 0.7152 * (green / 255) ** 2.2 + 0.0722 * (blue / 255) ** 2.2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read_and_changed(opened, scheme):
    page = opened(scheme=scheme)
    for _ in range(2):
        ground = luminance(page, ".card", "backgroundColor")
        texts = [luminance(page, selector, "color") for selector in ("h2", ".text", ".note", "summary")]
        texts.append(luminance(page, ".chart svg text", "fill"))
        assert all((max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5 for text in texts)
        assert (ground < 0.2) == (scheme == "dark")
        page.locator("#theme").click()
        scheme = "light" if scheme == "dark" else "dark"


def test_a_phone_needs_no_sideways_scrolling(opened):
    page = opened(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    page.locator("summary").first.click()
    assert page.locator("table").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    small = "[...document.querySelectorAll('button, input, select')].filter(e => e.getBoundingClientRect().height < 32)"
    assert page.evaluate(f"{small}.length") == 0


def test_paper_shows_both_pictures(opened):
    page = opened()
    page.emulate_media(media="print")
    boxes = [image.bounding_box() for image in page.locator("#compare img").all()]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert not page.locator("#split").is_visible()


def test_all_controls_are_reached_by_the_tab_key(opened):
    page = opened()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"theme", "split", "step", "layer", "SUMMARY", "A"} <= set(reached)


def test_the_browser_would_see_a_request_and_an_error(running, tmp_path):
    path = tmp_path / "planted.html"
    path.write_text("<img src='http://127.0.0.1:9/x.png'><script>undefinedName()</script>")
    window = Watched(running, path)
    assert window.asked() == ["http://127.0.0.1:9/x.png"]
    assert any("undefinedName" in text for text in window.complaints)
    window.close()
