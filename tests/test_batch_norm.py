"""Training with batch norms through time: gradients, running statistics, folding, checkpoints; decayed weights."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import (
    Add,
    Conv2d,
    Input,
    InputError,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Scale,
    forward,
    simulate,
)
from spikeunet.engine.learning.finetune import (
    DenoisingBatches,
    Settings,
    Surrogate,
    Trainable,
    Trainer,
    finetune,
    run_through_time,
    time_gradients,
)
from spikeunet.engine.learning.finetune.batch_norm import EPSILON, NormedSynapses, normalise, normalise_backward
from spikeunet.engine.learning.finetune.optimizers import Adam, decay_weights

ALPHA = 0.7
STEPS = 3
FIRING = LeakyIntegrateAndFire(0.5, 0.75, "zero")


def blocks(model=FIRING, channels=2, seed=0):
    """Convolutions with neurons between, a residual sum with an identity, and a readout."""
    random = np.random.default_rng(seed)

    def weight(out, into, size):
        return random.normal(0, 0.4, (out, into, size, size)).astype(np.float32)

    return Network(
        [
            Input("input", channels),
            Conv2d("stem", "input", weight(3, channels, 3), padding=1),
            Neurons("spikes1", "stem", model),
            Conv2d("branch", "spikes1", weight(3, 3, 3), padding=1),
            Scale("identity", "spikes1", np.ones(3, np.float32)),
            Add("sum", ("branch", "identity")),
            Neurons("spikes2", "sum", model),
            Conv2d("read", "spikes2", weight(channels, 3, 1)),
            Output("output", "read"),
        ]
    )


def batch(pictures=4, side=6, channels=2, seed=1):
    return np.random.default_rng(seed).random((pictures, side, side, channels))


def copied(parameters):
    return {name: array.copy() for name, array in parameters.items()}


def away(parameters, seed=2):
    """Scales and shifts away from where they start."""
    random = np.random.default_rng(seed)
    for name, array in parameters.items():
        if name.endswith((".norm_scale", ".bias")):
            array[...] += random.normal(0.1, 0.1, array.shape)
    return parameters


# --- The arithmetic --------------------------------------------------------------------------------------------------


def test_gradients_of_the_norm_are_its_differences():
    random = np.random.default_rng(0)
    current, scale, shift = random.normal(2, 3, (3, 4, 5, 2)), random.normal(1, 0.5, 2), random.normal(0, 1, 2)
    gradient = random.normal(0, 1, current.shape)
    found = normalise_backward(normalise(current, scale, shift), scale, gradient)

    def loss(arrays):
        return float((normalise(*arrays).current * gradient).sum())

    for place, own in enumerate(found):
        direction = random.normal(0, 1, own.shape)
        step = 1e-5
        ends = []
        for sign in (1, -1):
            arrays = [current, scale, shift]
            arrays[place] = arrays[place] + sign * step * direction
            ends.append(loss(arrays))
        expected = (ends[0] - ends[1]) / (2 * step)
        assert abs((own * direction).sum() - expected) < 1e-6 * max(1, abs(expected))


def test_the_norm_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    random = np.random.default_rng(0)
    current = random.normal(2, 3, (3, 4, 5, 2))
    norm = torch.nn.BatchNorm2d(2, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.3, -1.2]))
        norm.bias.copy_(torch.tensor([0.1, 2.0]))
    tensor = torch.tensor(current.transpose(0, 3, 1, 2)).requires_grad_()
    output = norm(tensor)
    gradient = random.normal(0, 1, current.shape)
    output.backward(torch.tensor(gradient.transpose(0, 3, 1, 2)))
    scale, shift = (array.detach().numpy() for array in (norm.weight, norm.bias))
    found = normalise(current, scale, shift)
    into, by_scale, by_shift = normalise_backward(found, scale, gradient)
    np.testing.assert_allclose(found.current, output.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(into, tensor.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(by_scale, norm.weight.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(by_shift, norm.bias.grad.numpy(), rtol=1e-10)
    # The running statistics, through a node.
    inner = Conv2d("conv", "input", np.eye(2, dtype=np.float64)[:, :, None, None])
    node = NormedSynapses("conv", source="input", inner=inner, scale=scale, mean=np.zeros(2), variance=np.ones(2))
    node.forward((current,))
    np.testing.assert_allclose(node.mean, norm.running_mean.numpy(), rtol=1e-9)
    np.testing.assert_allclose(node.variance, norm.running_var.numpy(), rtol=1e-9)


# --- Networks --------------------------------------------------------------------------------------------------------


def test_norms_stand_behind_all_weights_but_the_readouts():
    trainable = Trainable(blocks(), batch_norm=ALPHA)
    names = {name for name in trainable.parameters() if ".norm_" in name}
    assert names == {f"{node}.norm_{part}" for node in ("stem", "branch") for part in ("scale", "mean", "variance")}
    assert {name for name in trainable.trained if ".norm_" in name} == {"stem.norm_scale", "branch.norm_scale"}
    np.testing.assert_allclose(trainable.parameters()["stem.norm_scale"], ALPHA * FIRING.threshold)
    ladder = Trainable(blocks(MultiThreshold((1.0, 0.5))), batch_norm=2.0).parameters()
    np.testing.assert_allclose(ladder["branch.norm_scale"], 2.0)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_gradients_through_time_are_differences(reset):
    """Of the smooth network, whose exact gradient the way back is, the statistics of the batch included."""
    network = blocks(LeakyIntegrateAndFire(0.5, 0.75, reset))
    trainable = Trainable(network, batch_norm=ALPHA)
    parameters, pictures = away(trainable.parameters(np.float64)), batch()
    surrogate = Surrogate("fast-sigmoid", 1.0, smooth=True)
    random = np.random.default_rng(3)
    target = random.normal(0, 1, (len(pictures), 6, 6, 2))

    def output(changed):
        return run_through_time(trainable.network(copied(changed)), pictures, STEPS, surrogate)

    made = trainable.network(copied(parameters))
    tape = run_through_time(made, pictures, STEPS, surrogate)
    gradients = trainable.pull_back(parameters, time_gradients(made, tape, target))
    assert sorted(gradients) == sorted(trainable.trained)
    for name, own in gradients.items():
        direction = random.normal(0, 1, own.shape)
        ends = []
        for sign in (1, -1):
            changed = copied(parameters)
            changed[name] += sign * 1e-5 * direction
            ends.append(float((output(changed).output * target).sum()))
        expected = (ends[0] - ends[1]) / 2e-5
        assert abs((own * direction).sum() - expected) < 1e-6 * max(1, np.abs(own * direction).sum()), name


def test_the_ordinary_network_has_the_running_statistics_folded():
    trainable = Trainable(blocks(), batch_norm=ALPHA)
    parameters = away(trainable.parameters())
    for name, array in parameters.items():
        if name.endswith((".norm_mean", ".norm_variance")):
            array[:] = np.random.default_rng(4).random(array.shape) + 0.5
    made = trainable.ordinary_network(parameters)
    assert not any(isinstance(node, NormedSynapses) for node in made.nodes)
    stem = dict(zip(("weight", "bias", "norm_scale", "norm_mean", "norm_variance"), (
        parameters[f"stem.{part}"] for part in ("weight", "bias", "norm_scale", "norm_mean", "norm_variance")
    ), strict=True))  # fmt: skip
    gain = stem["norm_scale"] / np.sqrt(stem["norm_variance"] + EPSILON)
    np.testing.assert_allclose(made["stem"].weight, stem["weight"] * gain[:, None, None, None], rtol=1e-5)
    np.testing.assert_allclose(made["stem"].bias, stem["bias"] - stem["norm_mean"] * gain, rtol=1e-5, atol=1e-7)
    picture = batch(1).transpose(0, 3, 1, 2)[0].astype(np.float32)
    simulate(trainable.export(parameters), picture, steps=STEPS)
    forward(made, picture)


# --- Training --------------------------------------------------------------------------------------------------------


def training(**changed):
    given = {"method": "bptt", "steps": 2, "iterations": 6, "rate": 1e-2, "batch_norm": ALPHA, "weight_decay": 0.01}
    return Settings(**{**given, **changed})


def batches():
    pictures = [np.random.default_rng(seed).random((24, 24, 1)).astype(np.float32) for seed in range(3)]
    return DenoisingBatches(pictures, (20, 30), crop=8, batch=4)


def test_training_lowers_the_loss_and_moves_the_statistics():
    trainer = Trainer(blocks(channels=1), batches(), training(iterations=40))
    losses = [trainer.step().loss for _ in range(40)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    assert abs(trainer.parameters["stem.norm_mean"]).max() > 0
    result = trainer.result()
    assert result.metadata["fine_tuning"]["batch_norm"] == ALPHA
    kinds = [type(node) for node in result.nodes]
    assert kinds == [type(node) for node in blocks(channels=1).nodes]
    # Where the statistics of a batch are the running ones, training sees what the result computes.
    seen = batches().draw(np.random.default_rng(0))[0].astype(np.float32)
    for _ in range(200):
        tape = run_through_time(trainer.trainable.network(trainer.parameters), seen, 2, trainer.settings.surrogate)
    folded = trainer.trainable.ordinary_network(trainer.parameters)
    again = run_through_time(folded, seen, 2, trainer.settings.surrogate)
    assert np.abs(again.output - tape.output).mean() < 0.05 * np.abs(tape.output).mean()


def test_a_checkpoint_holds_the_statistics(tmp_path):
    whole = finetune(blocks(channels=1), batches(), training())
    first = Trainer(blocks(channels=1), batches(), training())
    for _ in range(3):
        first.step()
    first.checkpoint(tmp_path / "half.npz")
    second = Trainer(blocks(channels=1), batches(), training())
    second.resume(tmp_path / "half.npz")
    while not second.finished:
        second.step()
    for one, other in zip(whole.nodes, second.result().nodes, strict=True):
        for part in getattr(one, "arrays", ()):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_decayed_weights_are_those_of_adamw():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    random = np.random.default_rng(0)
    start, gradients = random.normal(0, 1, (3, 4)), [random.normal(0, 1, (3, 4)) for _ in range(5)]
    tensor = torch.tensor(start).requires_grad_()
    optimizer = torch.optim.AdamW([tensor], lr=0.1, weight_decay=0.3)
    parameters, own = {"a.weight": start.copy(), "a.bias": start.copy()}, Adam()
    for gradient in gradients:
        tensor.grad = torch.tensor(gradient)
        optimizer.step()
        found = {"a.weight": gradient, "a.bias": gradient}
        decay_weights(parameters, found, 0.1 * 0.3)
        own.step(parameters, found, 0.1)
    np.testing.assert_allclose(parameters["a.weight"], tensor.detach().numpy(), rtol=1e-9)
    assert not np.allclose(parameters["a.bias"], parameters["a.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "flow"}, r"batch norms are trained through time; take the method bptt \(got 'flow'\)"),
        ({"batch_norm": 0.0}, r"the scale of batch norms must be positive \(got 0\.0\)"),
        ({"batch_norm": float("nan")}, r"the scale of batch norms must be positive \(got nan\)"),
        ({"weight_decay": -1.0}, r"the weights' decay must not be negative \(got -1\.0\)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        training(**change)


@pytest.mark.parametrize("change", [{"scales": "channel"}, {"weight_bits": 8}])
def test_norms_do_not_go_with_other_scales(change):
    with pytest.raises(InputError, match=r"batch norms scale channels themselves .*; leave trained thresholds"):
        Trainer(blocks(MultiThreshold(), channels=1), batches(), training(**change))
