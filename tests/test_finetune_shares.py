"""Batches in shares, one after the other and in several processes: the same numbers, whoever works at them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import dying_workers
import numpy as np
import pytest
from small_denoiser import small_denoiser
from test_finetune_training import batches, network, pictures

from spikeunet.engine import Conv2d, Input, LeakyIntegrateAndFire, Network, Neurons, Output, load_model
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError, ModelFileError
from spikeunet.engine.files.model_file import save_model
from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, Trainer, finetune, share_processes
from spikeunet.engine.learning.finetune.network_arrays import NetworkArrays
from spikeunet.engine.learning.finetune.shares import added_in_order, divided
from spikeunet.engine.pictures.picture_files import write_picture

EVERYTHING = Settings(
    steps=2,
    iterations=3,
    rate=1e-2,
    scales="channel",
    initial=True,
    penalty=0.05,
    average=0.9,
    shares=3,
    loss="log-mse",
)
"""Shares of two crops, of one and of one."""


def trained(settings, **options):
    """Reports and parameters of a run to its end."""
    with Trainer(options.pop("net", network()), batches(), settings, **options) as trainer:
        reports = [trainer.step() for _ in range(settings.iterations)]
    return reports, {**trainer.parameters, **{f"average {name}": each for name, each in trainer.averages.items()}}


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        np.testing.assert_array_equal(found[1][name], array, name)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
@pytest.mark.parametrize("shares", [1, 3, 8])
def test_a_batch_is_divided_evenly_and_no_share_is_empty(size, shares):
    parts = divided(np.arange(size), shares)
    assert np.concatenate(parts).tolist() == list(range(size))
    sizes = [len(part) for part in parts]
    assert len(parts) == min(size, shares)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_the_order_of_a_sum_is_that_of_its_parts():
    parts = [np.array([value], np.float32) for value in (1e8, 1, -1e8)]
    assert added_in_order(parts)[0] == 0
    assert added_in_order([parts[0], parts[2], parts[1]])[0] == 1
    assert parts[0][0] == 1e8


def test_arrays_come_back_from_a_flat_one():
    net = network()
    arrays = NetworkArrays(net, initial=True)
    given = {name: np.random.default_rng(0).random(array.shape) for name, array in arrays.arrays_of(net).items()}
    row = np.full(arrays.size, np.nan, np.float32)
    arrays.write(given, row)
    made = arrays.network(row)
    assert made["up1"].weight.tobytes() == given["up1.weight"].astype(np.float32).tobytes()
    assert made["relu1"].model.initial == np.float32(given["relu1.initial"][0])
    assert arrays.arrays_of(made).keys() == given.keys()
    for name, view in arrays.views(row).items():
        np.testing.assert_array_equal(view, given[name].astype(np.float32), name)
        assert np.shares_memory(view, row)
    arrays.write({}, row)
    assert not row.any()


def test_initial_potentials_that_are_not_trained_are_not_rounded_to_float32():
    net = network()
    model = dataclasses.replace(net["relu1"].model, initial=0.1)
    net = net.replace([dataclasses.replace(n, model=model) if isinstance(n, Neurons) else n for n in net.nodes])
    arrays = NetworkArrays(net, initial=False)
    row = np.empty(arrays.size, np.float32)
    arrays.write(arrays.arrays_of(net), row)
    assert arrays.network(row)["relu1"].model.initial == 0.1


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_shares_find_what_the_whole_batch_does_but_for_rounding(method):
    whole = Settings(steps=2, method=method, penalty=0.1, loss="log-mse", scales="layer", initial=True)
    batch, target = batches().draw(np.random.default_rng(0))
    loss, expected = Trainer(network(), batches(), whole).gradients(batch, target)
    for shares in (3, 4, 7):
        trainer = Trainer(network(), batches(), dataclasses.replace(whole, shares=shares))
        found_loss, found = trainer.gradients(batch, target)
        assert found_loss == pytest.approx(loss, rel=1e-6)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            np.testing.assert_allclose(
                found[name], gradient, rtol=1e-4, atol=1e-5 * np.abs(gradient).max(), err_msg=name
            )
    reports = [Trainer(network(), batches(), dataclasses.replace(whole, shares=s)).step() for s in (1, 3)]
    assert reports[0].accumulates_per_pixel == reports[1].accumulates_per_pixel
    assert reports[0].penalty == pytest.approx(reports[1].penalty, rel=1e-6)


def test_processes_and_threads_find_the_same_numbers():
    expected = trained(EVERYTHING, threads=1)
    assert_same(trained(EVERYTHING, threads=2), expected)
    assert_same(trained(EVERYTHING, processes=2), expected)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("forked_workers")
def test_other_neurons_rounded_weights_and_another_loss_in_processes():
    net = network()
    net = net.replace(
        [
            dataclasses.replace(n, model=LeakyIntegrateAndFire(decay=0.5)) if isinstance(n, Neurons) else n
            for n in net.nodes
        ]
    )
    leaky = dataclasses.replace(EVERYTHING, method="bptt", initial=False, loss="l1-ssim", shares=2)
    rounded = dataclasses.replace(EVERYTHING, scales="none", weight_bits=4, shares=2)
    for settings, start in ((leaky, net), (rounded, network())):
        assert_same(trained(settings, net=start, processes=1), trained(settings, net=start))


@pytest.mark.usefixtures("forked_workers")
def test_one_share_is_the_whole_batch_and_shares_become_as_many_as_processes():
    plain = dataclasses.replace(EVERYTHING, shares=1)
    assert_same(trained(plain, processes=1), trained(plain))
    with Trainer(network(), batches(), plain, processes=2) as trainer:
        assert trainer.settings.shares == 2
        trainer.step()
        assert trainer.result().metadata["fine_tuning"]["shares"] == 2
    assert "shares" not in Trainer(network(), batches(), plain).result().metadata["fine_tuning"]


class Growing:
    """Batches of two crops, then of more, then of one."""

    def __init__(self):
        self.sizes = [2, 5, 1, 4]

    def draw(self, generator):
        return DenoisingBatches(pictures(), (5, 50), crop=16, batch=self.sizes.pop(0)).draw(generator)


@pytest.mark.usefixtures("forked_workers")
def test_batches_of_any_size():
    settings = dataclasses.replace(EVERYTHING, iterations=4, shares=4)
    runs = []
    for options in ({}, {"processes": 2}):
        with Trainer(network(), Growing(), settings, **options) as trainer:
            runs.append(([trainer.step() for _ in range(4)], trainer.parameters))
    assert_same(runs[1], runs[0])


@pytest.mark.usefixtures("forked_workers")
def test_a_checkpoint_goes_on_with_another_number_of_processes(tmp_path):
    expected = trained(EVERYTHING)[1]
    with Trainer(network(), batches(), EVERYTHING, processes=1) as trainer:
        trainer.step()
        trainer.checkpoint(tmp_path / "checkpoint.npz")
    result = finetune(
        network(), batches(), EVERYTHING, checkpoint=tmp_path / "checkpoint.npz", resume=True, processes=2
    )
    averaged = Trainer(network(), batches(), EVERYTHING).trainable.export(
        {name: expected.get(f"average {name}", array) for name, array in expected.items() if " " not in name}
    )
    assert result["conv1"].weight.tobytes() == averaged["conv1"].weight.tobytes()
    for other in (dataclasses.replace(EVERYTHING, shares=2), dataclasses.replace(EVERYTHING, shares=1)):
        with pytest.raises(ModelFileError, match=rf"other settings \(shares 3, now {other.shares}\)"):
            Trainer(network(), batches(), other).resume(tmp_path / "checkpoint.npz")


def test_a_checkpoint_from_before_there_were_shares_is_of_whole_batches(tmp_path, monkeypatch):
    settings = Settings(iterations=3)
    older = {name: value for name, value in settings.as_json().items() if name != "shares"}
    with monkeypatch.context() as patch:
        patch.setattr(Settings, "as_json", lambda _: older)
        Trainer(network(), batches(), settings).checkpoint(tmp_path / "checkpoint.npz")
    Trainer(network(), batches(), settings).resume(tmp_path / "checkpoint.npz")
    with pytest.raises(ModelFileError, match=r"\(shares 1, now 2\)"):
        Trainer(network(), batches(), dataclasses.replace(settings, shares=2)).resume(tmp_path / "checkpoint.npz")


@pytest.mark.parametrize(
    ("settings", "processes", "message"),
    [
        (Settings(), 0, "processes must be a whole number of at least 1 .got 0."),
        (Settings(), True, "processes must be a whole number"),
        (Settings(), 257, "processes must be at most 256"),
        (Settings(shares=2), 3, "3 processes need as many shares of a batch at least .got 2.; take fewer processes or"),
        (Settings(method="bptt", batch_norm=0.7), 2, "batch norms need the whole batch at a time; .* .got 2."),
        (Settings(method="bptt", batch_norm=0.7), 1, "batch norms keep statistics .*; leave processes out .got 1."),
    ],
)
def test_numbers_of_processes_that_do_not_go(settings, processes, message):
    with pytest.raises(InputError, match=message):
        Trainer(small_denoiser(), batches(), settings, processes=processes)


@pytest.mark.parametrize("shares", [0, 257, 1.5, True])
def test_numbers_of_shares_that_do_not_go(shares):
    with pytest.raises(InputError, match="shares must be"):
        Settings(shares=shares)


@pytest.mark.usefixtures("forked_workers")
def test_what_goes_wrong_in_a_process_is_raised_here_and_none_is_left():
    batch, target = batches().draw(np.random.default_rng(0))
    with Trainer(network(), batches(), EVERYTHING, processes=2) as trainer:
        with pytest.raises(InputError, match=r"a picture of 1x3x16 .* does not fit the network"):
            trainer.gradients(batch[:, :3], target)
        assert not multiprocessing.active_children()
        found = trainer.gradients(batch, target)
        assert found[0] == Trainer(network(), batches(), EVERYTHING).gradients(batch, target)[0]


@pytest.mark.usefixtures("forked_workers")
def test_an_error_that_nobody_expected_says_where_it_was(monkeypatch):
    monkeypatch.setattr(share_processes, "_serve", dying_workers.train_with_an_error)
    with Trainer(network(), batches(), EVERYTHING, processes=1) as trainer:
        with pytest.raises(RuntimeError, match="KeyError in a worker process of the training: 'lost'") as raised:
            trainer.step()
        assert "in _find" in raised.value.__notes__[0]


@pytest.mark.parametrize("processes", [None, 2])
def test_training_that_diverges_is_one_error(processes, request):
    if processes is not None:
        request.getfixturevalue("forked_workers")
    settings = dataclasses.replace(EVERYTHING, rate=1e30, clip=None, optimizer="sgd", iterations=9)
    with pytest.raises(InputError, match="diverged at"):
        finetune(network(), batches(), settings, processes=processes)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_that_is_killed_ends_the_run_and_leaves_none_behind():
    with Trainer(network(), batches(), EVERYTHING, processes=2) as trainer:
        trainer.step()
        victim, other = multiprocessing.active_children()
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        with pytest.raises(
            InputError, match=r"training ended, by signal 9; where memory ran out, take fewer processes"
        ):
            trainer.step()
        assert not other.is_alive()


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("worker", [dying_workers.exit_at_once, dying_workers.die_at_once])
def test_processes_that_cannot_start_are_one_error(monkeypatch, worker):
    monkeypatch.setattr(share_processes, "_serve", worker)
    with Trainer(network(), batches(), EVERYTHING, processes=2) as trainer:
        with pytest.raises(
            InputError, match=r"worker processes end before they begin, .*; a script that asks for work"
        ):
            trainer.step()
        assert not multiprocessing.active_children()


@pytest.mark.usefixtures("forked_workers")
def test_a_trainer_that_is_forgotten_takes_its_processes_along():
    trainer = Trainer(network(), batches(), EVERYTHING, processes=2)
    trainer.step()
    assert len(multiprocessing.active_children()) == 2
    del trainer
    assert not multiprocessing.active_children()


def large_network():
    """Of more numbers than fit into the pipe that Python writes to a process that starts."""
    weights = [np.zeros(shape, np.float32) for shape in ((64, 1, 3, 3), (64, 64, 3, 3), (1, 64, 3, 3))]
    nodes = [Input("input")]
    for number, weight in enumerate(weights):
        nodes += [Conv2d(f"conv{number}", nodes[-1].name, weight, padding=1), Neurons(f"relu{number}", f"conv{number}")]
    return Network([*nodes[:-1], Output("output", nodes[-2].name)])


def test_a_script_that_is_not_guarded_is_told_so(tmp_path):
    save_model(large_network(), tmp_path / "model.npz")
    script = """
        import numpy as np
        from spikeunet.engine import load_model
        from spikeunet.engine.learning.finetune import DenoisingBatches, Settings, finetune
        pictures = [np.zeros((16, 16, 1), np.float32)]
        batches = DenoisingBatches(pictures, (5, 50), 16, 2)
        finetune(load_model("model.npz"), batches, Settings(iterations=1), processes=1)
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert 'a script that asks for workers must be guarded by if __name__ == "__main__"' in done.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean").mkdir()
    for number, picture in enumerate(pictures(3)):
        write_picture(tmp_path / "clean" / f"{number}.png", picture[..., 0])
    save_model(network(), "model.npz")
    return tmp_path


