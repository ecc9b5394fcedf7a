"""The parts of the server, without one: who may ask, what may be asked for, who waits and what is kept."""

from __future__ import annotations

import asyncio
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import InputError, ModelFileError, SpikeunetError, read_picture, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.serve import texts
from spikeunet.engine.serve.access import Access, check_token, host_name, is_loopback, made_token
from spikeunet.engine.serve.catalogue import EXAMPLES, PICTURES, catalogue
from spikeunet.engine.serve.jobs import Board
from spikeunet.engine.serve.limits import Limits
from spikeunet.engine.serve.orders import Order, read_order
from spikeunet.engine.serve.pool import _usual_models
from spikeunet.engine.serve.refusals import RefusedError
from spikeunet.engine.serve.work import Place, carry_out

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_model(small_denoiser(), folder / "gray.npz")
    save_model(small_denoiser(task="derain"), folder / "rain.npz")
    save_model(small_segmenter(), folder / "bright.npz")
    return catalogue([str(folder / f"{name}.npz") for name in ("bright", "gray", "rain")])


# ---- who may ask


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:80", "localhost."])
def test_this_machine_is_asked_by_its_own_names(host):
    Access("127.0.0.1").check_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[::1",
        "a,b",
    ],
)
def test_names_that_others_may_have_made_are_refused(host):
    with pytest.raises(RefusedError) as refused:
        Access("127.0.0.1").check_host(host)
    assert refused.value.status in (400, 421)


def test_a_request_without_a_host_is_refused():
    with pytest.raises(RefusedError, match="Host"):
        Access("127.0.0.1").check_host(None)


