"""DSR through convolutions and pools: gradients, the engine's spikes, exact resumption, and the command."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import InputError, load_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.learning import LabelledPictures, train
from spikeunet.engine.learning.dsr import DsrSettings, DsrTrainer
from spikeunet.engine.learning.gradient_trainer import classification_loss
from spikeunet.engine.pictures.picture_files import write_picture

POOLS = ("stride", "average", "max")


def coloured_pictures(number=6, seed=0):
    """8x4 pixels of three colours: which of two is brighter is the class."""
    random = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    pictures = random.random((number, 3, 8, 4)).astype(np.float32) * np.float32(0.6)
    pictures[np.arange(number), labels] += np.float32(0.4)
    return LabelledPictures(pictures, labels, ("first", "second"))


def small(**settings):
    """Some neurons are silent, some within their range, some beyond it; a pool's have a lower one."""
    own = {"convolutions": (4, 3), "layers": (9,), "steps": 5, "batch": 4, "epochs": 2, **settings}
    trainer = DsrTrainer(coloured_pictures(), DsrSettings(**own), 1)
    random = np.random.default_rng(5)
    for name, array in trainer.parameters.items():
        if not name.endswith(".threshold"):
            array[:] += random.normal(0, 0.2, array.shape)
    for number, node in enumerate(trainer.form.populations):
        trainer.parameters[f"{node.name}.threshold"][:] = 0.5 - 0.06 * number
    return trainer


def precise(trainer):
    """The parameters in float64."""
    return {name: array.astype(np.float64) for name, array in trainer.parameters.items()}


def clipped_gradients(trainer, parameters, batch):
    tape = trainer.form.clipped(parameters, batch.pictures)
    figures, gradient = classification_loss(tape.scores, batch.labels)
    return tape, figures["loss"], trainer.form.gradients(parameters, tape, gradient)


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_are_those_of_finite_differences(pool):
    trainer = small(pool=pool)
    parameters, batch = precise(trainer), trainer.pictures
    tape, _, found = clipped_gradients(trainer, parameters, batch)
    for name, driven in tape.driven.items():
        theta = parameters[f"{name}.threshold"]
        assert ((driven > 0) & (driven < theta)).any(), name
        assert (driven > theta).any(), name
    assert list(found) == list(parameters)
    random = np.random.default_rng(0)
    for name, array in parameters.items():
        scale = np.abs(found[name]).max()
        for index in random.permutation(array.size)[:5]:
            place, losses = np.unravel_index(index, array.shape), []
            for step in (1e-6, -1e-6):
                changed = array.copy()
                changed[place] += step
                losses.append(clipped_gradients(trainer, {**parameters, name: changed}, batch)[1])
            assert abs((losses[0] - losses[1]) / 2e-6 - found[name][place]) <= 1e-6 * scale + 1e-9, (name, place)


