"""The pieces that the training scripts in examples/ share; they need PyTorch."""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import warnings

import numpy as np
import pytest
from example_modules import EXAMPLES, example_modules
from PIL import Image
from reference_resampling import random_tables

from spikeunet.converters import convert
from spikeunet.engine import add_rain
from spikeunet.engine.dense import forward
from spikeunet.engine.tasks.resampling import resample, resampler

pytest.importorskip("imageio", reason="imageio is not installed (extra train)")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra evaluate)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")


@pytest.fixture(scope="module")
def scripts():
    names = ("augmentation", "spiking_unet", "train_denoiser", "train_segmenter", "training_loop")
    with example_modules(*names) as modules:
        yield modules


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def run_script(monkeypatch, name, *arguments):
    """A script as it stands, in this process, which has imported PyTorch."""
    before, threads = set(sys.modules), torch.get_num_threads()
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    except SystemExit as stop:
        assert not stop.code  # noqa: PT017 - a command that has done its work ends so, too
    finally:
        torch.set_num_threads(threads)
        for module in set(sys.modules) - before:
            if (EXAMPLES / f"{module}.py").exists():
                del sys.modules[module]


def options(folder, **changed):
    given = {
        "out": folder / "state.npz",
        "minutes": 1e-9,
        "rate": 1e-3,
        "report": 1,
        "seed": 0,
        "optimizer": "adam",
        "bias_share": 1.0,
    }
    return argparse.Namespace(**{**given, **changed})


@torch.no_grad()
def stir(network):
    """Move the batch norms' statistics, their parameters and all biases away from where they start."""
    for _ in range(3):
        network(torch.rand(2, 3, 32, 32))
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 or name == "conv19.weight":
            parameter.add_(torch.rand_like(parameter) * 0.3)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_converter_takes_the_state_dict(scripts, batch_norm):
    network = scripts.spiking_unet.SpikingUNet(3, 4, width=2, batch_norm=batch_norm)
    stir(network)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    picture = np.random.default_rng(0).random((3, 32, 48), np.float32)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(picture)[None])[0].numpy()
    found, _ = forward(convert(state, normalization="none"), picture)
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_colour_starts_from_gray(scripts, monkeypatch):
    gray, colour = (scripts.spiking_unet.SpikingUNet(channels, channels, width=2) for channels in (1, 3))
    torch.nn.init.normal_(gray.conv19.weight)
    pictures = torch.rand(1, 3, 32, 32)
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(scripts.spiking_unet, "MIXTURE_SPREAD", 0.0)
        scripts.spiking_unet.start_from(colour, gray.state_dict())
        expected = gray(pictures.mean(dim=1, keepdim=True)).expand(-1, 3, -1, -1)
        torch.testing.assert_close(colour(pictures), expected)
    scripts.spiking_unet.start_from(colour, gray.state_dict())
    colour(pictures)[:, 0].sum().backward()
    for layer, dimension in ((colour.conv1, 1), (colour.conv19, 0)):
        assert layer.weight.var(dim=dimension).min() > 0
    assert colour.conv1.weight.grad.var(dim=1).max() > 0


def test_start_without_change_of_channels_is_exact(scripts):
    first, second = (scripts.spiking_unet.SpikingUNet(width=2) for _ in range(2))
    scripts.spiking_unet.start_from(second, first.state_dict())
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


def test_start_of_another_width_is_refused(scripts):
    gray, colour = (scripts.spiking_unet.SpikingUNet(width=width) for width in (2, 3))
    with pytest.raises(RuntimeError, match="size mismatch"):
        scripts.spiking_unet.start_from(colour, gray.state_dict())


def test_dead_upsampling_is_revived(scripts):
    network, average = (scripts.spiking_unet.SpikingUNet(width=2) for _ in range(2))
    optimizer = torch.optim.Adam(network.parameters())
    x = torch.rand(1, 1, 32, 32)
    # Average pooling leaves something for every level: only what is killed on purpose is dead.
    for step in range(1, 5):
        network.get_submodule(f"convtranspose{step}").bias.data.fill_(1.0)
    assert scripts.spiking_unet.revive(network, average, optimizer, x) == []
    network.convtranspose1.bias.data.fill_(-1e3)
    assert scripts.spiking_unet.revive(network, average, optimizer, x) == ["conv9", "conv10", "convtranspose1"]
    assert network.convtranspose1.bias.abs().max() == 0
    assert network.conv11.weight[:, 16:].abs().max() == 0
    assert network.conv11.weight[:, :16].abs().min() > 0
    assert torch.equal(average.conv10.weight, network.conv10.weight)