def test_beyond_this_machine_addresses_in_figures_and_named_hosts_are_its_own():
    access = Access("0.0.0.0", "t" * 16, ["Lab.Example"])
    for host in ("192.168.1.5:8765", "lab.example", "[fe80::1]:8765"):
        access.check_host(host)
    with pytest.raises(RefusedError, match="--allow-host"):
        access.check_host("evil.example")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://127.0.0.1:8765"}, True),
        ({"Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_pages_of_other_sites_may_not_ask(headers, allowed):
    headers = {"Host": "127.0.0.1:8765", **headers}
    if allowed:
        Access("127.0.0.1").check_origin(headers)
        return
    with pytest.raises(RefusedError, match="other sites"):
        Access("127.0.0.1").check_origin(headers)


def test_a_link_may_lead_to_the_page_and_nowhere_else():
    headers = {"Host": "a", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    Access("127.0.0.1").check_origin(headers, navigation=True)
    with pytest.raises(RefusedError):
        Access("127.0.0.1").check_origin(headers)
    with pytest.raises(RefusedError):
        Access("127.0.0.1").check_origin({**headers, "Sec-Fetch-Mode": "no-cors"}, navigation=True)


def test_a_token_opens_by_the_header_and_its_cookie_is_another_text():
    token = made_token()
    access = Access("0.0.0.0", token)
    access.check_authorization(f"Bearer {token}", None)
    access.check_authorization(f"bearer  {token} ", None)
    access.check_authorization(None, access.session)
    assert token not in access.session
    for header, cookie in ((None, None), (f"Bearer {token}x", None), (token, None), (None, token), ("Bearer \xff", "")):
        with pytest.raises(RefusedError) as refused:
            access.check_authorization(header, cookie)
        assert refused.value.status == 401
    Access("127.0.0.1").check_authorization(None, None)


def test_tokens_are_long_and_all_different():
    assert len({made_token() for _ in range(50)}) == 50
    assert check_token("0123456789abcdef") == "0123456789abcdef"
    for bad in ("short", "a" * 15, "a b" * 9, "ä" * 20, "\n" * 20):
        with pytest.raises(InputError, match="16 characters"):
            check_token(bad)


def test_comparisons_do_not_tell_how_much_was_right():
    """What is secret is compared by the one function that takes the same time for any two texts."""
    source = (REPOSITORY / "engine" / "serve" / "access.py").read_text("utf-8")
    assert "hmac.compare_digest" in source
    assert not re.search(r"(token|session)\s*[!=]=(?!=)\s*\w|\w\s*[!=]=\s*(self\.)?(token|session)\b", source)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.org", False),
    ],
)
def test_what_is_this_machine_alone(host, loopback):
    assert is_loopback(host) == loopback


def test_names_of_hosts_are_cut_out_of_headers():
    assert [host_name(text) for text in ("A.b:80", "[::1]:80", "x.", " y ")] == ["a.b", "::1", "x", "y"]


# ---- what may be asked for


def test_parameters_become_an_order(found):
    order = read_order(
        {"task": "denoise", "model": "gray", "name": "a/b\\c.tif", "steps": "2", "strength": ".5", "format": "TIF"}
        | {"self-ensemble": "4"},
        found,
        Limits(),
    )
    assert (order.name, order.stem, order.model, order.suffix) == ("c.tif", "c", "gray", "tif")
    values = order.parsed()
    assert (values["steps"], values["strength"], values["kernels"], values["add_noise"]) == (2, 0.5, "auto", None)
    assert values["self_ensemble"] == 4
    assert Order.from_json(order.as_json()) == order


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"task": "classify"}, "there is no task 'classify'"),
        ({"model": "../../etc/passwd"}, "there is no model '../../etc/passwd'"),
        ({"model": "bright"}, "there is no model 'bright' to denoise"),
        ({"task": "segment", "add-noise": "25"}, "unknown to segment: add-noise"),
        ({"task": "derain", "add-noise": "25"}, "unknown to derain: add-noise"),
        ({"task": "derain", "add-rain": "wet"}, "rain is light, medium, heavy"),
        ({"task": "derain", "seed": "1"}, "--seed 1 has no meaning without --add-rain"),
        ({"output": "/tmp/x.png"}, "unknown to denoise: output"),
        ({"report": "/tmp/x"}, "report '/tmp/x' is none of yes, no"),
        ({"steps": "many"}, "Invalid value for '--steps'"),
        ({"steps": "0"}, "steps must be a whole number from 1 to 1000"),
        ({"steps": "33"}, "steps are at most 32"),
        ({"self-ensemble": "3"}, "self-ensemble must be 1, 2, 4 or 8"),
        ({"self-ensemble": "8", "steps": "5"}, "steps times self-ensemble are at most 32"),
        ({"task": "segment", "self-ensemble": "2"}, "unknown to segment: self-ensemble"),
        ({"strength": "2"}, "the strength must lie between 0"),
        ({"strength": "nan"}, "the strength must lie between 0"),
        ({"seed": "1"}, "--seed 1 has no meaning without --add-noise"),
        ({"add-noise": "inf"}, "sigma must lie between 0 and 255"),
        ({"range": "9:3"}, "is not LOW:HIGH"),
        ({"page": "-1"}, "Invalid value for '--page'"),
        ({"kernels": "gpu"}, "Invalid value for '--kernels'"),
        ({"format": "exe"}, "format 'exe' is none of"),
        ({"example": "mona"}, "there is no example 'mona'"),
        ({"steps": "1\n--output=/tmp/x"}, "Invalid value for '--steps'"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_the_command(found, parameters, text):
    with pytest.raises(SpikeunetError) as refused:
        read_order(parameters, found, Limits())
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_commands_words_are_the_same(found, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in ("many", "0"):
        with pytest.raises(SpikeunetError) as refused:
            read_order({"steps": value}, found, Limits())
        with pytest.raises(SystemExit):
            main(["denoise", "x.png", "-o", "y.png", "--steps", value])
        assert str(refused.value) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../../etc/passwd", "passwd"),
        ("C:\\pictures\\a.png", "a.png"),
        ('<img src="x">.png', "img src=x.png"),
        ("\x00\x1b[31m.png", "[31m.png"),
        ("", "picture"),
        ("...", "picture"),
        ("/", "picture"),
        ("a" * 300 + ".tiff", "a" * 72 + ".tiff"),
    ],
)
def test_names_are_for_messages_alone(found, given, kept):
    assert read_order({"name": given}, found, Limits()).name == kept


def test_the_catalogue_offers_what_is_named_and_by_its_name_alone(found, tmp_path):
    assert found.tasks == ["denoise", "derain", "segment"]
    assert [found.names(task) for task in found.tasks] == [["gray"], ["rain"], ["bright"]]
    assert all(Path(source).is_absolute() for source in found.sources().values())
    with pytest.raises(ModelFileError):
        catalogue([str(tmp_path / "missing.npz")])
    save_model(small_denoiser(task="upscale"), tmp_path / "other.npz")
    with pytest.raises(InputError, match="is for 'upscale'"):
        catalogue([str(tmp_path / "other.npz")])


