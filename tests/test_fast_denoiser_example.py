"""The pieces of examples/train_fast_denoiser.py; they need PyTorch."""

from __future__ import annotations

import argparse
import importlib.util
import io
import re
import sys
import warnings

import numpy as np
import pytest
from example_modules import example_modules
from PIL import Image

pytest.importorskip("imageio", reason="imageio is not installed (extra train)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

NAMES = (
    "camera_noise",
    "denoising_unet",
    "export_torch",
    "make_noisy_pairs",
    "photograph_noise",
    "picture_crops",
    "spiking_unet",
    "starting_weights",
    "train_fast_denoiser",
    "training_loop",
)


@pytest.fixture(scope="module")
def scripts():
    with example_modules(*NAMES) as modules:
        yield modules


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def smooth(height, width, channels=3):
    """A picture without texture, (1, channels, H, W) from 0 to 1."""
    down, right = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    planes = [0.5 + 0.4 * np.sin(3 * down + phase) * np.cos(2 * right) for phase in range(channels)]
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def test_a_fresh_network_passes_on_what_it_reads(scripts):
    network = scripts.denoising_unet.DenoisingUNet(1, (8, 16), (2, 1), (1,))
    convolution = network.encoder[0][0]
    x = torch.rand(1, 8, 12, 12)
    with torch.no_grad():
        found = torch.relu(convolution(x))
    assert np.corrcoef(found.ravel(), x.ravel())[0, 1] > 0.5
    assert network(torch.rand(2, 1, 16, 24)).shape == (2, 1, 16, 24)
    assert network.multiple == 4


@pytest.mark.parametrize("bypass", [False, True])
def test_colour_starts_from_gray(scripts, monkeypatch, bypass):
    unet = scripts.denoising_unet
    gray, colour = (unet.DenoisingUNet(channels, (8, 16), (1, 1), (1,), bypass=bypass) for channels in (1, 3))
    for layer in filter(None, (gray.readout, gray.bypass)):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    pictures = torch.rand(1, 3, 16, 16)
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(unet, "MIXTURE_SPREAD", 0.0)
        unet.start_from(colour, gray.state_dict())
        expected = gray(pictures.mean(dim=1, keepdim=True)).expand(-1, 3, -1, -1)
        torch.testing.assert_close(colour(pictures), expected)
    unet.start_from(colour, gray.state_dict())
    assert colour.stem.weight.var(dim=1).min() > 0
    assert colour.readout.weight.var(dim=1).min() > 0
    with pytest.raises(RuntimeError, match="size mismatch"):
        unet.start_from(unet.DenoisingUNet(1, (4, 16), (1, 1), (1,)), gray.state_dict())


def test_balanced_channels_are_read_as_they_are_written(scripts):
    unet = scripts.denoising_unet
    network = unet.DenoisingUNet(1, (8, 16, 16), (2, 1, 2), (1, 2))
    for index, parameter in enumerate(network.parameters()):
        torch.nn.init.normal_(parameter, std=0.05 * (1 + index % 5))
    with torch.no_grad():
        network.down[0].weight[3] = network.down[0].bias[3] = 0.0  # a channel that nobody writes stays as it is
    pictures = torch.rand(2, 1, 16, 24)
    expected = network(pictures)
    unet.balance(network)
    torch.testing.assert_close(network(pictures), expected)
    hidden = network.hidden()
    assert len(hidden) == 13
    kept = network.down[0].weight.flatten(1).square().sum(1) > 0
    assert kept.sum() == 15
    # A decoder's first layer reads the skip's channels first, then those from below.
    assert [first for _, readers in hidden for layer, first in readers if layer is network.decoder[0][0]] == [0, 8]
    weights = network.encoder[0][1].weight, network.down[0].weight, network.decoder[0][0].weight[:, :8]
    written = weights[0].flatten(1).square().sum(1) + network.encoder[0][1].bias.square()
    read = sum(each.transpose(0, 1).flatten(1).square().sum(1) for each in weights[1:])
    torch.testing.assert_close(read, written, rtol=0.03, atol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_bypass_takes_fine_differences_past_the_network(scripts, channels):
    unet = scripts.denoising_unet
    plain, passed = (unet.DenoisingUNet(channels, (8, 16), (1, 1), (1,), bypass=each) for each in (False, True))
    unet.start_from(passed, plain.state_dict())  # as one that has none: the rest is taken over
    board = torch.from_numpy(np.indices((16, 16)).sum(0) % 2).float().expand(1, channels, -1, -1)
    even, inner = torch.full_like(board, 0.25), (..., slice(1, -1), slice(1, -1))
    assert set(passed.state_dict()) - set(plain.state_dict()) == {"bypass.weight", "bypass.bias"}
    for picture, expected in ((board, (board - 0.5)[inner]), (even, torch.zeros_like(even)[inner])):
        torch.testing.assert_close((passed(picture) - plain(picture))[inner], expected, rtol=0, atol=1e-5)
    kept = unet.DenoisingUNet(channels, (8, 16), (1, 1), (1,), bypass=True)
    torch.nn.init.normal_(passed.bypass.weight)
    unet.start_from(kept, passed.state_dict())
    torch.testing.assert_close(kept.state_dict(), passed.state_dict(), rtol=0, atol=0)
    for other in (plain, unet.DenoisingUNet(3, (8, 16), (1, 1), (1,))):  # none is left out in silence
        with pytest.raises(RuntimeError, match="Unexpected key"):
            unet.start_from(other, passed.state_dict())


SMALL = {"widths": (8, 16), "encoder": (1, 1), "decoder": (1,)}


@pytest.fixture
def small(scripts, monkeypatch):
    """The modules' networks, each of them small, with weights at random."""
    unet = scripts.denoising_unet
    monkeypatch.setattr(unet, "SIZES", {"standard": SMALL, "tiny": SMALL})

    def make(kind, *options, **others):
        network = kind(*options, **others)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return network

    return make


def test_of_chrominance_what_pixels_differ_by_is_noise_at_first(scripts, monkeypatch):
    unet = scripts.denoising_unet
    monkeypatch.setattr(unet, "SIZES", {"tiny": SMALL})
    network, pictures = unet.ChrominanceUNet(), torch.rand(1, 3, 32, 48)
    colours = scripts.train_fast_denoiser.without_luminance(pictures)
    means = torch.nn.functional.avg_pool2d(colours, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = network(pictures) - network.coarse(pictures)
    torch.testing.assert_close(found, colours - means, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bypass", [False, True])
def test_a_colour_network_begins_as_its_parts(scripts, small, bypass):
    unet, pictures = scripts.denoising_unet, torch.rand(1, 3, 128, 128)
    luminance = small(unet.DenoisingUNet, 1, **SMALL, bypass=bypass)
    chrominance, colour = small(unet.ChrominanceUNet), unet.ColourDenoisingUNet(bypass)
    unet.start_colour(colour, luminance.state_dict(), chrominance.state_dict())
    expected = chrominance(pictures) + luminance(pictures.mean(dim=1, keepdim=True))
    torch.testing.assert_close(colour(pictures), expected, atol=1e-5, rtol=1e-4)
    # One that has no bypass gives what it has, and none is left out in silence.
    plain, passed = (small(unet.DenoisingUNet, 1, **SMALL, bypass=each) for each in (False, True))
    begun = unet.ColourDenoisingUNet(True)
    fresh = begun.luminance.bypass.weight.clone()
    unet.start_colour(begun, plain.state_dict(), chrominance.state_dict())
    torch.testing.assert_close(begun.luminance.bypass.weight, fresh)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        unet.start_colour(unet.ColourDenoisingUNet(), passed.state_dict(), chrominance.state_dict())


def test_parts_of_other_networks_are_refused(scripts, small):
    unet = scripts.denoising_unet
    state = small(unet.DenoisingUNet, 1, **SMALL).state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        unet.start_colour(unet.ColourDenoisingUNet(), state, state)


def test_chrominance_is_what_channels_differ_by(scripts):
    train = scripts.train_fast_denoiser
    noise = torch.rand(2, 3, 8, 8)
    chrominance = train.without_luminance(noise)
    assert chrominance.mean(1).abs().max() < 1e-6
    torch.testing.assert_close(chrominance[:, 0] - chrominance[:, 2], noise[:, 0] - noise[:, 2])
    found = torch.zeros_like(noise)
    # Where nothing is left of it, what is left of the luminance counts: a tenth, 10.4 dB below nothing taken off.
    gain = train.chrominance_error(found, chrominance) - train.chrominance_error(chrominance, chrominance)
    assert gain == pytest.approx(np.log(11), rel=1e-4)


def test_weights_are_read_from_a_state_dict_and_from_a_model(scripts, tmp_path):
    from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, save_model

    generator = np.random.default_rng(0)
    weights = [generator.normal(size=shape).astype(np.float32) for shape in ((4, 1, 3, 3), (1, 4, 3, 3))]
    nodes = [
        Input("input", channels=1),
        Conv2d("stem", "input", weight=weights[0], bias=np.arange(4, dtype=np.float32), padding=1),
        Neurons("stem.neurons", "stem", model=MultiThreshold()),
        Conv2d("readout", "stem.neurons", weight=weights[1], bias=np.ones(1, np.float32), padding=1),
        Output("output", "readout"),
    ]
    save_model(Network(nodes), tmp_path / "model.npz")
    state = scripts.starting_weights.read_state("--start", tmp_path / "model.npz")
    np.savez(tmp_path / "state.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    assert set(state) == {f"{layer}.{part}" for layer in ("stem", "readout") for part in ("weight", "bias")}
    for each in (state, scripts.starting_weights.read_state("--start", tmp_path / "state.npz")):
        np.testing.assert_array_equal(each["stem.weight"], weights[0])
        np.testing.assert_array_equal(each["readout.bias"], [1])
    (tmp_path / "text.npz").write_text("no weights")
    (tmp_path / "empty.npz").touch()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "state.npz").read_bytes()[:200])
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "none.npz", "empty.npz", "cut.npz", "array.npy"):
        with pytest.raises(SystemExit, match=rf"--chrominance .*{name}: .*give a state dict"):
            scripts.starting_weights.read_state("--chrominance", tmp_path / name)


def test_a_network_begins_between_two(scripts, tmp_path):
    train, unet = scripts.starting_weights, scripts.denoising_unet
    first, second = (unet.DenoisingUNet(1, **SMALL) for _ in range(2))
    expected = {name: 0.75 * value + 0.25 * second.state_dict()[name] for name, value in first.state_dict().items()}
    np.savez(tmp_path / "second.npz", **{name: value.numpy() for name, value in second.state_dict().items()})
    train.blend(first, argparse.Namespace(blend=tmp_path / "second.npz", share=0.25))
    torch.testing.assert_close(first.state_dict(), expected)
    other = unet.DenoisingUNet(3, **SMALL)
    with pytest.raises(SystemExit, match=r"--blend .*second.npz: not of this network \(size mismatch"):
        train.blend(other, argparse.Namespace(blend=tmp_path / "second.npz", share=0.25))


@pytest.mark.parametrize(("noise", "white"), [("camera", 1), ("all", 5)])
def test_photographs_are_learnt_from_beside_other_noise(scripts, tmp_path, monkeypatch, noise, white):
    train, drawn = scripts.train_fast_denoiser, {}
    for side, value in (("noisy", 9), ("clean", 7)):
        (tmp_path / side).mkdir()
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(tmp_path / side / "photograph0000.png")
    for name in ("white", "camera"):
        monkeypatch.setattr(scripts.camera_noise, name, lambda x, *_, name=name: drawn.update({name: len(x)}) or x)
    given = {"varied": tmp_path, "pairs": None, "batch": 10, "crop": 16, "size": "standard", "shrunk": (0.85, 0.7)}
    options = argparse.Namespace(noise=noise, **given)
    draw = train.drawing(options, [np.full((40, 40, 3), 50, np.uint8)], torch.device("cpu"))
    noisy, target = draw(None)
    assert noisy.shape == target.shape == (10, 3, 16, 16)
    photographs = 10 - drawn["white"] - drawn["camera"]
    assert (drawn["white"], photographs) == (white, {"camera": 5, "all": 2}[noise])
    torch.testing.assert_close(target[:photographs], torch.full_like(target[:photographs], 2 / 255))
    assert target[photographs:].abs().max() == 0


def test_varied_photographs_are_read_in_pairs(scripts, tmp_path):
    with pytest.raises(SystemExit, match=r"noisy: is no folder; make it with make_noisy_pairs"):
        scripts.train_fast_denoiser.read_varied(tmp_path)
    pictures = {side: np.full((8, 12, 3), value, np.uint8) for side, value in (("noisy", 1), ("clean", 2))}
    for side, samples in pictures.items():
        (tmp_path / side).mkdir()
        Image.fromarray(samples).save(tmp_path / side / "photograph0000.png")
    for read, samples in zip(scripts.train_fast_denoiser.read_varied(tmp_path), pictures.values(), strict=True):
        np.testing.assert_array_equal(read, [samples])
    Image.fromarray(pictures["noisy"]).save(tmp_path / "noisy" / "photograph0001.png")
    with pytest.raises(SystemExit, match="differ in number or size"):
        scripts.train_fast_denoiser.read_varied(tmp_path)


def test_crops_of_several_pictures_are_of_the_same_place(scripts):
    place = np.arange(20 * 30, dtype=np.int64).reshape(20, 30)
    low, high = ((place % 251).astype(np.uint8)[..., None], (place // 251).astype(np.uint8)[..., None])
    upright = [np.ascontiguousarray(np.rot90(each)) for each in (low, high)]
    device = torch.device("cpu")
    first = scripts.picture_crops.Crops([low, upright[0]], device)
    second = scripts.picture_crops.Crops([high, upright[1]], device)
    found = first.draw(40, 8, second)
    assert [tuple(each.shape) for each in found] == [(40, 1, 8, 8)] * 2
    numbers = ((found[0] * 255).round() + 251 * (found[1] * 255).round())[:, 0].numpy()
    turned = [set(np.abs([each[0, 1] - each[0, 0], each[1, 0] - each[0, 0]]).astype(int)) for each in numbers]
    assert all(each == {1, 30} for each in turned)
    assert len(set(numbers[:, 0, 0])) > 20


@pytest.mark.parametrize("quality", [75, 92])
def test_jpeg_leaves_what_jpeg_leaves(scripts, quality, monkeypatch):
    x = (smooth(48, 64) + 0.05 * torch.rand(1, 3, 48, 64)).clamp(0, 1)
    monkeypatch.setattr(scripts.camera_noise, "chance", lambda x, _: torch.zeros(len(x), 1, 1, 1))  # colour in full
    found = scripts.camera_noise.jpeg(x, (quality, quality + 1e-3))
    stream = io.BytesIO()
    samples = np.rint(x[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    Image.fromarray(samples).save(stream, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(stream)) / 255
    lost, here = expected - x[0].permute(1, 2, 0).numpy(), (found - x)[0].permute(1, 2, 0).numpy()
    assert np.corrcoef(lost.ravel(), here.ravel())[0, 1] > 0.8
    assert here.std() == pytest.approx(lost.std(), rel=0.05)


def test_noise_has_its_level_and_no_bias(scripts):
    clean = smooth(32, 32).expand(64, -1, -1, -1)
    white = scripts.camera_noise.white(clean, (20.0, 20.0)) - clean
    assert 255 * white.std() == pytest.approx(20, rel=0.02)
    camera = scripts.camera_noise.camera(clean) - clean
    levels = 255 * camera.flatten(1).std(dim=1)
    assert 0.2 < levels.min() < 2 < 5 < levels.max() < 60
    # Neighbours share it: an interpolated mosaic, smoothed and compressed.
    assert (camera[..., 1:] * camera[..., :-1]).mean() > 0.3 * camera.square().mean()
    noisy, scene = scripts.camera_noise.micrograph(clean[:, :1], (10.0, 10.01))
    assert abs((noisy - scene).mean()) < 0.02
    dark, bright = scene < 0.3, scene > 0.7
    assert (noisy - scene)[bright].var() > 1.3 * (noisy - scene)[dark].var()


def pictures(folder, count=10, side=64):
    folder.mkdir()
    generator = np.random.default_rng(1)
    for index in range(count):
        Image.fromarray(generator.integers(0, 256, (side, side + 16, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
    script.main()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PyTorch's exporter
def test_every_kind_of_noise_is_trained_from_the_command_line(scripts, tmp_path, monkeypatch, capsys):
    clean, photographs = pictures(tmp_path / "clean"), tmp_path / "photographs"
    photographs.mkdir()
    for camera in ("Canon5D2", "Nikon", "Canon600D"):
        for side in ("real", "mean"):
            Image.new("RGB", (64, 64), (90, 100, 110)).save(photographs / f"{camera}_1_{side}.JPG")
    monkeypatch.setitem(scripts.denoising_unet.SIZES, "standard", scripts.denoising_unet.SIZES["tiny"])
    common = ("--pictures", clean, "--minutes", 1e-4, "--batch", 10, "--crop", 32, "--device", "cpu")
    gray = tmp_path / "gray.npz"
    with monkeypatch.context() as patch:  # to export takes longest: one network shows that it can be
        patch.setattr(scripts.train_fast_denoiser, "export", lambda *_: None)
        run(scripts.train_fast_denoiser, monkeypatch, *common, "--out", gray)
        assert "sigma 25" in capsys.readouterr().out
        begun = (
            "--noise",
            "micrograph",
            "--start",
            gray,
            "--balance",
            "--bypass",
            "--wake",
            "--out",
            tmp_path / "m.npz",
        )
        run(scripts.train_fast_denoiser, monkeypatch, *common, *begun)
        printed = capsys.readouterr().out
        assert "20 photons" in printed
        assert "begun anew: " in printed
        part, both = tmp_path / "chrominance.npz", tmp_path / "both.npz"
        run(scripts.train_fast_denoiser, monkeypatch, *common, "--size", "chrominance", "--out", part)
        assert "colours at sigma 25" in capsys.readouterr().out
        parts = ("--start", gray, "--chrominance", part)
        run(scripts.train_fast_denoiser, monkeypatch, *common, "--size", "colour", *parts, "--out", both)
        with np.load(both) as saved, np.load(gray) as alone:
            assert np.abs(saved["luminance.stem.weight"].sum(1) - alone["stem.weight"][:, 0]).max() < 0.01
        noise = ("--noise", "all", "--pairs", photographs, "--bypass", "--out", tmp_path / "all.npz")
        run(scripts.train_fast_denoiser, monkeypatch, *common, "--size", "colour", *parts, *noise)
        with np.load(tmp_path / "all.npz") as saved:
            assert saved["luminance.bypass.weight"].shape == (3, 3, 3, 3)
        for options in (("--balance",), ("--balance", "--size", "colour", *parts)):  # nothing begun with, or two parts
            with pytest.raises(SystemExit):
                run(scripts.train_fast_denoiser, monkeypatch, *common, *options, "--out", both)
            assert "--balance rescales what --start names" in capsys.readouterr().err
        for first, message in (
            ((*parts[:3], gray), r"--chrominance .*gray.npz: not of this network"),
            (parts[:2], "a gray network is one of two parts; give the other one as --chrominance"),
            (("--start", part), "not of this network"),
        ):
            with pytest.raises(SystemExit, match=message):
                run(scripts.train_fast_denoiser, monkeypatch, *common, "--size", "colour", *first, "--out", both)
    out = tmp_path / "photo.npz"
    camera = ("--channels", 3, "--noise", "camera", "--pairs", photographs, "--start", gray)
    run(scripts.train_fast_denoiser, monkeypatch, *common, *camera, "--out", out)
    assert "photographs" in capsys.readouterr().out
    with np.load(gray) as saved:
        assert saved["stem.weight"].shape == (32, 1, 4, 4)
    assert (tmp_path / "photo-network.onnx").exists() == bool(importlib.util.find_spec("onnxscript"))
    for noise, ending in (("camera", "png"), ("micrograph", "tif")):
        folder = tmp_path / noise
        run(scripts.make_noisy_pairs, monkeypatch, "--pictures", clean, "--noise", noise, "--out", folder)
        assert {path.suffix for side in ("noisy", "clean") for path in (folder / side).iterdir()} == {f".{ending}"}
        assert len(list((folder / "noisy").iterdir())) == 2
    folder, real = tmp_path / "varied", ("--noise", "photograph", "--photographs", photographs)
    run(scripts.make_noisy_pairs, monkeypatch, "--pictures", clean, *real, "--out", folder)
    made = sorted((folder / "noisy").iterdir())
    assert len(made) == 1 + 11 * len(scripts.train_fast_denoiser.CAMERAS)
    run(scripts.make_noisy_pairs, monkeypatch, *real, "--out", tmp_path / "alone")
    assert len(list((tmp_path / "alone" / "noisy").iterdir())) == len(made) - 1
    for path in made:
        with Image.open(path) as noisy, Image.open(folder / "clean" / path.name) as target:
            assert noisy.size == target.size


def test_what_is_learnt_of_a_photograph_has_its_brightness(scripts):
    """A shot that is brighter than the mean of the others is as bright without its noise."""
    generator = np.random.default_rng(0)
    clean = np.full((96, 96, 3), 100, np.uint8)
    noise = np.rint(generator.normal(0, 4, clean.shape))
    pairs = list(
        scripts.photograph_noise.photographed_pairs([(clean + 7 + noise).astype(np.uint8)], [clean], generator)
    )
    assert len(pairs) == 11
    np.testing.assert_array_equal(pairs[0][0], clean + 7 + noise)
    assert abs(pairs[0][1].mean() - 107) < 0.1
    assert pairs[0][1].std() < 0.5
    spread = [float((noisy.astype(float) - target).std()) for noisy, target in pairs[2:8]]
    assert 2 < min(spread) < 4 < max(spread) < 15
    assert {noisy.shape for noisy, _ in pairs[8:]} != {clean.shape}


def test_options_that_do_not_fit_are_refused(scripts, tmp_path, monkeypatch, capsys):
    clean = pictures(tmp_path / "clean", count=3)
    for arguments, message in (
        (("--noise", "camera"), "--noise camera learns from colour photographs"),
        (("--crop", "20"), r"--crop must be a multiple of 16 \(got 20\)"),
        (("--shrunk", "0.7", "1"), r"argument --shrunk: must lie between 0 and 1 \(got 1\)"),
        (("--size", "colour", "--chrominance", "part.npz"), "give the other one, a gray network, as --start"),
        (
            ("--start", "x", "--chrominance", "x"),
            r"--chrominance is a part of networks of --size colour \(got --size standard",
        ),
        (("--size", "colour", "--channels", "1"), r"--size colour is for colour \(got --channels 1\)"),
        (("--size", "chrominance", "--bypass"), r"--bypass is of .* the luminance's \(got --size chrominance\)"),
        (("--size", "chrominance", "--noise", "micrograph"), r"learns from white noise \(got --noise micrograph"),
    ):
        with pytest.raises(SystemExit):
            run(scripts.train_fast_denoiser, monkeypatch, "--pictures", clean, *arguments)
        assert re.search(message, capsys.readouterr().err)
    for arguments, message in (
        (("--noise", "camera"), "--noise camera is added to pictures: give --pictures FOLDER"),
        (("--noise", "photograph", "--pictures", clean), "give --photographs FOLDER"),
    ):
        with pytest.raises(SystemExit):
            run(scripts.make_noisy_pairs, monkeypatch, *arguments, "--out", tmp_path / "pairs")
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="has 3 pictures, but 8 are held out; give more"):
        run(scripts.train_fast_denoiser, monkeypatch, "--pictures", clean)
