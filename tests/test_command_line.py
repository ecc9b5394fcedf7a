"""The command `spikeunet` on real files: denoise, convert, info, models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_denoiser import small_denoiser, spiking_unet_state

from spikeunet.engine import (
    Add,
    AvgPool2d,
    BurstNeuron,
    Flatten,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MaxPool2d,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    PixelShuffle,
    RefractoryLeakyIntegrateAndFire,
    Scale,
    Upsample,
    load_model,
    save_model,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.command_line.conversion import noise_levels
from spikeunet.engine.command_line.guard import guarded
from spikeunet.engine.command_line.neuron_options import neuron_model
from spikeunet.engine.pictures.metrics import psnr, ssim
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.pictures.picture_files import read_picture, write_picture
from spikeunet.engine.tasks.denoising import DEFAULT_MODELS, denoise


@pytest.fixture
def model(tmp_path):
    save_model(small_denoiser(description="half of everything"), tmp_path / "model.npz")
    return tmp_path / "model.npz"


NO_THREADS = """
import sys, threading

def refuse(self):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
from spikeunet.engine.command_line import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_where_the_system_grants_no_threads(tmp_path):
    """One line, and the picture that one thread makes."""
    picture_file(tmp_path / "in.png", (64, 64))
    for threads in ("1", "4"):
        command = [
            "denoise",
            tmp_path / "in.png",
            "--steps",
            "1",
            "--threads",
            threads,
            "-o",
            tmp_path / f"{threads}.png",
        ]
        program = [sys.executable, "-c", NO_THREADS, *command]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("\n") == (threads == "4"), done.stderr
        assert ("goes on with fewer threads" in done.stderr) == (threads == "4")
    np.testing.assert_array_equal(read_picture(tmp_path / "4.png"), read_picture(tmp_path / "1.png"))


def test_a_thread_that_is_needed_and_not_granted_is_one_line(capsys):
    def fail():
        raise RuntimeError("can't start new thread")

    assert guarded(fail) == 2
    assert capsys.readouterr().err.startswith("spikeunet: error: the system grants no more threads; ")


@pytest.fixture
def run(capsys):
    """Run the command and return what it printed on stdout; the exit status must be 0 and stderr empty."""

    def invoke(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err) == (0, "")
        return printed.out

    return invoke


def picture_file(path, shape=(20, 24), dtype=np.uint8, seed=0):
    white = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    picture = (np.random.default_rng(seed).random(shape) * white).astype(dtype)
    write_picture(path, picture)
    return picture


def test_denoise_a_file(run, tmp_path, model):
    picture = picture_file(tmp_path / "in.png")
    printed = run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", model)
    denoised = denoise(picture, small_denoiser())
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png"), denoised.picture)
    fields = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert fields["steps"] == "3"
    assert fields["events"] == f"{denoised.result.total_events:,}"
    assert fields["operations"].startswith(f"{denoised.result.total_accumulates:,} (")
    assert {"size", "density", "energy", "time"} <= set(fields)
    assert "J, events read as multiply-accumulates; of the ANN " in printed
    assert [line.split("  ")[0] for line in printed.splitlines() if line.endswith("; true of this network")] == [
        "as MACs"
    ]
    assert "as accumulates     not true: those of " in printed
    assert not {"PSNR", "SSIM"} & set(fields)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (13, 17), (9, 8, 3), (9, 8, 2), (9, 8, 4)], ids=str)
@pytest.mark.parametrize(("suffix", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.float32)])
def test_any_size_and_type_comes_out_as_it_went_in(run, tmp_path, model, shape, suffix, dtype):
    picture = picture_file(tmp_path / f"in{suffix}", shape, dtype)
    run("denoise", tmp_path / f"in{suffix}", "-o", tmp_path / f"out{suffix}", "--model", model)
    result = read_picture(tmp_path / f"out{suffix}")
    assert result.dtype == dtype
    assert result.shape == shape
    if shape[-1] in (2, 4):
        np.testing.assert_array_equal(result[..., -1], picture[..., -1])