def test_auto_is_offered_with_the_models_that_come_along():
    models = ["denoise-colour-fast", "denoise-gray", "auto"]
    assert catalogue(models).names("denoise") == ["auto", "denoise-gray", "denoise-colour-fast"]
    assert catalogue(["segment-vessels"]).names("denoise") == []


def test_examples_are_the_pictures_of_the_examples():
    for name in EXAMPLES:
        ours = read_picture(PICTURES / EXAMPLES[name].file)
        np.testing.assert_array_equal(ours, read_picture(REPOSITORY / "examples" / "pictures" / f"{name}.png"))


# ---- who waits, and what is kept


@pytest.fixture
def board(tmp_path):
    limits = Limits(waiting=3, per_client=2, patience=0.05, kept_seconds=0.2, kept_bytes=1000)
    return Board(tmp_path, limits)


ORDER = Order(name="a.png", task="denoise", model="gray", options={}, suffix="png")


def submitted(board, client="me"):
    with board.arriving(client) as folder:
        (folder / "upload").write_bytes(b"x" * 100)
        return board.submit(ORDER, client, folder)


def test_places_are_limited_in_all_and_for_each_address(board):
    async def run():
        first, second = submitted(board), submitted(board)
        assert (board.position(first), board.position(second)) == (0, 1)
        with pytest.raises(RefusedError) as refused:
            submitted(board)
        assert (refused.value.status, refused.value.retry_after) == (429, 2)
        with board.arriving("other"), pytest.raises(RefusedError) as refused:
            submitted(board, "a third one")
        assert refused.value.status == 503
        board.cancel(first)
        assert (board.position(second), first.state, first.folder.exists()) == (0, "cancelled", False)

    asyncio.run(run())


def test_an_upload_that_breaks_off_leaves_nothing(board, tmp_path):
    arriving = board.arriving("me")
    (arriving.__enter__() / "upload").write_bytes(b"half")
    arriving.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []
    board.check_room("me")


def test_a_job_that_nobody_asks_about_is_cancelled(board):
    async def run():
        job, other = submitted(board), submitted(board)
        running = await board.next()
        assert running is job
        with other.attended():
            await asyncio.sleep(0.1)
            board.tidy()
        assert (job.state, job.stop.is_set(), other.state) == ("cancelled", True, "queued")

    asyncio.run(run())


def test_results_are_kept_for_some_time_and_some_bytes(board):
    async def run():
        jobs = [submitted(board, str(number)) for number in range(3)]
        for job in jobs:
            await board.next()
            (job.folder / "result.png").write_bytes(b"x" * 600)
            job.change(state="done", result={})
            board.end(job, "done")
        board.tidy()
        with pytest.raises(RefusedError, match="kept for long enough"):
            board.find(jobs[0].key)
        assert board.find(jobs[2].key) is jobs[2]
        assert not jobs[0].folder.exists()
        await asyncio.sleep(0.25)
        board.tidy()
        with pytest.raises(RefusedError):
            board.find(jobs[2].key)
        assert not jobs[2].folder.exists()

    asyncio.run(run())


def test_of_jobs_that_failed_only_so_many_are_known(tmp_path):
    async def run():
        board = Board(tmp_path, Limits(kept_jobs=3))
        jobs = []
        for _ in range(6):
            jobs.append(submitted(board))
            board.end(await board.next(), "failed", "no picture", 415)
        board.tidy()
        for job in jobs[3:]:
            assert board.find(job.key).error == "no picture"
        with pytest.raises(RefusedError):
            board.find(jobs[2].key)

    asyncio.run(run())


def test_what_a_worker_writes_for_a_job_that_was_given_up_is_removed(board):
    async def run():
        job = submitted(board)
        await board.next()
        board.forget(job)
        job.folder.mkdir()
        (job.folder / "result.png").write_bytes(b"late")
        board.sweep(job)
        assert not job.folder.exists()

    asyncio.run(run())


def test_the_commands_variable_is_the_one_that_workers_do_not_see():
    from spikeunet.engine.command_line import serve
    from spikeunet.engine.serve import access

    assert serve.TOKEN == access.TOKEN


