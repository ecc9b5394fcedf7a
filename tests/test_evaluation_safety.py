"""`spikeunet evaluate` loses no finished work, lets nobody in, and says in one line what is wrong."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import dying_workers
import numpy as np
import pytest
import refusals
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.datasets import Example
from spikeunet.engine.errors import InputError, printable
from spikeunet.engine.evaluation import Workplace, evaluate, local_workers, one_picture, plan_evaluation
from spikeunet.engine.evaluation.journal import Journal
from spikeunet.engine.evaluation.picture_task import PictureTask
from spikeunet.engine.files.csv_text import csv_text
from spikeunet.engine.graph import Input, Network, Output
from spikeunet.engine.layers import Conv2d
from spikeunet.engine.pictures.picture_files import write_picture

PATIENCE = 120


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Three noiseless pictures in `clean`, and the files of `refusals.fill_folder`."""
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    Path("clean").mkdir()
    for index in range(3):
        write_picture(f"clean/{index}.png", np.full((12, 16), 60 * index + 60, np.uint8))
    one_picture._network.cache_clear()


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    return stop.value.code


def rows_of(path="out/pictures.csv"):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_names_that_are_no_text_and_names_that_are_formulas(monkeypatch):
    names = ["=cmd|x.png", "@a.png", "-1.png", "a\nb.png", os.fsdecode(b"caf\xe9.png")]
    for name in names:
        write_picture(Path("clean", name), np.zeros((12, 16), np.uint8))
    plan = plan_evaluation("gray.npz", ["clean"])
    tasks = {task.example.name: task for task in plan.tasks(None)}
    Path("out").mkdir()
    with Journal(Path("out/journal.jsonl"), plan.signature) as journal:
        for name in names:
            journal.add(one_picture.attempt(tasks[name]))
    with Journal(Path("out/journal.jsonl"), plan.signature) as journal:
        assert [name for name in tasks if journal.finished(tasks[name]) is not None] == sorted(names)
    assert run("gray.npz", "clean", "-o", "out") == 0
    written = [row["picture"] for row in rows_of()]
    safe = {"=cmd|x.png": "'=cmd|x.png", "@a.png": "'@a.png", "-1.png": "'-1.png", "a\nb.png": r"a\nb.png"}
    assert written == [safe.get(name, printable(name)) for name in tasks]
    assert r"caf\udce9.png" in written
    exact = json.loads(Path("out/results.json").read_text())["pictures"]
    assert [row["picture"] for row in exact] == list(tasks)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_what_starts_a_formula_is_quoted(start):
    record = {"name": f"{start}a", "other": f"a{start}", "number": -1.5, "nothing": None}
    assert csv_text(tuple(record), [record]) == f"name,other,number,nothing\n'{start}a,a{start},-1.5,\n"


def test_a_finished_picture_that_cannot_be_read_any_more_does_not_stop_the_others(monkeypatch, capsys):
    plan = plan_evaluation("gray.npz", ["clean"])
    Path("out").mkdir()
    with Journal(Path("out/journal.jsonl"), plan.signature) as journal:
        for task in plan.tasks(None)[:2]:
            journal.add(one_picture.attempt(task))
    digests = PictureTask.digests

    def unreadable(task):
        if task.example.name == "1.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(task.example.picture))
        return digests(task)

    with monkeypatch.context() as patch:
        patch.setattr(PictureTask, "digests", unreadable)
        assert run("gray.npz", "clean", "-o", "out") == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r"spikeunet: error: \S+/clean/1.png: Permission denied\n", printed.err)
    assert [row["picture"] for row in rows_of()] == ["0.png", "2.png"]
    # When it can be read again, what was found of it is still there.
    with Journal(Path("out/journal.jsonl"), plan.signature) as journal:
        assert all(journal.finished(task) for task in plan.tasks(None))


def test_of_two_evaluations_into_one_folder_the_second_is_refused(capsys):
    plan = plan_evaluation("gray.npz", ["clean"])
    Path("out").mkdir()
    with Journal(Path("out/journal.jsonl"), plan.signature) as journal:
        journal.add(one_picture.attempt(plan.tasks(None)[0]))
        message = refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "-o", "out")
        assert message == "out: another evaluation writes there; wait for it, or choose another folder"
        with pytest.raises(InputError, match="another evaluation writes there"):
            evaluate(plan, journal=Path("out/journal.jsonl"))
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert not Path("out/journal.jsonl").exists()