def run(arguments):
    """Exit status of the command."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


COMMON = ["finetune", "model.npz", "--train", "clean", "--steps", "1", "--crop", "16", "--batch", "4"]


@pytest.mark.usefixtures("forked_workers")
def test_the_command_gives_the_same_model_by_any_number_of_processes(folder):
    settings = [*COMMON, "--iterations", "3", "--penalty", "0.1"]
    assert run([*settings, "--shares", "2", "-o", "threads.npz"]) == 0
    assert run([*settings, "--processes", "2", "-o", "two.npz"]) == 0
    assert (folder / "threads.npz").read_bytes() == (folder / "two.npz").read_bytes()
    assert load_model("two.npz").metadata["fine_tuning"]["shares"] == 2
    assert not multiprocessing.active_children()


def test_the_command_refuses_more_processes_than_shares(folder, capsys):
    assert run([*COMMON, "--shares", "2", "--processes", "3", "-o", "out.npz"]) == 2
    assert "3 processes need as many shares of a batch at least (got 2)" in capsys.readouterr().err
    assert not (folder / "out.npz").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_ends_the_processes_too(folder):
    """By SIGTERM; test_evaluation_safety.py has others."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from spikeunet.engine.command_line import main; main(sys.argv[1:])"
    settings = [*COMMON, "--iterations", "1000000", "--processes", "2", "--interval", "1", "-o", "out.npz"]
    process = subprocess.Popen([sys.executable, "-c", code, *settings], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / "out.checkpoint.npz").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    children = children_of(process.pid)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert len(children) >= 2
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)  # Python's own helper process for shared memory ends when it sees that the others have
    assert not any(map(is_alive, children))


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
