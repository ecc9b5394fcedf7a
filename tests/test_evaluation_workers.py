"""`spikeunet evaluate` on several processes: the same results, whoever dies on the way."""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.evaluation.journal import Journal
from spikeunet.engine.pictures.picture_files import write_picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PICTURES = 6
STEPS = 400
PATIENCE = 250
"""Seconds to wait for anything; only a hang takes as long, or a very busy machine."""

ARGUMENTS = ["evaluate", "gray.npz", "clean", "--steps", f"2,{STEPS}"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a model, pictures, and what one process finds."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    folder = tmp_path_factory.mktemp("prepared")
    save_model(small_denoiser(), folder / "gray.npz")
    (folder / "clean").mkdir()
    for index in range(PICTURES):
        picture = np.random.default_rng(index).integers(0, 256, (64, 48 + index), dtype=np.uint8)
        write_picture(folder / "clean" / f"{index}.png", picture)
    with contextlib.chdir(folder):
        assert run("-o", "expected") == 0
    return folder


def run(*options):
    """Exit status of the command in this process."""
    with pytest.raises(SystemExit) as stop:
        main([*ARGUMENTS, *map(str, options)])
    return stop.value.code


@pytest.fixture(autouse=True)
def working_folder(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    # Where workers keep their scratch files.
    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path))


@pytest.fixture
def expected():
    """Rows of an evaluation in one process."""
    return measured("expected")


def measured(folder):
    """Rows without what differs from run to run."""
    with open(f"{folder}/pictures.csv", newline="") as stream:
        return [
            {name: value for name, value in row.items() if name not in ("seconds", "host")}
            for row in csv.DictReader(stream)
        ]


@pytest.fixture
def start():
    """Start a process; those that still run at the end are killed."""
    processes = []

    def begin(*arguments, module):
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def wait_for(condition, process=None):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished(folder="out"):
    """Pictures in the journal."""
    journal = Path(folder, "journal.jsonl")
    return max(0, len(journal.read_bytes().splitlines()) - 1) if journal.exists() else 0


def evaluate(start, *options):
    return start(*ARGUMENTS, "-o", "out", *options, module="spikeunet.engine.command_line")


WARNING = r"spikeunet: warning: tcp://\S+ takes orders from whoever reaches it, .*\n"
"""On stderr wherever a scheduler is used that anybody may use."""


def end(process, status=0):
    printed, errors = process.communicate(timeout=PATIENCE)
    warned = any(each.startswith("tcp://") for each in process.args)
    assert (re.match(WARNING, errors) is not None) == warned, errors
    errors = re.sub(WARNING, "", errors)
    assert process.returncode == status, errors
    assert (errors == "") == (status == 0), errors
    return printed if status == 0 else errors


@pytest.fixture
def first_finished(monkeypatch):
    """Have something done when the first picture of a run in this process is finished."""
    waiting, add = [], Journal.add

    def add_and_go_on(journal, outcome):
        add(journal, outcome)
        if waiting:
            waiting.pop()()

    monkeypatch.setattr(Journal, "add", add_and_go_on)
    return waiting.append


@pytest.mark.usefixtures("forked_workers")
def test_an_evaluation_that_is_killed_goes_on_with_workers_of_which_one_may_be_killed(start, expected, first_finished):
    process = evaluate(start)
    wait_for(lambda: finished() >= 2, process)
    process.kill()
    process.communicate(timeout=PATIENCE)
    before = finished()
    assert 2 <= before < PICTURES - 2  # so that each of two workers has something to do when the first picture is done
    killed = []

    def kill_one():
        victim, _ = multiprocessing.active_children()
        victim.kill()
        killed.append(victim)

    first_finished(kill_one)
    assert run("-o", "out", "--workers", 2) == 0
    assert [each.exitcode for each in killed] == [-9]
    assert measured("out") == expected
    assert not Path("out/journal.jsonl").exists()
    assert json.loads(Path("out/results.json").read_text())["failures"] == []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def scheduler(start):
    """A Dask scheduler process and its address."""
    port = free_port()
    process = start("--host", "127.0.0.1", "--port", port, "--no-dashboard", module="distributed.cli.dask_scheduler")

    def answers():
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, process)
    return process, f"tcp://127.0.0.1:{port}"