def test_who_waited_for_a_journal_that_was_removed_begins_a_new_one(monkeypatch):
    from spikeunet.engine.files import lock

    path, sameness = Path("journal.jsonl"), lock._is_at

    def removed_meanwhile(stream, where):
        if path.exists() and not path.read_bytes():
            path.unlink()
            path.write_bytes(b"new")
        return sameness(stream, where)

    monkeypatch.setattr(lock, "_is_at", removed_meanwhile)
    with lock.open_locked(path) as stream:
        stream.seek(0)
        assert stream.read() == b"new"


def test_a_full_disk_leaves_whole_lines(monkeypatch, capsys):
    synchronise, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        synchronise(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("spikeunet.engine.evaluation.journal.os.fsync", full)
        assert run("gray.npz", "clean", "-o", "out") == 2
    assert capsys.readouterr().err == "spikeunet: error: out/journal.jsonl: No space left on device\n"
    assert len(Path("out/journal.jsonl").read_text().splitlines()) == 3
    assert Path("out/journal.jsonl").read_bytes().endswith(b"\n")
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert len(rows_of()) == 3


@pytest.mark.parametrize("name", ["results.json", "pictures.csv", "journal.jsonl"])
def test_results_that_could_not_be_written_are_refused_at_once(capsys, name):
    Path("out", name).mkdir(parents=True)
    assert refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "-o", "out") == f"out/{name}: Is a directory"


def test_a_model_that_puts_out_too_little_is_named_by_its_file(capsys):
    inputs, outputs = Input("input", 1), Output("output", "conv")
    nodes = [inputs, Conv2d("conv", "input", np.full((3, 1, 3, 3), 0.25, np.float32), padding=(1, 1)), outputs]
    save_model(Network(nodes, {"task": "denoise"}), "three.npz")
    assert run("three.npz", "clean", "-o", "out") == 2
    assert "the model 'three.npz' puts out 3x1x1 for a picture of 1x1x1" in capsys.readouterr().err


def with_huge_weights(network):
    """The network with a readout that overflows float32."""
    from dataclasses import replace

    last = network.nodes[-2]
    huge = np.full_like(last.weight, 3e38)
    return Network([*network.nodes[:-2], replace(last, weight=huge), network.nodes[-1]], network.metadata)


@pytest.mark.parametrize("task", ["denoise", "segment"])
def test_outputs_that_are_no_numbers_are_one_line_a_picture(capsys, task):
    pytest.importorskip("sklearn")
    save_model(with_huge_weights(small_denoiser() if task == "denoise" else small_segmenter()), "huge.npz")
    Path("labels").mkdir()
    for index in range(3):
        write_picture(f"labels/{index}.png", np.arange(12 * 16, dtype=np.uint8).reshape(12, 16) % 2)
    dataset = "clean" if task == "denoise" else "clean:labels"
    assert run("huge.npz", dataset, "--ann", "-o", "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for index, line in enumerate(lines):
        assert re.fullmatch(
            rf"spikeunet: error: \S+/clean/{index}.png: the readout of '\w+' leaves the range of float32 .*",
            line,
        )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "1.png: not enough memory; cut it into parts, or take fewer workers"),
        (ZeroDivisionError("of\nsomething"), "1.png: unexpected ZeroDivisionError: of something"),
        (OSError(errno.EIO, "Input/output error"), "1.png: Input/output error"),
    ],
)
def test_whatever_one_picture_shows_the_others_go_on(monkeypatch, capsys, error, message):
    scored = one_picture.SCORED["denoise"]

    def fails(task, network):
        if task.example.name == "1.png":
            raise error
        return scored.prepare(task, network)

    monkeypatch.setattr(one_picture, "SCORED", {"denoise": dataclasses.replace(scored, prepare=fails)})
    assert run("gray.npz", "clean", "-o", "out") == 2
    printed = capsys.readouterr()
    assert printed.err.endswith(f"{message}\n")
    assert printed.err.count("\n") == 1
    assert len(rows_of()) == 2


def a_task(name):
    example = Example(name, 0, Path(name))
    return PictureTask("m", "", "", "denoise", "d", "all", example, None, None, None, (1,), False, 1)


def outcomes_of(monkeypatch, worker, *names, count=2):
    monkeypatch.setattr(local_workers, "_work", worker)
    monkeypatch.setattr(local_workers, "MOST_DEATHS", 2)
    return list(local_workers.run_in_processes([a_task(name) for name in names], count))