def test_the_suffix_decides_the_format(run, tmp_path, model):
    picture_file(tmp_path / "in.tif", dtype=np.uint16)
    printed = run("denoise", tmp_path / "in.tif", "-o", tmp_path / "out.jpg", "--model", model)
    assert (tmp_path / "out.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "uint16, saved as uint8" in printed


def test_noise_follows_the_protocol_and_is_compared_with_the_input(run, tmp_path, model):
    clean = picture_file(tmp_path / "in.png", (30, 26)) / 255
    options = ("--model", model, "--add-noise", 25, "--seed", 5, "--report", "-")
    picture = json.loads(run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", *options))["pictures"][0]
    noisy = add_noise(clean, 25, 5)
    restored = denoise(noisy, small_denoiser()).restored
    assert (picture["noise_sigma"], picture["noise_seed"]) == (25, 5)
    assert picture["psnr_before"] == pytest.approx(psnr(clean, noisy))
    assert picture["psnr_after"] == pytest.approx(psnr(clean, restored))
    assert picture["ssim_before"] == pytest.approx(ssim(clean, noisy))
    assert picture["ssim_after"] == pytest.approx(ssim(clean, restored))
    written = read_picture(tmp_path / "out.png")
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, np.rint(restored.astype(np.float64) * 255))


def test_a_clean_reference_beside_the_noisy_picture(run, tmp_path, model):
    noisy = picture_file(tmp_path / "noisy.png", dtype=np.uint16)
    clean = picture_file(tmp_path / "clean.png", seed=1)
    options = ("--clean", tmp_path / "clean.png", "--model", model)
    printed = run("denoise", tmp_path / "noisy.png", "-o", tmp_path / "out.png", *options)
    restored = denoise(noisy, small_denoiser()).restored
    assert (
        f"PSNR               {psnr(clean / 255, noisy / 65535):.2f} -> {psnr(clean / 255, restored):.2f} dB" in printed
    )


def test_a_small_picture_has_no_ssim(run, tmp_path, model):
    picture_file(tmp_path / "in.png", (10, 30))
    options = ("--model", model, "--add-noise", 25, "--report", tmp_path / "report.json")
    printed = run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", *options)
    assert "SSIM               - -> -" in printed
    assert json.loads((tmp_path / "report.json").read_text())["pictures"][0]["ssim_after"] is None


def test_a_folder_in_gives_a_folder_out(run, tmp_path, model):
    (tmp_path / "in").mkdir()
    pictures = {name: picture_file(tmp_path / "in" / name, seed=seed) for seed, name in enumerate(("b.png", "a.png"))}
    (tmp_path / "in" / ".notes.txt").write_text("no picture")
    options = ("--model", model, "--add-noise", 10, "--seed", 7, "--report", tmp_path / "report.json")
    printed = run("denoise", tmp_path / "in", "-o", tmp_path / "out", *options)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    header, *rows = (line.split("\t") for line in printed.splitlines())
    assert header[0] == "picture"
    assert [row[0] for row in rows] == ["a.png", "b.png", "mean"]
    assert {len(row) for row in rows} == {len(header)}
    # The seed counts up in the sorted order of the names.
    restored = denoise(add_noise(pictures["b.png"] / 255, 10, 8), small_denoiser()).restored
    report = json.loads((tmp_path / "report.json").read_text())
    assert [picture["noise_seed"] for picture in report["pictures"]] == [7, 8]
    assert report["pictures"][1]["psnr_after"] == pytest.approx(psnr(pictures["b.png"] / 255, restored))
    assert report["mean"]["psnr_after"] == pytest.approx(
        np.mean([picture["psnr_after"] for picture in report["pictures"]])
    )


def test_formats_that_are_only_read_go_to_a_folder_in_another(run, tmp_path, model):
    """A PBM holds black and white alone; what comes out is gray."""
    (tmp_path / "in").mkdir()
    bits = np.random.default_rng(0).integers(0, 256, (16, 2), np.uint8)
    (tmp_path / "in" / "page.pbm").write_bytes(b"P4\n16 16\n" + bits.tobytes())
    run("denoise", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page.pgm"]
    assert read_picture(tmp_path / "out" / "page.pgm").shape == (16, 16)


def test_several_files_go_to_a_folder_and_find_their_references(run, tmp_path, model):
    (tmp_path / "clean").mkdir()
    for seed, name in enumerate("ab"):
        picture_file(tmp_path / f"{name}.png", seed=seed)
        picture_file(tmp_path / "clean" / f"{name}.tif", seed=seed)
    options = ("-o", tmp_path / "out", "--clean", tmp_path / "clean", "--model", model, "--report", "-")
    report = json.loads(run("denoise", tmp_path / "a.png", tmp_path / "b.png", *options))
    assert [Path(picture["clean"]).name for picture in report["pictures"]] == ["a.tif", "b.tif"]
    assert all(picture["psnr_before"] is None for picture in report["pictures"])  # equal: infinite, which JSON lacks
    assert all(picture["psnr_after"] > 0 for picture in report["pictures"])


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_may_be_called_as_a_picture_is(run, tmp_path, model, made):
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.png", np.full((8, 8), 100, np.uint8))
    target = tmp_path / "out.png"
    if made:
        target.mkdir()
    run("denoise", tmp_path / "a.png", tmp_path / "b.png", "-o", target if made else f"{target}/", "--model", model)
    assert sorted(path.name for path in target.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("exists", [False, True])
def test_one_file_into_a_folder(run, tmp_path, model, exists):
    picture_file(tmp_path / "in.png")
    if exists:
        (tmp_path / "out").mkdir()
    run("denoise", tmp_path / "in.png", "-o", f"{tmp_path}/out/", "--model", model)
    assert (tmp_path / "out" / "in.png").is_file()


def test_without_a_name_colour_decides_the_model(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEUNET_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(DEFAULT_MODELS, 1, "small-gray")
    monkeypatch.setitem(DEFAULT_MODELS, 3, "small-colour")
    (tmp_path / "models").mkdir()
    save_model(small_denoiser(steps=1), tmp_path / "models" / "small-gray.npz")
    save_model(small_denoiser(3, steps=2), tmp_path / "models" / "small-colour.npz")
    (tmp_path / "in").mkdir()
    picture_file(tmp_path / "in" / "a.png", (12, 8, 3))
    picture_file(tmp_path / "in" / "b.png", (12, 8))
    report = json.loads(run("denoise", tmp_path / "in", "-o", tmp_path / "out", "--report", "-"))
    found = [(picture["model"], picture["steps"]) for picture in report["pictures"]]
    assert found == [("small-colour", 2), ("small-gray", 1)]
    assert {name: model["steps"] for name, model in report["models"].items()} == {"small-gray": 1, "small-colour": 2}
    report = json.loads(
        run("denoise", tmp_path / "in" / "a.png", "-o", tmp_path / "a.png", "--report", "-", "--steps", 3)
    )
    assert report["pictures"][0]["steps"] == 3


def test_the_report_counts_what_the_engine_counts(run, tmp_path, model):
    picture = picture_file(tmp_path / "in.png", (12, 8))
    options = ("--model", model, "--steps", 5, "--report", "-", "--order", "time", "--threads", 1)
    report = json.loads(run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", *options))
    result = denoise(picture, small_denoiser(), steps=5).result
    pooled = sum(int(result.accumulates[name].sum()) for name in result.accumulates if name not in result.dense_macs)
    (entry,) = report["pictures"]
    assert (report["order"], report["threads"], report["failures"]) == ("time", 1, [])
    assert entry["model"] == str(model)
    assert report["models"][str(model)]["steps"] == 5
    assert report["models"][str(model)]["metadata"]["description"] == "half of everything"
    assert entry["events"] == result.total_events
    assert entry["accumulates"] == result.total_accumulates
    assert entry["macs"] == result.total_macs
    assert entry["density"] == pytest.approx(result.density)
    assert entry["energy_joules"] == pytest.approx(
        0.9e-12 * pooled + 4.6e-12 * (result.total_accumulates - pooled + result.total_macs)
    )
    assert (entry["reading"], entry["readings"]["accumulate"]) == ("multiply-accumulate", None)
    shifts = entry["readings"]["shift-adds"]
    assert shifts["accumulates"] == result.operations.readings["shift-adds"].accumulates > result.total_accumulates
    assert shifts["energy_joules"]["45nm"] == result.operations.energy(reading="shift-adds").spiking
    assert report["energy_models"]["45nm-8bit"]["bits"] == 8
    assert {name: layer["events"] for name, layer in entry["layers"].items()} == {
        name: events.tolist() for name, events in result.events.items()
    }
    assert sum(sum(synapse["accumulates"]) for synapse in entry["synapses"].values()) == result.total_accumulates
    assert sum(synapse["dense_macs"] for synapse in entry["synapses"].values()) == entry["dense_macs"]


def test_counts_under_the_names_of_neurobench(run, tmp_path, model):
    (tmp_path / "in").mkdir()
    pictures = [picture_file(tmp_path / "in" / f"{seed}.png", (12, 8), seed=seed) for seed in range(2)]
    found = json.loads(run("denoise", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--json"))
    ledger = sum(denoise(picture, small_denoiser()).result.operations for picture in pictures)
    assert found == {str(model): {"pictures": 2, **ledger.to_neurobench()}}


def test_an_output_is_replaced_and_keeps_its_permissions(run, tmp_path, model):
    picture_file(tmp_path / "in.png")
    (tmp_path / "out.png").write_text("old")
    (tmp_path / "out.png").chmod(0o640)
    run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", model)
    assert read_picture(tmp_path / "out.png").shape == (20, 24)
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "model.npz", "out.png"]


def test_info(run, model):
    printed = run("info", model, "--shape", "10x10")
    fields, table = printed.split("\n\n")
    assert "parameters         297" in fields
    assert "description        half of everything" in fields
    assert "events             graded: multiply-accumulates; shift-adds, too" in fields
    header, *rows = (line.split("\t") for line in table.splitlines())
    assert header == ["node", "kind", "reads", "settings", "parameters", "shape", "dense MACs"]
    by_name = {row[0]: row for row in rows}
    assert by_name["conv1"][1:] == ["Conv2d", "input", "4x1x3x3, padding 1", "36", "4x12x12", str(12 * 12 * 36)]
    assert by_name["relu1"][3] == "MultiThreshold 2 1 0.5 0.25, initial 0"
    assert by_name["up1"][3] == "4x4x4x4, stride 4"
    macs = int(by_name["total"][-1])
    assert macs == sum(int(row[-1]) for row in rows[:-1])
    energies = re.search(r"energy of the ANN  ([\d.]+) nJ in 8 bits, ([\d.]+) nJ in 32", fields)
    assert [float(each) for each in energies.groups()] == pytest.approx([0.23e-3 * macs, 4.6e-3 * macs], rel=0.01)
    assert "shape" not in run("info", model).split("\n\n")[1].splitlines()[0]


def test_info_of_kinds_without_weights(run, tmp_path):
    nodes = [Input("input"), Scale("scale", "input", np.ones(1)), Neurons("a", "scale"), Scale("b", "a", np.ones(1))]
    nodes += [AvgPool2d("mean", "a", 2), MaxPool2d("max", "a", 3, 2, 1), Upsample("up", "a", 2, "bilinear")]
    nodes += [Flatten("flat", "a"), PixelShuffle("shuffle", "a", 1), AvgPool2d("wide", "a", (2, 3), 1)]
    nodes += [Add("sum", ("b", "b")), Output("output", "sum")]
    save_model(Network(nodes), tmp_path / "kinds.npz")
    rows = [line.split("\t") for line in run("info", tmp_path / "kinds.npz").split("\n\n")[1].splitlines()]
    assert {row[0]: row[1:4] for row in rows if row[1] not in ("", "kind", "Input", "Neurons", "Output")} == {
        "scale": ["Scale", "input", "1 channel, 2 bits"],
        "b": ["Scale", "a", "1 channel, 2 bits"],
        "mean": ["AvgPool2d", "a", "kernel_size 2"],
        "max": ["MaxPool2d", "a", "kernel_size 3, stride 2, padding 1, variant lateral-inhibition"],
        "up": ["Upsample", "a", "scale_factor 2, mode bilinear"],
        "flat": ["Flatten", "a", "-"],
        "shuffle": ["PixelShuffle", "a", "upscale_factor 1"],
        "wide": ["AvgPool2d", "a", "kernel_size 2x3, stride 1"],
        "sum": ["Add", "b, b", "-"],
    }


def test_models(run, monkeypatch):
    import spikeunet.engine.models as shipped

    monkeypatch.setattr(shipped, "model_origins", lambda: {"small": "package"})
    monkeypatch.setattr(shipped, "load_model", lambda _: small_denoiser(description="half of everything"))
    header, row = (line.split("\t") for line in run("models").splitlines())
    assert header == ["name", "task", "channels", "parameters", "steps", "description", "found in"]
    assert row == ["small", "denoise", "1", "297", "3", "half of everything", "package"]


def test_shipped_models_load_and_are_listed(run):
    from spikeunet.engine.models import list_models

    if not list_models():
        pytest.skip("no model is shipped in this checkout")
    rows = [line.split("\t") for line in run("models").splitlines()[1:]]
    assert [row[0] for row in rows] == list(list_models())
    assert all(row[1] != "-" for row in rows), "a model without metadata"


@pytest.fixture
def state(tmp_path):
    np.savez(tmp_path / "state.npz", **spiking_unet_state())
    return tmp_path / "state.npz"


def test_convert_makes_a_model_that_denoises(run, tmp_path, state):
    (tmp_path / "pictures").mkdir()
    for seed in range(2):
        picture_file(tmp_path / "pictures" / f"{seed}.png", (32, 32), seed=seed)
    options = (
        "--calibration",
        tmp_path / "pictures",
        "--add-noise",
        "5:50",
        "--thresholds",
        "1,0.5",
        "--initial",
        "0.25",
    )
    more = ("--steps", 2, "--description", "untrained", "--dtype", "float16")
    run("convert", state, "-o", tmp_path / "model.npz", *options, *more)
    network = load_model(tmp_path / "model.npz")
    assert {node.model for node in network.neurons} == {MultiThreshold((1.0, 0.5), 0.25)}
    assert network.metadata["task"] == "denoise"
    assert network.metadata["steps"] == 2
    assert network.metadata["calibration_sigma"] == [5, 50]
    assert network.metadata["description"] == "untrained"
    assert network.normalization
    picture_file(tmp_path / "in.png", (17, 33, 3))
    run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", tmp_path / "model.npz")
    assert read_picture(tmp_path / "out.png").shape == (17, 33, 3)


def test_convert_without_calibration(run, tmp_path, state):
    run("convert", state, "-o", tmp_path / "model.npz", "--normalization", "none", "--neuron", "if")
    assert {node.model for node in load_model(tmp_path / "model.npz").neurons} == {IntegrateAndFire()}


def test_convert_to_burst_neurons(run, tmp_path, state):
    options = ("--normalization", "none", "--neuron", "burst", "--gamma", 3, "--thresholds", 0.25)
    assert "BurstNeuron(threshold=0.25, gamma=3, initial=0.0)" in run(
        "convert", state, "-o", tmp_path / "m.npz", *options
    )
    assert {node.model for node in load_model(tmp_path / "m.npz").neurons} == {BurstNeuron(0.25, 3)}
    assert "BurstNeuron(threshold=0.25, gamma=3, initial=0.0)" in run("info", tmp_path / "m.npz")
    picture_file(tmp_path / "in.png", (17, 33))
    run("denoise", tmp_path / "in.png", "-o", tmp_path / "out.png", "--model", tmp_path / "m.npz", "--steps", 2)
    assert read_picture(tmp_path / "out.png").shape == (17, 33)


def test_neuron_options():
    assert neuron_model("multi-threshold", None, None) == MultiThreshold.rounding()
    assert neuron_model("multi-threshold", "2,1", None) == MultiThreshold((2.0, 1.0), 0.5)
    assert neuron_model("multi-threshold", "2,1", 0.0) == MultiThreshold((2.0, 1.0))
    assert neuron_model("if", None, None) == IntegrateAndFire()
    assert neuron_model("multi-threshold", "1,0.5", 0.25) == MultiThreshold((1.0, 0.5), 0.25)
    assert neuron_model("if", "2", 0.5, reset="zero", decay=None) == IntegrateAndFire(2.0, "zero", 0.5)
    assert neuron_model("lif", None, 0.0, decay=0.5) == LeakyIntegrateAndFire(1.0, 0.5)
    assert neuron_model("burst", "0.5", 0.25, gamma=3) == BurstNeuron(0.5, 3, 0.25)
    assert neuron_model("burst", None, 0.0, gamma=None) == BurstNeuron()
    rested = neuron_model("refractory-lif", "0.5", 0.0, period=1, decay=1.0, reset="subtract")
    assert rested == RefractoryLeakyIntegrateAndFire(0.5, 1.0, 1, "subtract")
    assert noise_levels(None) == ()
    assert noise_levels("25") == (25,)
    levels = noise_levels("5:50")
    assert (levels[0], levels[-1], len(levels)) == (5, 50, 10)


def test_version_and_help(run):
    assert run("--version").startswith("spikeunet 0.")
    statuses = run("--help").partition("Exit status:")[2].partition("Options:")[0].split("\n")
    assert [line.split()[0] for line in statuses if line.strip()] == ["0", "1", "2", "130", "143"]
    commands = (
        "denoise",
        "segment",
        "evaluate",
        "convert",
        "finetune",
        "train",
        "quantize",
        "info",
        "models",
        "compile",
    )
    for command in ((), *((name,) for name in (*commands, "compile"))):
        assert "spikeunet " in run(*command, "--help").split("Example", 1)[1]


def subprocess_run(*arguments, **options):
    command = [sys.executable, "-m", "spikeunet.engine.command_line", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_help_needs_no_heavy_module():
    program = (
        "import sys; from spikeunet.engine.command_line import main\n"
        "try: main(['denoise', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'skimage', 'imageio', 'PIL', 'tifffile', 'imagecodecs', 'rich', 'spikeunet.converters'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error(tmp_path, model):
    command = f"{sys.executable} -m spikeunet.engine.command_line info {model} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "spikeunet.engine.command_line", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "spikeunet: error: No space left on device\n")


# Says when the simulation begins; takes SIGINT also where a shell had it ignored for its background jobs.
INTERRUPTIBLE = """
import signal, sys
from pathlib import Path
from spikeunet.engine.tasks import inference
from spikeunet.engine.command_line import main

def simulate(*arguments, **options):
    Path(sys.argv[1]).touch()
    return real(*arguments, **options)

real, inference.simulate = inference.simulate, simulate
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("number", "status", "told"), [(signal.SIGINT, 130, "spikeunet: interrupted\n"), (signal.SIGTERM, 143, "")]
)
def test_a_signal_leaves_nothing_behind(tmp_path, model, number, status, told):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture_file(folder / "in.png", (800, 800))
    begun = tmp_path / "begun"
    command = [sys.executable, "-c", INTERRUPTIBLE, str(begun), "denoise", "in.png", "-o", "out.png"]
    process = subprocess.Popen(
        [*command, "--model", model, "--steps", "1000"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not begun.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (status, told)
    assert [path.name for path in folder.iterdir()] == ["in.png"]


def test_tables_and_progress_on_a_terminal(tmp_path, model):
    pty = pytest.importorskip("pty")
    for seed, name in enumerate("ab"):
        picture_file(tmp_path / f"{name}.png", seed=seed)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "spikeunet.engine.command_line", "denoise", "a.png", "b.png", "-o", "out"]
    process = subprocess.Popen(
        [*command, "--model", model], cwd=tmp_path, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "150"}
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not piece:
            break
        printed += piece
    assert process.wait(60) == 0
    os.close(ours)
    assert b"Denoising" in printed
    assert b"picture" in printed
    assert b"\t" not in printed