@pytest.mark.parametrize(("pool", "neuron"), [*((pool, "if") for pool in POOLS), ("stride", "lif")])
def test_gradients_are_those_of_pytorch(pool, neuron):
    """Forward the representations that were counted, backward the clips."""
    torch = pytest.importorskip("torch")
    trainer = small(pool=pool, neuron=neuron, leak=0.7)
    parameters, batch = precise(trainer), trainer.pictures
    tape = trainer.form.counted(parameters, batch.pictures)
    _, gradient = classification_loss(tape.scores, batch.labels)
    found = trainer.form.gradients(parameters, tape, gradient)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in parameters.items()}
    numbers = iter(range(1, 9))

    def emit(current):
        name = f"neurons{next(numbers)}"
        counted = tape.values[name]
        counted = counted.transpose(0, 3, 1, 2) if current.ndim == 4 else counted[:, 0, 0]
        clipped = torch.minimum(torch.clamp(current, min=0), tensors[f"{name}.threshold"])
        return torch.tensor(counted.astype(np.float64)) + (clipped - clipped.detach())

    def linear(name, value):
        return torch.nn.functional.linear(value, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    value = torch.tensor(batch.pictures.astype(np.float64))
    pools = {"average": torch.nn.functional.avg_pool2d, "max": torch.nn.functional.max_pool2d}
    for name in ("conv1", "conv2"):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        value = emit(torch.nn.functional.conv2d(value, weight, bias, 2 if pool == "stride" else 1, 1))
        if pool != "stride":
            value = emit(pools[pool](value, 2))
    scores = linear("fc2", emit(linear("fc1", value.flatten(1))))
    np.testing.assert_allclose(tape.scores, scores.detach(), rtol=1e-9, atol=1e-12)
    torch.nn.functional.cross_entropy(scores, torch.tensor(batch.labels)).backward()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(found[name], tensor.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [*({"pool": pool} for pool in POOLS), {"alpha": 1.0}, {"neuron": "lif", "leak": 0.8}, {"steps": 1}],
    ids=str,
)
def test_the_engine_simulates_exactly_the_spikes_that_training_counted(settings):
    trainer = small(**settings)
    steps = trainer.settings.steps
    tape = trainer.represent(trainer.pictures.pictures)
    fired = trainer.spikes(trainer.pictures.pictures)
    result = simulate(trainer.network(), trainer.pictures.pictures, steps, record=("spikes",), threads=1)
    for (name, rates), population in zip(tape.driven.items(), fired, strict=True):
        spikes = result.spikes[name]
        np.testing.assert_array_equal(spikes.reshape(population.spikes.shape), population.spikes * population.value)
        shares = trainer.settings.kept ** np.arange(steps - 1, -1, -1.0)
        expected = np.tensordot(spikes, shares / shares.sum(), axes=(1, 0)).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(tape.values[name], expected, rtol=2e-6, err_msg=name)
        assert rates.shape == expected.shape
        assert spikes.mean() > 0
    scores, firing = trainer._scores(trainer.pictures.pictures)
    np.testing.assert_array_equal(scores, result.output[:, :, 0, 0])
    sizes = [population.spikes.size for population in fired]
    assert firing == pytest.approx(sum(population.spikes.sum() for population in fired) / sum(sizes))


@pytest.mark.parametrize("pool", POOLS)
def test_representations_come_close_to_the_clips_as_steps_are_added(pool):
    distances = []
    for steps in (5, 80):
        trainer = small(steps=steps, pool=pool)
        pictures = trainer.pictures.pictures
        clipped, counted = (run(trainer.parameters, pictures) for run in (trainer.form.clipped, trainer.form.counted))
        last = list(clipped.driven)[-1]
        distances.append(np.abs(clipped.values[last] - counted.values[last]).mean())
    assert distances[1] < distances[0] / 6


def test_a_resumed_run_gives_the_same_bits_whatever_the_threads(tmp_path):
    def begun(threads):
        settings = DsrSettings(convolutions=(4, 3), layers=(5,), steps=5, batch=4, epochs=2, shift=1, pool="average")
        return DsrTrainer(coloured_pictures(), settings, threads)

    whole, first, rest = begun(1), begun(2), begun(2)
    train(whole)
    for _ in range(2):
        first.step()
    first.checkpoint(tmp_path / "c.npz")
    rest.resume(tmp_path / "c.npz")
    train(rest)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(rest.parameters[name], array)
    assert whole.validate(coloured_pictures(9, 1)) == rest.validate(coloured_pictures(9, 1))


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="neurons behind max pooling cannot leak"):
        DsrSettings(convolutions=(4,), pool="max", neuron="lif")
    settings = DsrSettings(convolutions=(4, 4, 4), pool="average")
    with pytest.raises(InputError, match="pictures of 8x4 cannot be halved 3 times"):
        DsrTrainer(coloured_pictures(), settings)


def test_the_command_learns_the_two_classes_without_full_connections_between(tmp_path):
    data = coloured_pictures(60)
    for index, (picture, label) in enumerate(zip(data.pictures, data.labels, strict=True)):
        place = tmp_path / "pictures" / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        write_picture(place / f"{index}.png", np.rint(picture.transpose(1, 2, 0) * 255).astype(np.uint8))
    options = ("--convolutions", "4,3", "--layers", "", "--steps", "5", "--rate", "0.03", "--epochs", "8")
    with pytest.raises(SystemExit) as stop:
        main(["train", "dsr", "--data", str(tmp_path / "pictures"), "-o", str(tmp_path / "m.npz"), *options])
    assert stop.value.code == 0
    network, data = load_model(tmp_path / "m.npz"), coloured_pictures(20, 3)
    found = simulate(network, data.pictures, steps=network.metadata["steps"]).output[:, :, 0, 0].argmax(1)
    assert (found == data.labels).mean() > 0.9