@pytest.mark.usefixtures("forked_workers")
def test_a_picture_that_kills_its_workers_is_given_up_and_the_others_are_not(monkeypatch):
    names = ["a.png", dying_workers.DEADLY, "b.png", "c.png"]
    outcomes = outcomes_of(monkeypatch, dying_workers.evaluate_nothing, *names)
    assert {outcome.task.example.name: len(outcome.rows) for outcome in outcomes} == {
        name: int(name != dying_workers.DEADLY) for name in names
    }
    (given_up,) = [outcome.error for outcome in outcomes if outcome.error]
    assert given_up.startswith("deadly.png: 2 worker processes died over it, the last one by signal 9; where memory")


@pytest.mark.usefixtures("forked_workers")
def test_warnings_of_workers_are_given_where_they_were_started(monkeypatch):
    with pytest.warns(UserWarning, match="a.png is odd"):
        (outcome,) = outcomes_of(monkeypatch, dying_workers.evaluate_with_a_warning, "a.png")
    assert outcome.rows == ({},)


@pytest.mark.parametrize(
    ("worker", "end"), [(dying_workers.exit_at_once, "with status 3"), (dying_workers.die_at_once, "by signal 9")]
)
@pytest.mark.usefixtures("forked_workers")
def test_workers_that_cannot_start_are_one_error(monkeypatch, worker, end):
    with pytest.raises(InputError, match=f"worker processes end before they begin, {end}; a script that asks for work"):
        outcomes_of(monkeypatch, worker, "a.png")


@contextmanager
def long_run():
    """A process that evaluates large pictures with two workers, and all processes of it, which are there."""
    psutil = pytest.importorskip("psutil")
    Path("large").mkdir()
    for index in range(3):
        write_picture(f"large/{index}.png", np.random.default_rng(index).integers(0, 256, (256, 256), dtype=np.uint8))
    command = ["evaluate", "gray.npz", "large", "--steps", "1000", "--workers", "2", "-o", "out"]
    # A shell has SIGINT ignored for its background jobs, and so for their children.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeunet.engine.command_line", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, handler)
    workers = []
    deadline = time.monotonic() + PATIENCE
    while len(workers) < 2 or not all(each.cpu_times().user > 1 for each in workers):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        below = psutil.Process(process.pid).children(recursive=True)
        workers = [each for each in below if "spawn_main" in " ".join(each.cmdline())]
        time.sleep(0.02)
    yield process, [psutil.Process(process.pid), *below]
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_no_process_listens_and_workers_end_with_their_parent_whatever_ends_it(number, status):
    import psutil

    with long_run() as (process, everyone):
        for each in everyone:
            nobody_can_connect_to(each)
        assert sum(bool(each.net_connections(kind="unix")) for each in everyone) >= 3
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == status
        assert printed == ""
        assert len(errors.strip().splitlines()) <= (number == signal.SIGINT), errors
        assert psutil.wait_procs(everyone, timeout=10)[1] == []


def nobody_can_connect_to(process):
    sockets = process.net_connections(kind="all")
    assert [each for each in sockets if each.family in (socket.AF_INET, socket.AF_INET6)] == []
    # A pair of connected sockets has no name that another process could connect to.
    assert {(each.laddr, each.raddr) for each in sockets} <= {("", "")}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "127.0.0.1:99999", "ws://a:80", "a"])
def test_an_address_that_is_none_is_refused(capsys, address):
    message = refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "--scheduler", address)
    assert message == f"a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT (got {address!r})"


@pytest.fixture
def stranger():
    """Port of a server that says what no scheduler would."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 64)

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "tls://127.0.0.1:{}", "tcp://..:{}"])
def test_an_address_where_no_scheduler_is(stranger, address):
    pytest.importorskip("distributed", reason="Dask is not installed")
    place = Workplace(scheduler=address.format(stranger), timeout=0.5)
    with pytest.raises(
        InputError, match=rf"no Dask scheduler answers at {address.format(stranger)} within 0.5 s \(.+\); "
    ):
        evaluate(plan_evaluation("gray.npz", ["clean"]), place)


def test_a_scheduler_without_authentication_is_warned_of(capsys, stranger):
    pytest.importorskip("distributed", reason="Dask is not installed")
    address = f"127.0.0.1:{stranger}"
    assert run("gray.npz", "clean", "--scheduler", address, "--timeout", 0.5) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == (
        f"spikeunet: warning: {address} takes orders from whoever reaches it, who so can run programs as you, here "
        "and in the workers; use a scheduler with TLS, tls://HOST:PORT"
    )
    assert error.startswith("spikeunet: error: no Dask scheduler answers at")
    assert Workplace(scheduler="tls://head:8786").authenticated
    assert Workplace(workers=2).authenticated