@pytest.fixture
def worker(start, scheduler):
    def begin():
        return start(
            scheduler[1], "--no-nanny", "--nthreads", 1, "--no-dashboard", module="distributed.cli.dask_worker"
        )

    return begin


def test_a_scheduler_and_all_its_workers_may_die_and_cost_no_finished_picture(
    start, scheduler, worker, expected, capfd
):
    assert run("-o", "out", "--scheduler", scheduler[1], "--timeout", 1) == 2
    assert re.fullmatch(
        WARNING
        + r"spikeunet: error: the Dask scheduler at \S+ has no workers after 1 s; start some with `dask worker \S+`\n",
        capfd.readouterr().err,
    )
    first = worker()
    process = evaluate(start, "--scheduler", scheduler[1], "--timeout", PATIENCE)
    wait_for(lambda: finished() >= 1, process)
    first.kill()
    done = finished()
    worker()
    wait_for(lambda: finished() > done, process)
    scheduler[0].kill()
    errors = end(process, status=2)
    assert re.fullmatch(
        r"spikeunet: error: the scheduler tcp://\S+ went away; run the command again to go on\n", errors
    )
    done = finished()
    assert 2 <= done < PICTURES
    assert not Path("out/results.json").exists()
    before = Path("out/journal.jsonl").read_text().splitlines()[1 : done + 1]
    assert run("-o", "out") == 0
    assert measured("out") == expected
    kept = [json.loads(line)["rows"][0]["index"] for line in before]
    rows = json.loads(Path("out/results.json").read_text())["pictures"]
    assert [row for row in rows if row["index"] in kept] == sorted(
        (row for line in before for row in json.loads(line)["rows"]), key=lambda row: (row["index"], row["steps"])
    )


def test_a_scheduler_that_does_not_answer(capfd):
    address = f"tcp://127.0.0.1:{free_port()}"
    assert run("-o", "out", "--scheduler", address, "--timeout", 1) == 2
    answer = re.escape(f"spikeunet: error: no Dask scheduler answers at {address} within 1 s (")
    assert re.fullmatch(rf"{WARNING}{answer}.*\n", capfd.readouterr().err)


def few_steps(rows):
    """Those with two time steps, for what does not need time."""
    return [row for row in rows if row["steps"] != str(STEPS)]


@pytest.mark.usefixtures("forked_workers")
def test_a_bad_picture_on_a_worker_is_one_line(expected, capfd):
    Path("clean/3.png").write_text("no picture")
    assert run("-o", "out", "--steps", 2, "--workers", 2) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1
    assert "clean/3.png: not a PNG, JPEG, TIFF" in errors
    assert measured("out") == [row for row in few_steps(expected) if row["index"] != "3"]


@pytest.fixture
def certificate():
    """Have Dask demand a certificate that is made for the test."""
    import dask

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=dask -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    shutil.copy("cert.pem", "ca.pem")
    files = {f"{role}.{part}": f"{part}.pem" for role in ("scheduler", "worker", "client") for part in ("cert", "key")}
    files["ca-file"] = "ca.pem"
    with dask.config.set({f"distributed.comm.tls.{name}": file for name, file in files.items()}):
        yield


@pytest.mark.usefixtures("certificate")
def test_a_scheduler_may_demand_certificates(start, expected, monkeypatch):
    from distributed import LocalCluster

    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(protocol="tls", host="127.0.0.1", **options) as cluster:
        address = cluster.scheduler_address
        assert run("-o", "out", "--steps", 2, "--scheduler", address, "--timeout", PATIENCE) == 0
        assert measured("out") == few_steps(expected)
        # A process that was not told of the certificates, but of who signed them.
        monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", "ca.pem")
        errors = end(evaluate(start, "--scheduler", address, "--timeout", 3), status=2)
    assert errors.startswith(f"spikeunet: error: no Dask scheduler answers at {address} within 3 s (")
    assert errors.count("\n") == 1