def test_who_waits_for_a_change_is_woken(board):
    async def run():
        job = submitted(board)
        waiting = asyncio.create_task(job.changed_since(job.version, 5))
        await asyncio.sleep(0)
        job.change(stage="reading")
        await asyncio.wait_for(waiting, 1)
        await asyncio.wait_for(job.changed_since(job.version - 1, 5), 1)

    asyncio.run(run())


def test_a_result_stays_where_its_report_failed(board):
    async def run():
        job = submitted(board)
        await board.next()
        job.change(state="done", result={"after": "denoised"})
        board.end(job, "failed", "took too long", 413)
        assert (job.state, job.error, job.report) == ("done", "", "none")

    asyncio.run(run())


def test_times_are_learnt(board):
    async def run():
        job = submitted(board)
        job.pixels = 1000
        assert board.expected_seconds(job, 2) is None
        board.note_time(job, 2, 4.0)
        assert board.expected_seconds(job, 1) == pytest.approx(2.0)

    asyncio.run(run())


# ---- the page


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("jinja2", reason="pages need jinja2 (extra serve)")
    folder = tmp_path_factory.mktemp("named")
    save_model(small_denoiser(description="<script>alert(1)</script>"), folder / "a'b.npz")
    found = catalogue([str(folder / "a'b.npz"), "segment-vessels"])
    return texts.made_texts(found, Limits())


def test_names_of_models_are_text_and_never_markup(page):
    assert "<script>alert" not in page["page"]
    assert [attributes for tag, attributes in Elements(page["page"]).found if tag == "script"] == [
        {"src": "/page.js"},
        {"src": "/try.js"},
    ]


def test_every_control_has_a_name_and_no_attribute_runs_anything(page):
    elements = Elements(page["page"]).found
    labels = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    for tag, attributes in elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
        if tag in ("select", "input") and attributes.get("type") != "radio":
            assert attributes["id"] in labels, attributes
        if tag == "img":
            assert "alt" in attributes
    addresses = [value for _, attributes in elements for name, value in attributes.items() if name in ("src", "href")]
    assert all(address.startswith(("/", "#")) for address in addresses), addresses


def test_the_page_has_the_reports_style_and_slider(page):
    report = (REPOSITORY / "engine" / "report" / "templates" / "page.js").read_text("utf-8")
    assert page["page.js"] == report.rstrip("\n") or page["page.js"] == report
    assert ".compare .over" in page["style.css"]
    ours = (REPOSITORY / "engine" / "serve" / "templates" / "try.css").read_text("utf-8")
    assert ".compare .over" not in ours


def test_without_tornado_the_extra_is_named(capsys, monkeypatch):
    import importlib.machinery
    import importlib.util

    whole, there = importlib.util.find_spec, importlib.machinery.ModuleSpec("there", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tornado" else whole(name) or there)
    with pytest.raises(SystemExit) as stop:
        main(["serve"])
    assert stop.value.code == 2
    assert "needs tornado, which is missing; pip install 'spikeunet[serve]'" in capsys.readouterr().err


@pytest.mark.all_step_groups
def test_a_picture_that_takes_more_memory_than_there_is_is_refused_before_it_is_worked_on(tmp_path):
    stream, said = io.BytesIO(), {}
    write_picture(stream, np.zeros((3000, 4000), np.uint8), format=".png")
    order = read_order({"task": "derain", "name": "large.png"}, catalogue(["derain-small"]), Limits())
    place = Place(tmp_path, {"derain-small": "derain-small"}, memory=4 << 30)
    carry_out(order, stream.getvalue(), place, lambda **values: said.update(values))
    assert said == {"error": said["error"], "status": 413}
    assert re.fullmatch(
        r"large.png: 4000x3000 pixels take about 12.5 GiB with derain-small, which needs all of a picture at once, and "
        r"there are 4.0; make it smaller than 3.8 million pixels",
        said["error"],
    )


def test_the_first_picture_of_each_task_waits_for_no_kernels(found):
    assert [(task, Path(source).stem) for task, source in _usual_models(found)] == [
        ("denoise", "gray"),
        ("derain", "rain"),
        ("segment", "bright"),
    ]
    assert _usual_models(catalogue(["auto", "denoise-gray-fast"])) == [("denoise", "denoise-gray-fast")]
