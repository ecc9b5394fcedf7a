"""Reports: one page that holds everything, numbers that are the ledger's, names that may be anything."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import refusals
import tifffile
from small_classifier import SIDE, small_classifier
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import denoise, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.metrics import psnr
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.report import Content, maps, sections, write_page

pytest.importorskip("matplotlib", reason="reports need matplotlib (extra report)")
pytest.importorskip("jinja2", reason="reports need jinja2 (extra report)")
NAME = "<img src=x onerror=alert(1)>'\"&.png"
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """All elements of a page with their attributes; the page's own HTML must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]


def run(*arguments, status=0):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    assert stop.value.code == status


@pytest.fixture
def blank(monkeypatch):
    """No charts are drawn, which takes most of the time of a page; `reported` has them."""
    monkeypatch.setattr(sections, "svg", lambda name, title, draw: f'<svg role="img" aria-label="{title}"></svg>')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    return tmp_path


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The folder of a report on a noisy picture whose name is hostile, its page, and its numbers."""
    folder = tmp_path_factory.mktemp("reported")
    save_model(small_denoiser(), folder / "gray.npz")
    picture = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    write_picture(folder / NAME, picture)
    model, noise = folder / "gray.npz", ("--add-noise", 25, "--seed", 3)
    run("report", model, folder / NAME, "-o", folder / "page", "--steps", 3, *noise, "--threads", 1)
    text = (folder / "page" / "report.html").read_text("utf-8")
    return folder, Page(text), json.loads((folder / "page" / "report.json").read_text("utf-8"))


def test_the_page_loads_nothing_and_a_policy_says_so(reported):
    _, page, _ = reported
    (policy,) = (each["content"] for each in page.all("meta") if each.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy
    names = ("src", "href", "srcset", "data", "action", "xlink:href")
    places = [attributes[name] for _, attributes in page.elements for name in names if name in attributes]
    assert places
    assert all(place.startswith(("data:", "#")) for place in places)
    assert page.all("iframe") == page.all("object") == []


def test_names_are_text_and_never_markup(reported):
    _, page, numbers = reported
    assert numbers["pictures"][0]["title"] == NAME
    assert NAME in page.texts
    assert all(attributes.get("src") != "x" and "onerror" not in attributes for _, attributes in page.elements)


def test_everything_has_a_name_for_those_who_do_not_see_it(reported):
    _, page, _ = reported
    assert all(image["alt"] for image in page.all("img"))
    drawings = page.all("svg")
    assert drawings
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)
    labelled = {label["for"] for label in page.all("label")}
    controls = [*page.all("input"), *page.all("select")]
    assert {control["id"] for control in controls} == labelled == {"split", "step", "layer"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("table")) == len(drawings)  # the numbers behind every chart


def test_numbers_are_those_of_the_run(reported):
    folder, _, found = reported
    assert (found["schema"], found["version"]) == ("spikeunet-report", 1)
    (numbers,) = found["pictures"]
    result = denoise(read_picture(folder / NAME), folder / "gray.npz", steps=3, threads=1).result
    assert numbers["steps"] == 3
    assert [layer["name"] for layer in numbers["layers"]] == list(result.events)
    assert numbers["totals"]["neuron_updates"] == result.operations.totals["neuron_updates"]
    steps = numbers["by_step"]
    assert sum(step["operations"] for step in steps) == steps[-1]["operations_until"] == numbers["totals"]["synops"]
    assert sum(step["events"] for step in steps) == numbers["totals"]["events"]
    assert (
        sum(edge["operations"] for edge in numbers["edges"] if edge["source"] != "input")
        == steps[-1]["operations_until"]
    )
    assert steps[-1]["psnr"] == pytest.approx(numbers["psnr_after"], abs=1e-6)
    assert numbers["readings"]["accumulate"]["operations"] is None
    assert "graded" in numbers["readings"]["accumulate"]["why_not"]
    (of_run,) = found["run"]["pictures"]
    assert of_run["accumulates"] == numbers["totals"]["synops"]
    assert numbers["energy"]["spiking_joules"] == of_run["energy_joules"]


def test_the_result_lies_beside_the_page(reported):
    folder, _, found = reported
    clean, restored = read_picture(folder / NAME), read_picture(folder / "page" / NAME)
    assert psnr(clean / 255, restored / 255) == pytest.approx(found["pictures"][0]["psnr_after"], abs=0.1)


def test_pictures_of_steps_are_the_output_as_it_forms(reported):
    from PIL import Image

    folder, page, _ = reported
    images = [image for image in page.all("img") if "data-step" in image]
    assert len(images) == 3
    assert ["hidden" in image for image in images] == [True, True, False]
    data = Path(folder / "last.webp")
    data.write_bytes(base64.b64decode(images[-1]["src"].partition(",")[2]))
    with Image.open(data) as last:
        shown = np.asarray(last.convert("L"))
    np.testing.assert_array_equal(shown, read_picture(folder / "page" / NAME))


def test_watching_keeps_the_picture_after_each_step():
    picture = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    network = small_denoiser()
    watched = denoise(picture, network, steps=3, threads=1, watch=True)
    assert watched.watched.by_step.shape == (3, 12, 16, 3)
    np.testing.assert_array_equal(watched.watched.by_step[-1], watched.restored)
    assert watched.watched.inputs.shape == (3, 1, 12, 16)
    assert "readout" not in watched.result.recorded
    plain = denoise(picture, network, steps=3, threads=1)
    assert plain.watched is None
    np.testing.assert_array_equal(plain.picture, watched.picture)


def test_a_report_beside_the_labels_of_a_segmentation(folder, blank):
    save_model(small_segmenter(), "classes.npz")
    run("segment", "good.png", "-o", "labels.png", "--model", "classes.npz", "--report", "pages", "--threads", 1)
    found = json.loads(Path("pages/report.json").read_text())
    assert (found["pictures"][0]["task"], found["pictures"][0]["page"]) == ("Segmented", "report.html")
    page = Page(Path("pages/report.html").read_text("utf-8"))
    assert len([image for image in page.all("img") if "data-step" in image]) == 3


def test_several_pictures_have_a_page_each_and_one_that_leads_there(folder, blank):
    run("denoise", "folder", "-o", "out", "--model", "gray.npz", "--report", "pages/", "--threads", 1)
    assert sorted(path.name for path in Path("pages").iterdir()) == ["1.html", "2.html", "report.html", "report.json"]
    page = Page(Path("pages/report.html").read_text("utf-8"))
    assert [link["href"] for link in page.all("a")] == ["#main", "1.html", "2.html"]
    found = json.loads(Path("pages/report.json").read_text())
    assert [picture["page"] for picture in found["pictures"]] == ["1.html", "2.html"]


def test_a_series_has_a_timeline(folder, blank):
    stack = np.random.default_rng(2).integers(0, 256, (3, 12, 16), dtype=np.uint8)
    tifffile.imwrite("stack.tif", stack, photometric="minisblack")
    run("report", "gray.npz", "stack.tif", "-o", "pages", "--threads", 1)
    (numbers,) = json.loads(Path("pages/report.json").read_text())["pictures"]
    assert len(numbers["frames"]) == 3
    assert sum(frame["operations"] for frame in numbers["frames"]) == numbers["totals"]["synops"]
    assert "Timeline" in Page(Path("pages/report.html").read_text("utf-8")).texts
    assert any("first" in note for note in numbers["notes"])


def test_a_classifier_has_a_page_without_pictures_to_compare(folder, blank):
    save_model(small_classifier(), "classes.npz")
    write_picture("square.png", np.full((SIDE, SIDE), 90, np.uint8))
    run("report", "classes.npz", "square.png", "-o", "pages", "--threads", 1, "--energy", "loihi")
    page = Page(Path("pages/report.html").read_text("utf-8"))
    assert {control["id"] for control in (*page.all("input"), *page.all("select"))} == {"layer"}
    (numbers,) = json.loads(Path("pages/report.json").read_text())["pictures"]
    assert numbers["energy"]["model"] == "loihi"


REFUSED = {
    "a folder": (["gray.npz", "folder", "-o", "new"], "a report is on one picture file"),
    "over the picture": (["gray.npz", "good.png", "-o", "."], "good.png: the output of good.png would overwrite"),
    "nowhere": (["gray.npz", "good.png", "-o", "no/new"], "no: No such file or directory"),
    "noise for labels": (["segment.npz", "good.png", "-o", "new", "--add-noise", 5], "are for denoisers"),
    "a seed alone": (["gray.npz", "good.png", "-o", "new", "--seed", 5], "no meaning without --add-noise"),
    "steps": (["gray.npz", "good.png", "-o", "new", "--steps", 0], "steps must be a whole number"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_leave_no_folder_behind(folder, capsys, kind):
    arguments, message = REFUSED[kind]
    assert message in refusals.refusal(capsys, "report", *arguments)


def test_without_jinja_the_extra_is_named(folder, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "jinja2" else found(name))
    message = refusals.refusal(capsys, "denoise", "good.png", "-o", "out.png", "--report", "new")
    assert "needs jinja2, which is missing; pip install 'spikeunet[report]'" in message


def test_a_name_with_a_suffix_and_a_file_stay_json(folder, blank):
    Path("known").write_text("replaced")
    for name in ("numbers.json", "known"):
        run("denoise", "good.png", "-o", "out.png", "--model", "gray.npz", "--report", name, "--threads", 1)
        assert json.loads(Path(name).read_text())["pictures"][0]["input"] == "good.png"


def test_pages_come_from_python_too(tmp_path, blank):
    network = small_denoiser()
    noisy = np.random.default_rng(0).random((12, 16)).astype(np.float32)
    result = denoise(noisy, network, steps=1, threads=1).result
    content = Content(title="mine", model="own", task="Run", network=network, result=result, pixels=192)
    write_page(tmp_path / "new", content)
    found = json.loads((tmp_path / "new" / "report.json").read_text())
    assert found["pictures"][0]["title"] == "mine"


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, blank):
    network = small_denoiser()
    result = denoise(np.zeros((12, 16), np.uint8), network, steps=1, threads=1).result
    content = Content(title="mine", model="own", task="Run", network=network, result=result, pixels=192)
    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_page(tmp_path, content)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"report.html": "old"}


def test_maps_come_from_a_middle_that_fits(monkeypatch):
    network = small_denoiser()
    inputs = np.random.default_rng(0).random((1, 40, 64)).astype(np.float32)
    assert maps.part_for_maps(network, inputs).shape == (1, 40, 64)
    monkeypatch.setattr(maps, "MOST_NEURONS", 6000)
    part = maps.part_for_maps(network, inputs)
    neurons = sum(np.prod(network.shapes(part.shape)[node.name]) for node in network.neurons)
    assert 3000 < neurons <= 6000
    top, left = (40 - part.shape[1]) // 2, (64 - part.shape[2]) // 2
    np.testing.assert_allclose(part, inputs[:, top : top + part.shape[1], left : left + part.shape[2]])
    monkeypatch.setattr(maps, "MOST_NEURONS", 1)
    assert maps.part_for_maps(network, inputs) is None


def test_colours_of_charts_are_those_of_the_page(reported):
    folder, _, _ = reported
    text = (folder / "page" / "report.html").read_text("utf-8")
    for variable in ("--ink", "--muted", "--line", "--grid", "--series-1"):
        assert f"var({variable})" in text
        assert len(re.findall(rf"{variable}:", text)) >= 2  # light and dark


def test_a_picture_that_was_left_as_it_is_has_a_page_that_says_so(folder, blank):
    write_picture("clean.png", np.full((64, 64), 90, np.uint8))
    run("denoise", "clean.png", "-o", "same.png", "--model", "auto", "--report", "left/")
    page = Page(Path("left/report.html").read_text("utf-8"))
    assert any("nothing was simulated" in text for text in page.texts)
    assert not any(attributes.get("id") == "h-energy" for attributes in page.all("h2"))
    assert json.loads(Path("left/report.json").read_text())["pictures"][0]["edges"] == []


def test_a_card_says_how_mixed_events_are_read():
    from types import SimpleNamespace

    from spikeunet.engine.report.sections import cards

    content = SimpleNamespace(psnr=None, result=SimpleNamespace(density=0.5, steps=4, seconds=1.0))
    energy = {"reading": "mixed", "model": "45nm", "spiking_joules": 1e-3, "dense_joules": None}
    found = {"energy": energy, "operations_per_pixel": 2.0, "dense_macs_per_pixel": 0, "totals": {"events": 7}}
    text = next(card.text for card in cards(content, found) if card.label == "Energy")
    assert text == "events as accumulates where they are binary, else multiply-accumulates, by 45nm"
