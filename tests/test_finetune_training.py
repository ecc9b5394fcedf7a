"""The training loop and its parts: losses, optimisers, schedules, penalty, data, checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from small_denoiser import small_denoiser

from spikeunet.engine import Conv2d, IntegrateAndFire, MultiThreshold, load_model, simulate
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError
from spikeunet.engine.learning.finetune import (
    DenoisingBatches,
    Schedule,
    Settings,
    Surrogate,
    Trainable,
    Trainer,
    finetune,
    read_pictures,
    validate_denoiser,
)
from spikeunet.engine.learning.finetune.losses import LOSSES, OF_PICTURES, loss_named
from spikeunet.engine.learning.finetune.optimizers import SGD, Adam, clip_factor, gradient_norm, update_averages
from spikeunet.engine.learning.finetune.penalty import SpikePenalty
from spikeunet.engine.learning.finetune.sums import exact_sum
from spikeunet.engine.learning.finetune.trainable_arrays import in_kernel_order
from spikeunet.engine.pictures.metrics import ssim
from spikeunet.engine.pictures.picture_files import write_picture


def network(channels=1):
    """The small denoiser with a say in the output for its spikes."""
    silent = small_denoiser(channels)
    weight = silent["conv2"].weight + np.random.default_rng(1).normal(0, 0.1, silent["conv2"].weight.shape)
    read_out = Conv2d("conv2", "concat1", weight)
    return silent.replace([read_out if node.name == "conv2" else node for node in silent.nodes])


def pictures(count=4, channels=1, size=48):
    """Smooth random pictures, (H, W, C) float32."""
    random = np.random.default_rng(0)
    steps = random.normal(0, 0.05, (count, size, size, channels)).cumsum(1).cumsum(2) / 4
    return [np.clip(0.5 + picture - picture.mean(), 0, 1).astype(np.float32) for picture in steps]


def batches(sigma=(5, 50), channels=1):
    return DenoisingBatches(pictures(channels=channels), sigma, crop=16, batch=4)


def losing(net, settings):
    """Loss of the first and last iterations, and the reports."""
    reports = []
    finetune(net, batches(), settings, observe=lambda _, report: reports.append(report))
    losses = [report.loss for report in reports]
    return np.mean(losses[:5]), np.mean(losses[-5:]), reports


@pytest.mark.parametrize("method", ["flow", "bptt"])
@pytest.mark.parametrize("optimizer", [("adam", 0.01), ("sgd", 0.05)], ids=lambda pair: pair[0])
def test_the_loss_falls(method, optimizer):
    name, rate = optimizer
    settings = Settings(method=method, iterations=40, optimizer=name, rate=rate, scales="layer", initial=True)
    before, after, _ = losing(network(), settings)
    assert after < 0.7 * before


@pytest.mark.parametrize("method", ["flow", "bptt"])
def test_the_penalty_lowers_accumulates(method):
    settings = Settings(steps=2, method=method, iterations=30, rate=0.01)
    _, _, free = losing(network(), settings)
    _, _, sparse = losing(network(), dataclasses.replace(settings, penalty=0.3))
    assert sparse[-1].accumulates_per_pixel < 0.7 * free[-1].accumulates_per_pixel
    assert sparse[-1].penalty < 0.7 * free[-1].penalty


@pytest.mark.parametrize("method", ["flow", "bptt"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_checkpoint_resumes_exactly(method, optimizer, tmp_path):
    settings = Settings(
        steps=2,
        method=method,
        iterations=12,
        optimizer=optimizer,
        rate=1e-3,
        scales="channel",
        initial=True,
        penalty=0.01,
        average=0.9,
    )
    straight, stopped, resumed = (Trainer(network(), batches(), settings) for _ in range(3))
    expected = [straight.step() for _ in range(12)]
    assert [stopped.step() for _ in range(5)] == expected[:5]
    stopped.checkpoint(tmp_path / "checkpoint.npz")
    stopped.step()  # what comes after the checkpoint is lost, and nothing else
    resumed.resume(tmp_path / "checkpoint.npz")
    assert [resumed.step() for _ in range(7)] == expected[5:]
    for name, array in straight.parameters.items():
        np.testing.assert_array_equal(resumed.parameters[name], array, name)
    for name, array in straight.averages.items():
        np.testing.assert_array_equal(resumed.averages[name], array, name)
    assert list(tmp_path.iterdir()) == [tmp_path / "checkpoint.npz"]


def test_the_verbs_are_those_of_the_other_methods(tmp_path):
    trainer = Trainer(network(), batches(), Settings(steps=2, iterations=2), threads=1)
    trainer.step()
    assert trainer.validate(lambda *given: given[1:]) == (2, 1)
    found = trainer.validate(lambda now, steps, threads: validate_denoiser(now, pictures(2), 25, steps, threads))
    assert found == validate_denoiser(trainer.result(), pictures(2), 25, 2)
    trainer.save(tmp_path / "tuned.npz")
    assert load_model(tmp_path / "tuned.npz")["conv1"].weight.tobytes() == trainer.result()["conv1"].weight.tobytes()


def test_finetune_resumes_from_its_last_checkpoint(tmp_path):
    settings = Settings(steps=1, iterations=10, rate=1e-3)
    path = tmp_path / "checkpoint.npz"

    class Stopped(Exception):
        pass

    def stop(trainer, _report):
        if trainer.iteration == 7:
            raise Stopped

    expected = finetune(network(), batches(), settings)
    with pytest.raises(Stopped):
        finetune(network(), batches(), settings, checkpoint=path, interval=3, observe=stop)
    seen = []
    found = finetune(
        network(),
        batches(),
        settings,
        checkpoint=path,
        resume=True,
        observe=lambda t, _: seen.append(t.iteration),
    )
    assert seen == [7, 8, 9, 10]
    np.testing.assert_array_equal(found["conv1"].weight, expected["conv1"].weight)


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    settings = Settings(iterations=3)
    Trainer(network(), batches(), settings).checkpoint(path)
    with pytest.raises(ValueError, match=r"other settings \(rate 0.0001, now 0.01\)"):
        Trainer(network(), batches(), dataclasses.replace(settings, rate=0.01)).resume(path)
    with pytest.raises(ValueError, match="checkpoint of another network"):
        Trainer(network(3), batches(channels=3), settings).resume(path)
    with pytest.raises(ValueError, match="no such file"):
        Trainer(network(), batches(), settings).resume(tmp_path / "missing.npz")
    with pytest.raises(ValueError, match="resume needs the path of a checkpoint"):
        finetune(network(), batches(), settings, resume=True)


@pytest.mark.parametrize(
    "damage", ["truncated", "no state", "broken state", "newer", "missing array", "missing average", "other shape"]
)
def test_damaged_checkpoints_are_refused(damage, tmp_path):
    path = tmp_path / "checkpoint.npz"
    trainer = Trainer(network(), batches(), Settings(iterations=3, average=0.9))
    trainer.checkpoint(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        state = json.loads(arrays["state"].tobytes())
        if damage == "newer":
            state["version"] += 1
        text = b"{" if damage == "broken state" else json.dumps(state).encode()
        arrays["state"] = np.frombuffer(text, np.uint8)
        if damage == "no state":
            del arrays["state"]
        if damage == "missing array":
            del arrays["parameters/conv1.bias"]
        if damage == "missing average":
            del arrays["averages/conv1.bias"]
        if damage == "other shape":
            arrays["parameters/conv1.bias"] = np.zeros(3, np.float32)
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match="start the training again without it") as refused:
        trainer.resume(path)
    assert "\n" not in str(refused.value)


def test_the_result_is_a_checked_network_with_its_history():
    tuned = finetune(network(), batches(), Settings(steps=2, iterations=2))
    assert tuned.metadata["steps"] == 2
    assert tuned.metadata["fine_tuning"]["iterations"] == 2
    again = finetune(tuned, batches(), Settings(steps=3, iterations=1, rate=1e-3))
    assert again.metadata["fine_tuning"]["previous"] == tuned.metadata["fine_tuning"]
    assert tuned["conv1"].weight.flags.c_contiguous
    assert not tuned["conv1"].weight.flags.writeable


def test_only_what_is_trained_changes():
    settings = Settings(iterations=2, rate=0.01, weights=False, biases=False, initial=True)
    before = network()
    after = finetune(before, batches(), settings)
    np.testing.assert_array_equal(after["conv1"].weight, before["conv1"].weight)
    np.testing.assert_array_equal(after["conv1"].bias, before["conv1"].bias)
    assert after["relu1"].model.initial != before["relu1"].model.initial
    with pytest.raises(ValueError, match="nothing is left to train"):
        Trainable(before, weights=False, biases=False)


@pytest.mark.parametrize("values", [[math.inf, -math.inf], [1.7e308, 1.7e308], [math.nan, 1.0]])
def test_sums_of_numbers_that_diverged_are_nan(values):
    assert math.isnan(exact_sum(values))
    assert exact_sum([1e308, 1.0, -1e308]) == 1.0


def test_divergence_is_one_clear_error():
    settings = Settings(iterations=60, rate=1e6, optimizer="sgd", clip=None)
    with pytest.raises(ValueError, match=r"training diverged at iteration \d+ .* smaller learning rate"):
        finetune(network(), batches(), settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be a whole number"),
        ({"method": "magic"}, "method must be one of flow, bptt"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1"),
        ({"iterations": 10**9 + 1}, "iterations must be at most 1000000000"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"loss": "huber"}, "loss must be one of l1, mse"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd"),
        ({"momentum": 1.0}, "lie in"),
        ({"rate": float("nan")}, "learning rate must be positive"),
        ({"penalty": -1.0}, "penalty must not be negative"),
        ({"saturating": True, "method": "bptt"}, r"for accumulated flow, .* \(got 'bptt'\)"),
        ({"clip": 0.0}, "largest norm must be positive"),
        ({"average": 1.0}, r"decay of the averages must lie in \[0, 1\)"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        Settings(**change)


def test_bad_parts():
    with pytest.raises(ValueError, match="surrogate must be one of triangle"):
        Surrogate("sigmoid")
    with pytest.raises(ValueError, match="width must be a positive number"):
        Surrogate(width=0)
    with pytest.raises(ValueError, match="schedule must be one of cosine"):
        Schedule("linear")
    with pytest.raises(ValueError, match="warm-up must be a share"):
        Schedule(warmup=1)
    with pytest.raises(ValueError, match="threshold scales must be one of none"):
        Trainable(network(), "neuron")
    with pytest.raises(ValueError, match="checkpoint interval must be a whole number"):
        finetune(network(), batches(), Settings(iterations=1), interval=0)


# --- Losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "class_weights"), [*((name, ()) for name in LOSSES), ("cross-entropy", (2.0, 0.5, 0.0, 1.0, 3.0))]
)
def test_losses_equal_finite_differences(name, class_weights):
    loss = loss_named(name, class_weights)
    random = np.random.default_rng(0)
    output = random.standard_normal((2, 3, 4, 5) if name not in OF_PICTURES else (2, 13, 12, 2))
    target = random.standard_normal(output.shape) if name != "cross-entropy" else random.integers(-1, 5, (2, 3, 4))
    value, gradient = loss(output, target)
    assert np.isfinite(value)
    for place in random.permutation(output.size)[:20]:
        moved = np.zeros(output.size)
        moved[place] = 1e-6
        sides = [loss(output + sign * moved.reshape(output.shape), target)[0] for sign in (1, -1)]
        assert gradient.reshape(-1)[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_values_of_losses():
    output, target = np.array([[[[1.0, 3.0]]]]), np.array([[[[2.0, 1.0]]]])
    assert LOSSES["l1"](output, target)[0] == pytest.approx(1.5)
    assert LOSSES["mse"](output, target)[0] == pytest.approx(2.5)
    assert LOSSES["log-mse"](output, target)[0] == pytest.approx(np.log(2.5))
    label = np.array([[[1]]])
    assert LOSSES["cross-entropy"](output, label)[0] == pytest.approx(np.log(1 + np.exp(-2)))
    assert LOSSES["cross-entropy"](output, label - 2)[0] == 0


def test_structural_similarity_is_that_of_pictures():
    """Mean over the pictures; of a network that puts out the noise, that of the denoised picture with the clean one."""
    random = np.random.default_rng(0)
    clean, found = (random.random((2, 16, 20, 1)).astype(np.float32) for _ in range(2))
    expected = np.mean([ssim(*pair) for pair in zip(clean[..., 0], found[..., 0], strict=True)])
    assert LOSSES["ssim"](found, clean)[0] == pytest.approx(1 - expected, abs=1e-6)
    absolute = np.abs(found - clean).mean()
    assert LOSSES["l1-ssim"](found, clean)[0] == pytest.approx(absolute + 0.2 * (1 - expected), abs=1e-6)
    noisy = (clean + 0.1 * random.standard_normal(clean.shape)).astype(np.float32)
    by_target = {"noise": noisy - clean, "picture": clean}
    losses, gradients = {}, {}
    for predicts, target in by_target.items():
        trainer = Trainer(small_denoiser(predicts=predicts), None, Settings(steps=1, loss="ssim"))
        losses[predicts], gradients[predicts] = trainer.gradients(noisy, target)
        output = forward(small_denoiser(), noisy.transpose(0, 3, 1, 2))[0].transpose(0, 2, 3, 1)
        picture = noisy - output if predicts == "noise" else output
        assert losses[predicts] == pytest.approx(LOSSES["ssim"](picture, clean)[0], abs=1e-5)
    # Half of the picture is what the network puts out, so that both see the same, with gradients of the other sign.
    assert losses["noise"] == pytest.approx(losses["picture"], abs=1e-6)
    for name, gradient in gradients["noise"].items():
        np.testing.assert_allclose(gradient, -gradients["picture"][name], atol=1e-6)


def test_structural_similarity_needs_room():
    small = np.zeros((1, 10, 16, 1))
    with pytest.raises(InputError, match=r"at least 11x11 pixels \(got 1x10x16x1 and 1x10x16x1.*take larger crops"):
        LOSSES["ssim"](small, small)


def test_class_weights_weigh_the_mean():
    output, labels = np.array([[[[1.0, 3.0], [2.0, 1.0], [0.5, 0.0]]]]), np.array([[[1, 0, -1]]])
    losses = [np.log(1 + np.exp(-2)), np.log(1 + np.exp(-1))]
    value, gradient = loss_named("cross-entropy", (3.0, 1.0))(output, labels)
    assert value == pytest.approx((losses[0] + 3 * losses[1]) / 4)
    assert not gradient[0, 0, 2].any()
    assert loss_named("cross-entropy", (3.0, 0.0))(output, labels)[0] == pytest.approx(losses[1])


@pytest.mark.parametrize(
    ("loss", "weights", "message"),
    [
        ("mse", (1.0,), "class weights are for cross-entropy"),
        ("cross-entropy", (1.0, -1.0), r"must not be negative, nor all zero \(got \[1.0, -1.0\]\)"),
        ("cross-entropy", (0.0, 0.0), "nor all zero"),
        ("cross-entropy", (1.0, float("nan")), "nor all zero"),
    ],
)
def test_bad_class_weights_are_refused(loss, weights, message):
    with pytest.raises(InputError, match=message):
        Settings(loss=loss, class_weights=weights)


def test_there_is_a_class_weight_for_each_class():
    with pytest.raises(InputError, match=r"2 classes need as many class weights \(got 3\)"):
        loss_named("cross-entropy", (1.0, 1.0, 1.0))(np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1), int))


# --- Optimisers and schedules ----------------------------------------------------------------------------------------


def naive_adam(parameter, gradients, rate):
    mean = square = np.zeros_like(parameter)
    for count, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        parameter = parameter - rate * (mean / (1 - 0.9**count)) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
    return parameter


def naive_momentum(parameter, gradients, rate):
    mean = np.zeros_like(parameter)
    for gradient in gradients:
        mean = 0.9 * mean + gradient
        parameter = parameter - rate * mean
    return parameter


@pytest.mark.parametrize(("optimizer", "naive"), [(Adam, naive_adam), (SGD, naive_momentum)])
@pytest.mark.parametrize("shape", [(3, 2, 3, 3), (7, 5), (4,)])
def test_optimizers_equal_their_equations(optimizer, naive, shape):
    random = np.random.default_rng(0)
    start = random.standard_normal(shape)
    gradients = [random.standard_normal(shape) for _ in range(5)]
    parameters, made = {"x": in_kernel_order(start.copy())}, optimizer()
    for gradient in gradients:
        made.step(parameters, {"x": in_kernel_order(gradient)}, 0.1)
    np.testing.assert_allclose(parameters["x"], naive(start, gradients, 0.1), rtol=1e-12)


def test_the_norm_is_of_all_gradients_together():
    random = np.random.default_rng(0)
    gradients = {"a": random.standard_normal((3, 5, 7, 11)), "b": random.standard_normal(1000), "c": np.ones(1)}
    expected = np.linalg.norm(np.concatenate([array.ravel() for array in gradients.values()]))
    gradients["a"] = in_kernel_order(gradients["a"])
    assert gradient_norm(gradients) == pytest.approx(expected, rel=1e-12)


def test_clipping_scales_gradients_to_the_norm():
    assert [clip_factor(5, most) for most in (None, 10, 5, 1)] == [1, 1, 1, 0.2]
    for optimizer in (SGD, Adam):
        clipped, scaled = {"x": np.ones(3)}, {"x": np.ones(3)}
        optimizer().step(clipped, {"x": np.array([3.0, 4.0, 0.0])}, 0.1, scale=0.25)
        optimizer().step(scaled, {"x": np.array([0.75, 1.0, 0.0])}, 0.1)
        np.testing.assert_array_equal(clipped["x"], scaled["x"])
        assert clipped["x"][0] != 1


def test_averages_equal_their_equation():
    random = np.random.default_rng(0)
    start = random.standard_normal((3, 2, 3, 3))
    averages, expected = {"x": in_kernel_order(start.copy())}, start.copy()
    for steps in range(40):
        parameter = random.standard_normal(start.shape)
        decay = min(0.7, (1 + steps) / (10 + steps))
        expected = decay * expected + (1 - decay) * parameter
        update_averages(averages, {"x": in_kernel_order(parameter)}, 0.7, steps)
        np.testing.assert_allclose(averages["x"], expected, rtol=0, atol=1e-12)


def test_validation_and_result_use_the_averages():
    plain, averaged = (Trainer(network(), batches(), Settings(rate=0.01, average=decay)) for decay in (0.0, 0.9))
    assert plain.averages == {}
    for _ in range(5):
        # Averaging is beside the training, not part of it.
        assert averaged.step() == plain.step()
    np.testing.assert_array_equal(averaged.parameters["conv1.weight"], plain.parameters["conv1.weight"])
    found = averaged.averages["conv1.weight"]
    assert not np.array_equal(found, plain.parameters["conv1.weight"])
    np.testing.assert_array_equal(averaged.current_network()["conv1"].weight, found)
    np.testing.assert_array_equal(averaged.result()["conv1"].weight, found)
    assert averaged.result().metadata["fine_tuning"]["average"] == 0.9


def test_schedules():
    cosine = Schedule("cosine", warmup=0.1, last=0.1)
    factors = [cosine(iteration, 100) for iteration in range(100)]
    assert factors[10] == pytest.approx(1)
    assert (np.diff(factors[:11]) > 0).all()
    assert (np.diff(factors[10:]) < 0).all()
    assert cosine(100, 100) == pytest.approx(0.1)
    steps = Schedule("step", drops=2, factor=0.5)
    assert [steps(iteration, 9) for iteration in range(9)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert Schedule("constant")(5, 10) == 1


# --- Penalty, data, validation ---------------------------------------------------------------------------------------


def test_the_penalty_is_fan_out_times_events():
    net = network()
    picture = np.random.default_rng(0).random((1, 12, 8)).astype(np.float32)
    penalty = SpikePenalty(net, picture.shape)
    result = simulate(net, picture, steps=3, record=("spikes",))
    emitted = {name: spikes.transpose(0, 2, 3, 1) for name, spikes in result.spikes.items()}
    assert penalty.accumulates(emitted) == result.total_accumulates
    ones = {name: np.ones_like(values[:1]) for name, values in emitted.items()}
    reached = sum(cost.sum() * ones[name].shape[3] for name, cost in penalty.costs.items())
    # A neuron that emits 1 at each step counts as one event a step, whatever its thresholds.
    assert penalty.value(ones, 1) == pytest.approx(reached)
    assert penalty.value({name: 3 * values for name, values in ones.items()}, 3) == pytest.approx(3 * reached)
    assert penalty.value({name: 0 * values for name, values in ones.items()}, 3) == 0


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (MultiThreshold((0.5, 0.25, 0.125, 0.0625, 0.03125, 1 / 64)), 17 / 24),
        (IntegrateAndFire(1.0), 5 / 33),
    ],
    ids=["fine ladder", "one threshold"],
)
def test_the_penalty_of_a_small_output_depends_on_the_smallest_that_the_neuron_can_emit(model, share):
    net = network().with_neurons(model)
    penalty = SpikePenalty(net, (1, 12, 8))
    channels = {name: shape[0] for name, shape in net.shapes((1, 12, 8)).items()}
    emitted = {name: np.full((2, *cost.shape, channels[name]), 0.25) for name, cost in penalty.costs.items()}
    most = sum(cost.sum() * channels[name] for name, cost in penalty.costs.items())
    # An eighth of 1 at each of two steps.
    assert penalty.value(emitted, 2) == pytest.approx(2 * share * most)


def test_gradients_of_the_penalty_are_its_differences():
    net = network()
    penalty = SpikePenalty(net, (1, 12, 8))
    random = np.random.default_rng(0)
    channels = {name: shape[0] for name, shape in net.shapes((1, 12, 8)).items()}
    emitted = {name: random.random((2, *cost.shape, channels[name])) for name, cost in penalty.costs.items()}
    for array in emitted.values():
        array[0, 0, 0, 0] = 0
    found = penalty.gradients(0.5, emitted, 3)
    for name, array in emitted.items():
        assert found[name][0, 0, 0, 0] == 0
        for place in [(0, 1, 1, 0), (1, 2, 0, -1)]:
            sides = []
            for change in (1e-6, -1e-6):
                moved = array.copy()
                moved[place] += change
                sides.append(penalty.value({**emitted, name: moved}, 3))
            assert found[name][place] == pytest.approx(0.5 * (sides[0] - sides[1]) / 2e-6, rel=1e-6)


def test_batches_are_crops_with_noise_of_the_range():
    made = batches(sigma=(25, 25))
    noisy, noise = made.draw(np.random.default_rng(0))
    assert noisy.shape == noise.shape == (4, 16, 16, 1)
    assert noisy.dtype == noise.dtype == np.float32
    assert noise.std() == pytest.approx(25 / 255, rel=0.1)
    clean = noisy - noise
    assert clean.min() > -1e-6
    assert clean.max() < 1 + 1e-6
    again, _ = made.draw(np.random.default_rng(0))
    np.testing.assert_array_equal(again, noisy)


def test_bad_batches():
    with pytest.raises(ValueError, match="at least one picture"):
        DenoisingBatches([], (5, 50))
    with pytest.raises(ValueError, match=r"training picture 1 is 8x48x1 .* crops of 16"):
        DenoisingBatches([pictures()[0], pictures()[0][:8]], (5, 50), crop=16)
    with pytest.raises(ValueError, match="batch must have 1 to"):
        DenoisingBatches(pictures(), (5, 50), crop=16, batch=0)
    with pytest.raises(ValueError, match="range from low to high"):
        DenoisingBatches(pictures(), (50, 5), crop=16)


def test_pictures_are_read_for_the_network(tmp_path):
    random = np.random.default_rng(0)
    for name, shape in {"a": (5, 6), "b": (5, 6, 3), "c": (5, 6, 4)}.items():
        write_picture(tmp_path / f"{name}.png", random.integers(0, 256, shape, dtype=np.uint8))
    assert [picture.shape for picture in read_pictures(tmp_path, 1)] == [(5, 6, 1)] * 3
    assert [picture.shape for picture in read_pictures(tmp_path, 3)] == [(5, 6, 3)] * 3
    with pytest.raises(ValueError, match=r"b.png: has 3 colour channels, but the model takes 2"):
        read_pictures(tmp_path, 2)
    with pytest.raises(ValueError, match="no such folder"):
        read_pictures(tmp_path / "missing", 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        read_pictures(tmp_path / "empty", 1)


def test_validation_is_what_denoise_does():
    from spikeunet.engine import add_noise, denoise, psnr

    net, clean = network(), pictures(2, size=22)
    found = validate_denoiser(net, clean, 25, 3)
    scores, accumulates = [], 0
    for seed, picture in enumerate(clean):
        done = denoise(add_noise(picture[..., 0], 25, seed), net, steps=3)
        scores.append(psnr(picture[..., 0], done.restored))
        accumulates += done.result.total_accumulates
    assert found.psnr == pytest.approx(np.mean(scores))
    assert found.accumulates_per_pixel == pytest.approx(accumulates / (2 * 22 * 22))


class Given:
    """Batches of one example, whatever it is."""

    def __init__(self, *example):
        self.example = example

    def draw(self, _generator):
        return self.example


NOISY = np.zeros((2, 16, 16, 1), np.float32)
LABELS = np.zeros((2, 16, 16), np.int64)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((NOISY.tolist(), NOISY), r"inputs of a batch must be a floating-point array, .* 1 channel\(s\) \(got list\)"),
        ((NOISY.astype(np.uint8), NOISY), r"floating-point array, .* \(got 2x16x16x1 uint8\)"),
        ((NOISY[0], NOISY), r"none of them 0 \(got 16x16x1 float32\)"),
        ((NOISY[:0], NOISY), r"none of them 0 \(got 0x16x16x1 float32\)"),
        ((NOISY.repeat(3, 3), NOISY), r"1 channel\(s\), none of them 0 \(got 2x16x16x3 float32\)"),
        ((NOISY + np.float32(np.nan), NOISY), r"inputs of a batch must be finite \(got NaN or infinities\)"),
        ((NOISY, 0.5), r"targets of a batch must be an array \(got float\)"),
        ((NOISY, NOISY[:1]), r"the shape of the network's outputs, 2x16x16x1 \(got 1x16x16x1 float32\)"),
        ((NOISY, LABELS[..., None]), r"targets of a batch must be floating-point numbers .* \(got 2x16x16x1 int64\)"),
    ],
)
def test_examples_that_do_not_fit_are_refused(example, message):
    with pytest.raises(InputError, match=message):
        Trainer(network(), Given(*example), Settings(steps=1)).step()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:1], r"labels of a batch must be whole numbers, 2x16x16 \(got 1x16x16 int64\)"),
        (LABELS * 1.0, r"labels of a batch must be whole numbers, 2x16x16 \(got 2x16x16 float64\)"),
        (LABELS + 1, r"labels of a batch must be below 1, the network's number of classes \(got 1\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        Trainer(network(), Given(NOISY, labels), Settings(steps=1, loss="cross-entropy")).step()
