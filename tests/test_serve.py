"""The server as users start it: results, refusals with their status, headers, the token, and a clean end."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running_server import running_server, wait_until
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import denoise, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.pictures.picture_files import read_picture, write_picture

pytest.importorskip("tornado", reason="the server needs tornado (extra serve)")
pytest.importorskip("jinja2", reason="its pages need jinja2 (extra serve)")
pytest.importorskip("matplotlib", reason="its reports need matplotlib (extra serve)")

REPOSITORY = Path(__file__).resolve().parent.parent
DENOISE = {"task": "denoise", "model": "gray"}
PLAIN = {"Content-Type": "application/octet-stream"}


def picture(*shape, suffix=".png"):
    samples = np.random.default_rng(0).integers(0, 256, shape or (12, 16), dtype=np.uint8)
    stream = io.BytesIO()
    write_picture(stream, samples, format=suffix)
    return stream.getvalue()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_model(small_denoiser(), folder / "gray.npz")
    save_model(small_segmenter(), folder / "bright.npz")
    save_model(small_denoiser(task="derain"), folder / "rain.npz")
    return [part for name in ("gray", "bright", "rain") for part in ("--model", folder / f"{name}.npz")]


@pytest.fixture(scope="module")
def server(models):
    options = ["--workers", 1, "--threads", 1, "--max-upload", 1, "--max-pixels", 40_000, "--per-client", 3]
    with running_server(*models, *options) as found:
        yield found


# ---- results


def test_a_script_gets_what_the_command_writes(server, models, tmp_path, monkeypatch):
    answer = server.ask("POST", "/api/run", picture(), PLAIN, name="a.png", **DENOISE)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a-denoised.png"
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(picture())
    with pytest.raises(SystemExit):
        main(["denoise", "a.png", "-o", "out.png", "--model", str(models[1])])
    assert answer.body == Path("out.png").read_bytes()
    expected = denoise(read_picture("a.png"), str(models[1])).picture
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(answer.body))), expected)


def test_a_job_is_followed_to_its_result_and_its_report(server):
    options = {"add_noise": 20, "steps": 2, "self_ensemble": 4}
    answer = server.ask("POST", "/api/jobs", picture(), PLAIN, name="a.png", **options, **DENOISE)
    assert answer.status == 202
    job = server.follow(answer.json()["id"])
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert (job["state"], job["report"], job["error"]) == ("done", "ready", None)
    result = job["result"]
    assert (result["model"], result["size"], result["steps"]) == ("gray", [12, 16], 2)
    assert {"PSNR", "Energy"} <= {card["label"] for card in result["cards"]}
    fields = dict(result["fields"])
    assert (fields["steps"], fields["self-ensemble"]) == ("2", "mean of 4 views; so are the ANN's figures")
    kinds = {}
    for name in ("result", "before", "after", "report", "numbers"):
        found = server.ask("GET", f"/api/jobs/{job['id']}/{name}")
        assert (found.status, len(found.body) > 50) == (200, True)
        kinds[name] = found
    assert kinds["before"].headers["Content-Type"] == "image/webp"
    assert b"a.png" in kinds["report"].body
    assert kinds["report"].headers["Content-Security-Policy"].startswith("sandbox")
    assert json.loads(kinds["numbers"].body)["schema"] == "spikeunet-report"
    assert server.ask("DELETE", f"/api/jobs/{job['id']}").status == 200
    assert server.ask("GET", f"/api/jobs/{job['id']}").status == 404


def test_rain_is_taken_off_as_the_command_does(server, models, tmp_path, monkeypatch):
    answer = server.ask("POST", "/api/run", picture(), PLAIN, name="a.png", task="derain", add_rain="heavy", seed=3)
    assert (answer.status, answer.headers["X-Spikeunet-Model"]) == (200, "rain")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a-derained.png"
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(picture())
    with pytest.raises(SystemExit):
        main(["derain", "a.png", "-o", "out.png", "--model", str(models[5]), "--add-rain", "heavy", "--seed", "3"])
    assert answer.body == Path("out.png").read_bytes()


def test_a_segmentation_has_labels_and_an_overlay(server):
    answer = server.ask("POST", "/api/jobs", picture(), PLAIN, task="segment", report="no")
    job = server.follow(answer.json()["id"])
    labels = server.ask("GET", f"/api/jobs/{job['id']}/result?download")
    overlay = server.ask("GET", f"/api/jobs/{job['id']}/overlay")
    assert Image.open(io.BytesIO(labels.body)).mode == "P"
    assert Image.open(io.BytesIO(overlay.body)).mode == "RGB"
    assert labels.headers["Content-Disposition"].startswith("attachment")
    assert server.ask("GET", f"/api/jobs/{job['id']}/report").status == 404


def test_an_example_needs_no_upload(server):
    answer = server.ask("POST", "/api/run", example="retina", task="segment")
    assert answer.status == 413  # here, where so few pixels are allowed
    assert "512x300 pixels are more than the limit of 40000" in answer.json()["error"]


def test_warnings_and_what_was_found_are_told(server):
    deep = io.BytesIO()
    write_picture(deep, np.arange(192, dtype=np.uint16).reshape(12, 16) * 9, format=".tif")
    answer = server.ask("POST", "/api/run", deep.getvalue(), PLAIN, name="deep.tif", format="tif", **DENOISE)
    assert answer.status == 200
    assert "deep.tif" in answer.headers["X-Spikeunet-Remark"]


# ---- refusals


@pytest.mark.parametrize(
    ("body", "parameters", "status", "text"),
    [
        (b"", {}, 400, "there is no picture"),
        (b"no picture at all", {}, 415, "picture: not a PNG, JPEG, TIFF"),
        (picture()[:60], {"name": "cut.png"}, 415, "cut.png: "),
        (picture(300, 300), {}, 413, "300x300 pixels are more than the limit of 40000"),
        (bytes((1 << 20) + 1), {}, 413, "larger than 1048576 bytes"),
        (picture(), {"steps": "x"}, 400, "Invalid value for '--steps'"),
        (picture(), {"steps": 64}, 400, "steps are at most 32"),
        (picture(), {"model": "/etc/passwd"}, 400, "there is no model '/etc/passwd'"),
        (picture(), {"page": 3}, 415, "has no page 3"),
        (picture(), {"example": "camera"}, 400, "leave one of them out"),
        (picture(), {"range": "0:0"}, 400, "is not LOW:HIGH"),
        (picture(), {"nonsense": 1}, 400, "unknown to denoise: nonsense"),
        (picture(12, 16, 3), {"format": "pgm"}, 415, "cannot hold colour"),
    ],
)
def test_bad_input_gets_one_line_and_its_status(server, body, parameters, status, text):
    answer = server.ask("POST", "/api/run", body, PLAIN, **{**DENOISE, **parameters})
    assert (answer.status, answer.json()["status"]) == (status, status)
    assert text in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def test_the_words_are_those_of_the_command(server, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("cut.png").write_bytes(picture()[:60])
    with pytest.raises(SystemExit):
        main(["denoise", "cut.png", "-o", "out.png", "--model", str(models[1])])
    answer = server.ask("POST", "/api/run", picture()[:60], PLAIN, name="cut.png", **DENOISE)
    assert capsys.readouterr().err == f"spikeunet: error: {answer.json()['error']}\n"


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"])
def test_what_forms_of_other_sites_can_send_is_no_picture(server, kind):
    answer = server.ask("POST", "/api/run", picture(), {"Content-Type": kind}, **DENOISE)
    assert (answer.status, "send the picture's file itself" in answer.json()["error"]) == (415, True)


def test_a_file_that_says_how_large_it_is_is_refused_before_it_is_sent(server):
    with socket.create_connection((server.host, server.port), 10) as connection:
        request = b"POST /api/run?model=gray HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        connection.sendall(request)
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413 ")
        # Whatever is still sent is thrown away, and then the connection ends.
        connection.settimeout(10)
        while connection.recv(4096):
            pass


def test_a_file_that_does_not_say_so_is_counted(server):
    connection = server.connect()
    connection.request("POST", "/api/run?model=gray", (bytes(1 << 16) for _ in range(20)), PLAIN, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/examples/..%2f..%2f..%2fetc%2fpasswd",
        "/examples/../try.js",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/jobs/..%2f..%2fupload/result",
        "/api/jobs/AAAAAAAAAAAAAAAAAAAAAAAA/../../etc",
        "/api/jobs/AAAAAAAAAAAAAAAAAAAAAAAA/result",
        "/style.css/../../pyproject.toml",
        "/templates/try.html",
        "/static/x",
        "/favicon.ico",
    ],
)
def test_no_path_leads_out(server, path):
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"root:" not in answer


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/jobs"), ("DELETE", "/api/run"), ("POST", "/"), ("TRACE", "/")]
)
def test_methods_that_an_address_does_not_know(server, method, path):
    answer = server.ask(method, path, b"" if method == "POST" else None)
    assert answer.status == 405
    assert answer.json()["error"] == "this address knows no such method"


def test_too_many_of_one_address_are_told_when_to_come_back(server):
    bodies, keys = picture(200, 200), []
    for _ in range(3):
        answer = server.ask("POST", "/api/jobs", bodies, PLAIN, steps=32, report="no", **DENOISE)
        keys.append(answer.json()["id"])
    answer = server.ask("POST", "/api/jobs", bodies, PLAIN, **DENOISE)
    for key in keys:
        server.ask("DELETE", f"/api/jobs/{key}")
    if answer.status == 202:
        pytest.skip("this machine is too quick for three pictures to be at work at a time")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


def test_a_bad_number_in_a_question_is_refused(server):
    key = server.ask("POST", "/api/jobs", picture(), PLAIN, report="no", **DENOISE).json()["id"]
    for wait in ("x", "nan", "-1", "inf"):
        answer = server.ask("GET", f"/api/jobs/{key}", wait=wait, version=0)
        assert (answer.status, "is no number from 0 up" in answer.json()["error"]) == (400, True)
    server.ask("DELETE", f"/api/jobs/{key}")


def test_bytes_that_are_no_text_in_an_address_are_no_fault_of_the_server(server):
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(b"GET /api/jobs/x?wait=%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(4096).split()[1] in (b"400", b"404")
    answer = server.ask("POST", "/api/run?model=%ff%fe", picture(), PLAIN)
    assert answer.status == 400


# ---- who asks


@pytest.mark.parametrize(
    "path", ["/", "/api", "/style.css", "/try.js", "/examples/camera.png", "/nothing", "/api/jobs"]
)
def test_every_answer_has_the_headers(server, path):
    answer = server.ask("GET", path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "tornado" not in answer.headers["Server"].lower()
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_name_that_was_made_to_lead_here_is_refused(server):
    for path in ("/", "/api", "/style.css"):
        answer = server.ask("GET", path, headers={"Host": "rebound.example"})
        assert answer.status == 421
    answer = server.ask("POST", "/api/run", picture(), {**PLAIN, "Host": "rebound.example:80"}, **DENOISE)
    assert answer.status == 421


def test_another_sites_page_is_refused(server):
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert server.ask("POST", "/api/run", picture(), {**PLAIN, **headers}, **DENOISE).status == 403
        assert server.ask("GET", "/api", headers=headers).status == 403


@pytest.mark.slow
def test_a_token_is_asked_for(models):
    with running_server(*models[:2], "--workers", 1, SPIKEUNET_TOKEN="a-token-of-enough-letters") as server:
        assert server.page == f"{server.url}?token=a-token-of-enough-letters"
        page = server.ask("GET", "/")
        assert (page.status, b'name="token"' in page.body, b"drop" in page.body) == (401, True, False)
        assert server.ask("GET", "/style.css").status == 200
        for path in ("/api", "/examples/camera.png", "/api/jobs/AAAAAAAAAAAAAAAAAAAAAAAA"):
            answer = server.ask("GET", path)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="spikeunet"')
        assert server.ask("POST", "/api/run", picture(), PLAIN, **DENOISE).status == 401
        assert server.ask("GET", "/api", headers={"Authorization": "Bearer a-token-of-enough-letterx"}).status == 401
        assert server.ask("GET", "/api", headers={"Authorization": "Bearer a-token-of-enough-letters"}).status == 200
        assert b"not the token" in server.ask("GET", "/", token="wrong").body
        entered = server.ask("GET", "/", token="a-token-of-enough-letters")
        cookie = entered.headers["Set-Cookie"]
        assert (entered.status, entered.headers["Location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "a-token-of-enough-letters" not in cookie
        assert server.ask("GET", "/", headers={"Cookie": cookie.partition(";")[0]}).status == 200
        assert server.ask("GET", "/", headers={"Cookie": 'broken=; ;;=,,="'}).status == 401
        status, errors = server.end()
    assert (status, errors) == (130, "spikeunet: interrupted\n")


@pytest.mark.slow
def test_beyond_this_machine_a_token_is_made_and_a_warning_given(models):
    with running_server(*models[:2], "--workers", 1, "--host", "0.0.0.0") as server:
        assert len(server.token) >= 32
        assert server.ask("GET", "/api").status == 401
        assert server.ask("GET", "/api", headers={"Authorization": f"Bearer {server.token}"}).status == 200
        _, errors = server.end(signal.SIGTERM)
    assert "warning: everybody who reaches this machine" in errors
    assert server.token not in errors


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["serve", *map(str, arguments)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_what_cannot_be_served_is_said_at_once(capsys, models, tmp_path):
    assert "a token has at least 16 characters" in refused(capsys, "--token", "short")
    assert "missing.npz" in refused(capsys, "--model", tmp_path / "missing.npz")
    assert "--quiet would hide the token" in refused(capsys, "--host", "0.0.0.0", "--quiet")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "--port 0 takes a free one" in refused(capsys, *models, "--port", port)
    assert "cannot listen on" in refused(capsys, *models, "--host", "no.such.host.invalid", "--token", "x" * 16)


# ---- the end


def test_the_end_is_clean(models):
    with running_server(*models, "--workers", 2) as server:
        wait_until(lambda: len(server.workers()) >= 1)
        key = server.ask("POST", "/api/jobs", picture(200, 200), PLAIN, steps=32, **DENOISE).json()["id"]
        assert key
        assert len(server.left_over()) == 1
        workers, start = server.workers(), time.monotonic()
        status, errors = server.end(signal.SIGTERM)
        assert (status, errors) == (143, "")
        assert time.monotonic() - start < 10
        assert server.left_over() == []
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.mark.slow
def test_workers_end_with_a_server_that_is_killed(models):
    with running_server(*models[:2], "--workers", 1) as server:
        wait_until(server.workers)
        workers = server.workers()
        server.end(signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


@pytest.mark.slow
def test_who_goes_away_in_the_midst_of_a_result_leaves_nothing(models):
    stream = io.BytesIO()
    # More than the system takes from the server for a client that does not read.
    write_picture(stream, np.zeros((3000, 2600), np.uint8), format=".png")
    large = stream.getvalue()
    with running_server(*models[:2], "--workers", 1) as server:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.connect((server.host, server.port))
            length = f"Content-Length: {len(large)}\r\n\r\n".encode()
            connection.sendall(b"POST /api/run?model=gray&format=bmp HTTP/1.1\r\nHost: localhost\r\n" + length + large)
            connection.settimeout(120)
            assert connection.recv(10) == b"HTTP/1.1 2"
            assert len(list(server.left_over()[0].iterdir())) == 1
        wait_until(lambda: list(server.left_over()[0].iterdir()) == [], 10)
        assert server.end() == (130, "spikeunet: interrupted\n")


# ---- what the documentation says


@pytest.mark.slow
def test_the_documented_calls_work(models, tmp_path):
    """Every call of curl on the page, by curl itself where there is one."""
    page = (REPOSITORY / "docs" / "serve.md").read_text("utf-8")
    calls = re.findall(r"^curl .*(?:\\\n.*)*", page, re.MULTILINE)
    assert len(calls) >= 2
    curl = subprocess.run(["which", "curl"], capture_output=True, text=True, check=False).stdout.strip()
    if not curl:
        pytest.skip("curl is not installed")
    (tmp_path / "noisy.png").write_bytes(picture())
    with running_server(*models, "--workers", 1, SPIKEUNET_TOKEN="documented-token-xx") as server:
        environment = {"TOKEN": "documented-token-xx", "PATH": "/usr/bin:/bin"}
        for call in calls:
            text = call.replace("http://127.0.0.1:8765", server.url.rstrip("/")).replace("model=auto", "model=gray")
            done = subprocess.run(
                ["sh", "-ec", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (shlex.join([text]), done.stdout, done.stderr)
    assert read_picture(tmp_path / "clean.png").shape == (12, 16)


@pytest.mark.slow
def test_the_server_starts_in_any_folder_and_keeps_its_hands_off_it(models, tmp_path):
    (tmp_path / "spikeunet").mkdir()
    (tmp_path / "spikeunet" / "__init__.py").write_text("raise SystemExit('a stranger was imported')")
    program = "import sys; sys.argv[0] = 'spikeunet'; from spikeunet.engine.command_line import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, "serve", "--port", "0", "--json", *map(str, models)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert json.loads(process.stdout.readline())["token"] is None
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "spikeunet: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["spikeunet"]