def test_crop_without_distortion_is_cut_out(scripts):
    generator = np.random.default_rng(1)
    picture = generator.random((2, 40, 50), np.float32)
    labels = generator.integers(-1, 3, (40, 50))
    still = scripts.augmentation.Distortions(False, scale=(1.0, 1.0), contrast=0.0, brightness=0.0)
    mirrored = []
    for _ in range(8):
        # Row 9 to 24 and column 12 to 27: the centre of 16 pixels lies between two of them.
        tensors = torch.from_numpy(picture), torch.from_numpy(labels.astype(np.float32))
        found, classes = scripts.augmentation.distort(*tensors, still, 16, generator, (16.5, 19.5))
        expected, expected_labels = picture[:, 9:25, 12:28], labels[9:25, 12:28]
        mirrored.append(not np.array_equal(classes.numpy(), expected_labels))
        if mirrored[-1]:
            expected, expected_labels = expected[..., ::-1], expected_labels[:, ::-1]
        np.testing.assert_array_equal(classes.numpy(), expected_labels)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert set(mirrored) == {False, True}


def test_labels_go_where_the_picture_goes(scripts):
    generator = np.random.default_rng(2)
    labels = np.kron(generator.integers(0, 2, (6, 6)), np.ones((16, 16))).astype(np.float32)
    wild = scripts.augmentation.Distortions(elastic=6.0, contrast=0.0, brightness=0.0)
    for _ in range(5):
        picture, classes = scripts.augmentation.distort(
            torch.from_numpy(labels)[None], torch.from_numpy(labels), wild, 48, generator, (40.0, 52.0)
        )
        # The picture is interpolated, the labels are the nearest: they agree but for the pixels on an edge.
        assert torch.equal(
            (picture[0] > 0.5).long()[(picture[0] - 0.5).abs() > 0.45], classes[(picture[0] - 0.5).abs() > 0.45]
        )
        assert 0 < classes.float().mean() < 1


@pytest.mark.slow
def test_training_lowers_the_loss_and_goes_on_from_its_checkpoint(scripts, tmp_path):
    generator = np.random.default_rng(3)
    x = torch.from_numpy(generator.random((2, 1, 32, 32), np.float32))
    lesson = scripts.training_loop.Lesson(
        lambda _: (x, (x[:, 0] > 0.5).long()), torch.nn.functional.cross_entropy, lambda _: "scores"
    )

    def trainer():
        network = scripts.spiking_unet.SpikingUNet(1, 2, width=4, batch_norm=True)
        return scripts.training_loop.Trainer(network, lesson, options(tmp_path, rate=1e-2))

    first = trainer()
    losses = []
    for _ in range(12):
        first.step(0.1)
        losses.append(float(first.lesson.loss(first.network(x).float(), lesson.draw(None)[1]).detach()))
    assert losses[-1] < 0.8 * losses[0]
    first.elapsed = 7.0
    first.save()
    second = trainer()
    assert (second.iteration, second.elapsed) == (12, 7.0)
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])
    with np.load(tmp_path / "state.npz") as saved:
        assert set(saved) == set(first.average.state_dict())
        assert np.array_equal(saved["bn3.running_mean"], first.average.bn3.running_mean.numpy())
        assert not np.array_equal(saved["conv1.weight"], first.network.conv1.weight.detach().numpy())
    with pytest.raises(SystemExit, match="another network"):
        scripts.training_loop.Trainer(scripts.spiking_unet.SpikingUNet(1, 3, width=4), lesson, options(tmp_path))


def test_rate_rises_and_falls_to_almost_nothing(scripts):
    factor = scripts.training_loop.rate_factor
    assert factor(scripts.training_loop.WARMUP) == 1.0
    assert factor(0.0) == factor(1.0) == scripts.training_loop.LEAST_FACTOR
    assert factor(0.01) < factor(0.02) < 1.0 > factor(0.5) > factor(0.9)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_what_the_denoiser_is_to_find(scripts, channels):
    generator = np.random.default_rng(4)
    shape = (40, 44) if channels == 1 else (40, 44, channels)
    pictures = [generator.integers(0, 256, shape, np.uint8) for _ in range(2)]
    noisy, noise = scripts.train_denoiser.draw_batch(pictures, 64, 16, generator)
    assert noisy.shape == noise.shape == (64, channels, 16, 16)
    clean = (noisy - noise).numpy() * 255
    np.testing.assert_allclose(clean, clean.round(), atol=1e-3)
    spread = noise.reshape(64, -1).std(dim=1).numpy() * 255
    assert 4 < spread.min() < 15 < 40 < spread.max() < 56
    perfect = torch.nn.Module()
    perfect.forward = torch.zeros_like
    assert 20.0 < scripts.train_denoiser.validate(perfect, pictures) < 21.5


def test_denoiser_refuses_pictures_of_other_channels(scripts, tmp_path):
    for index in range(9):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{index}.png")
    assert len(scripts.train_denoiser.read_pictures(tmp_path)) == 9
    with pytest.raises(SystemExit, match=r"0\.png: has the shape \(8, 8\), .* 3 channels; see --channels"):
        scripts.train_denoiser.read_pictures(tmp_path, 3)


def test_held_out_pictures(scripts):
    split = scripts.train_segmenter.split_off
    assert split(list(range(6)), 2, spread=False) == ([0, 1, 2, 3], [4, 5])
    assert split(list(range(6)), 2, spread=True) == ([0, 2, 3, 5], [1, 4])
    assert split(list(range(6)), 0, spread=True) == (list(range(6)), [])
    with pytest.raises(SystemExit, match=r"from 0 to 5, .* \(got 6\)"):
        split(list(range(6)), 6, spread=False)


