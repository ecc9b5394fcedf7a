"""Every block of the pages on conversion and diagnosis runs as it stands, on small files of the names that it uses."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import weight_files
from onnx_graphs import model, normal, saved
from small_classifier import small_classifier, write_classes
from test_dncnn import random_state
from test_readme import REPOSITORY

from spikeunet.converters import write_nir
from spikeunet.engine import Conv2d, Input, Network, Neurons, Output, register_neuron, save_model, write_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.neurons import Lapicque, registered_names

RANDOM = np.random.default_rng(0)
SLOW = ("export_torch", "--tune", "diagnose")
MODULE = """
from torch import nn


def make_network():
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    return nn.Sequential(*body)
"""


def blocks(name):
    """(language, content) of everything between fences of a page."""
    parts = re.split(r"^```(.*)\n", (REPOSITORY / "docs" / name).read_text("utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::4], parts[2::4], strict=True))


ALL = [(name, *block) for name in ("converting.md", "diagnosing.md") for block in blocks(name)]


def marked(block):
    name, _, content = block
    slow = any(word in content for word in SLOW)
    title = re.sub(r"\W+", "-", content.strip().splitlines()[-1])[:40]
    return pytest.param(*block, id=f"{name}:{title}", marks=[pytest.mark.slow] if slow else [])


def folder_of(path, count=2, channels=1, side=16):
    path.mkdir(parents=True)
    for number in range(count):
        shape = (side, side) if channels == 1 else (side, side, channels)
        write_picture(path / f"{number}.png", RANDOM.integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with all files that the blocks read, but those that they write before."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOLDER", "pictures", "train400"):
        folder_of(tmp_path / name)
    for name in ("TRAIN", "TEST"):
        write_classes(Path(name), ("a", "b"), 2)
        for path in Path(name).rglob("*.png"):
            write_picture(path, RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    folder_of(tmp_path / "holiday", 1, 3, 32)
    write_picture("cat.png", RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    save_model(small_classifier(channels=3, classes=["dark", "gray", "bright"]), "model.npz")
    for name in ("state.pth", "dncnn_25.pth"):
        Path(name).write_bytes(weight_files.saved(random_state(norms=name == "state.pth")))
    Path("my_module.py").write_text(MODULE)
    shutil.copy(REPOSITORY / "examples" / "export_torch.py", "export_torch.py")


def network_file():
    """A small ONNX file, and what its network puts out."""
    pytest.importorskip("onnx", reason="an extra")
    from spikeunet.converters import convert

    constants = {"w": normal(3, 2, 3, 3), "v": normal(1, 3, 1, 1)}
    nodes = [("Conv", "xw", "c", {}), ("Relu", "c", "r", {}), ("Conv", "rv", "y", {})]
    made = saved(Path("network.onnx"), model(nodes, constants))
    inputs = RANDOM.random((2, 2, 8, 8), np.float32)
    return inputs, forward(convert(made, normalization="none"), inputs)[0]


def nir_file():
    pytest.importorskip("nir", reason="an extra")
    layers = [Conv2d("c", "x", normal(2, 2, 3, 3), padding=1), Neurons("n", "c", Lapicque(0.01, dt=1e-4))]
    readout = [Conv2d("r", "n", normal(1, 2, 1, 1)), Output("y", "r")]
    write_nir(Network([Input("x", 2), *layers, *readout]), "network.nir", (34, 34))


def python_names(content):
    """What a block of Python takes for given."""
    names = {}
    if "network.onnx" in content:
        names["inputs"], names["outputs"] = network_file()
        names["pictures"] = list(names["inputs"])
    if "network.nir" in content:
        nir_file()
    if "state.pth" in content:
        names["pictures"] = list(RANDOM.random((2, 1, 16, 16), np.float32))
    if "weights[" in content:
        shapes = {"stem": (8, 3, 3, 3), "inside": (8, 8, 3, 3), "body": (8, 8, 3, 3), "classes": (10, 8)}
        names["weights"] = {name: normal(*shape) for name, shape in shapes.items()}
        names["pictures"] = list(RANDOM.random((2, 3, 16, 16), np.float32))
    if "bin_events" in content:
        names["events"] = np.zeros(3, [("x", "i4"), ("y", "i4"), ("t", "i8"), ("p", "i1")])
    return names


def run_script(script, *arguments):
    """In this process, so that PyTorch and its exporter are imported once."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(sys, "argv", [script, *arguments])
        patch.setattr(sys, "path", [*sys.path])
        runpy.run_path(script, run_name="__main__")
    sys.modules.pop("my_module")


def run(line):
    """A line of a shell block; what installs packages is not run."""
    words = shlex.split(line)
    if words[0] == "python":
        run_script(*words[1:])
    elif words[0] == "spikeunet":
        if "network.nir" in words and words[1] == "convert":
            nir_file()
        fewer = ["--iterations", "5"] if words[1] == "finetune" else []
        with pytest.raises(SystemExit) as stop:
            main([*words[1:], *fewer])
        assert stop.value.code == 0, line
    else:
        assert words[:2] == ["pip", "install"], line


@pytest.mark.parametrize(("name", "language", "content"), [marked(block) for block in ALL])
def test_a_block_runs_as_it_stands(workplace, name, language, content):
    if language == "python":
        exec(compile(content, name, "exec"), python_names(content))
        return
    assert language == ""
    if "export_torch" in content:
        pytest.importorskip("torch", reason="an extra")
        pytest.importorskip("onnxscript", reason="an extra")
    if "--plot" in content:
        pytest.importorskip("matplotlib", reason="an extra")
    if "my-lab/adaptive" in content and "my-lab/adaptive" not in registered_names():
        register_adaptive()
    for line in content.replace("\\\n", " ").splitlines():
        run(line)


def register_adaptive():
    """The neuron of docs/neurons.md under the name that the page gives it, without compiling it."""

    @register_neuron("my-lab/adaptive", compile_now=False)
    @dataclass(frozen=True)
    class Adaptive:
        threshold: float = 0.5
        rise: float = 0.25
        decay: float = 0.5
        initial: float = 0.0

        def state(self):
            return {"v": self.initial, "a": 0.0}

        def levels(self):
            return 0.0, self.threshold

        @staticmethod
        def step(current, v, a, threshold, rise, decay):
            v += current
            if v >= threshold + rise * a:
                return 1, v - threshold, decay * a + 1
            return 0, v, decay * a


def test_the_pages_have_blocks():
    assert len(ALL) > 12
    assert {language for _, language, _ in ALL} == {"", "python"}