def test_segmenter_trains_from_the_command_line(scripts, tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(5)
    for folder in ("image", "label"):
        (tmp_path / "em" / folder).mkdir(parents=True)
    for index in range(5):
        cells = np.kron(generator.integers(0, 2, (8, 8)), np.ones((8, 8)))
        Image.fromarray((40 + 150 * cells).astype(np.uint8)).save(tmp_path / "em" / "image" / f"{index}.png")
        Image.fromarray((255 * cells).astype(np.uint8)).save(tmp_path / "em" / "label" / f"{index}.png")
    out = tmp_path / "state.npz"
    program = ["x", "--dataset", f"em={tmp_path / 'em'}", "--out", str(out), "--minutes", "0.0001", "--width", "2"]
    monkeypatch.setattr(sys, "argv", program)
    scripts.train_segmenter.main()
    printed = capsys.readouterr().out
    assert "2 pictures, 3 held out" in printed
    assert "f1" in printed
    assert convert(out, normalization="none").input.channels == 1
    monkeypatch.setattr(sys, "argv", [*program[:2], "stare=x", *program[3:]])
    with pytest.raises(SystemExit, match=r"NAME one of em, drive, camseq01 \(got stare=x\)"):
        scripts.train_segmenter.main()


@pytest.mark.slow
def test_a_derainer_is_trained_and_imported(tmp_path, monkeypatch):
    """A few iterations of the whole script, on pictures of noise; what it writes is what the import takes."""
    for number in range(42):
        picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number:02}.jpg")
    options = ["--crop", "32", "--batch", "2", "--iterations", "2", "--blocks", "1", "1", "1", "1", "1", "--width", "4"]
    options += ["--validation", "1", "--statistics", "1", "--device", "cpu", "--minutes", "5", "--threads", "1"]
    for kind in ("snn", "ann"):
        given = ["--pictures", tmp_path, "--kind", kind, "--out", tmp_path / "out"]
        run_script(monkeypatch, "train_derainer.py", *given, *options)
        log = json.loads((tmp_path / "out" / f"{kind}.json").read_text("utf-8"))
        assert sorted(log["validation"]) == ["heavy", "light", "medium"]
        network = convert(tmp_path / "out" / f"{kind}.npz", normalization="none")
        assert network.metadata["conversion"]["architecture"] == "esdnet"
        assert ("trained_neurons" in network.metadata["conversion"]) == (kind != "ann")


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [4, 3])
def test_a_resampler_is_trained_and_enlarges(tmp_path, monkeypatch, capsys, outputs):
    """The whole script, in place of both stages of tables and of the second one, on gradients of every direction."""
    tables, pictures = tmp_path / "tables", tmp_path / "pictures"
    tables.mkdir()
    pictures.mkdir()
    made = random_tables(3)
    for pattern, table in made.prefilter.items():
        np.save(tables / f"LUTft_s1_{pattern}r0.npy", table)
    for (pattern, turn), table in made.shape.items():
        np.save(tables / f"LUTft_s2_{pattern}r{turn}.npy", table)
    down, right = np.mgrid[:160, :192] / 160
    for number in range(3):
        wave = 0.5 + 0.5 * np.sin(9 * (number - 1) * down + 7 * right)
        shape = (slice(None), slice(None), *[None] * (number == 0))  # one of them in colour, and upright
        picture = np.broadcast_to((255 * wave)[shape], (160, 192, *[3] * (number == 0))).astype(np.uint8)
        Image.fromarray(picture.transpose(1, 0, 2) if number == 0 else picture).save(pictures / f"{number}.png")
    out = tmp_path / "resampler.npz"
    options = ["--minutes", 0.01, *(["--tables", tables] if outputs == 3 else [])]
    run_script(monkeypatch, "train_resampler.py", "--pictures", pictures, "--out", out, *options)
    assert "largest difference between PyTorch and the engine" in capsys.readouterr().out
    assert out.stat().st_size < 100_000
    network = resampler(str(out))
    assert (network.channels[network.output.name], network.metadata["steps"]) == (outputs, 1)
    small = np.tile(np.arange(0, 240, 16, np.uint8), (12, 1))
    found = resample(small, 2, network, tables=made if outputs == 3 else None)
    assert found.picture.shape == (24, 30)


def test_rain_on_the_device_is_that_of_the_package():
    """As much of the picture is covered, by streaks as bright."""
    black = torch.zeros(48, 3, 64, 64)
    with example_modules("rainy_crops") as modules:
        drawn = modules.rainy_crops.RainMaker(torch.device("cpu"), 0)(black).numpy()
    levels = ("light", "medium", "heavy")
    own = np.stack([add_rain(np.zeros((64, 64, 3)), levels[seed % 3], seed) for seed in range(48)])
    assert drawn.shape == (48, 3, 64, 64)
    for threshold in (0.1, 0.5):
        shares = [(each > threshold).mean() for each in (drawn, own)]
        assert 0.6 < shares[0] / shares[1] < 1.6
