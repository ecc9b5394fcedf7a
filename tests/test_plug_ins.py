"""Neuron models of other installed packages, which the command line finds by their entry points."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from small_denoiser import spiking_unet_state

from spikeunet.engine import Conv2d, Input, IntegrateAndFire, Network, Neurons, Output, load_model, save_model
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.neurons import plug_ins, registry

pytestmark = pytest.mark.timeout(300)

MODULE = """
from dataclasses import dataclass
from pathlib import Path

from spikeunet.engine import register_neuron

Path(__file__).with_name("imported").touch()

@register_neuron("my-lab/halved", compile_now=False)
@dataclass(frozen=True)
class Halved:
    threshold: float = 1.0
    initial: float = 0.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, self.threshold

    @staticmethod
    def step(current, v, threshold):
        v = 0.5 * v + current
        return (1, v - threshold) if v >= threshold else (0, v)
"""


def install(folder, name, text):
    """A module, and the metadata that pip would write for a package that lists it as a plug-in."""
    (folder / f"{name}.py").write_text(text)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{plug_ins.ENTRY_POINTS}]\n{name} = {name}\n")


@pytest.fixture
def fresh(monkeypatch):
    """As if no plug-in had been looked for, here and after the test."""
    # Without what other tests have registered: lists of what is known end after some names.
    monkeypatch.setattr(
        registry, "_by_name", {name: each for name, each in registry._by_name.items() if "/" not in name}
    )
    monkeypatch.setattr(registry, "_by_class", dict(registry._by_class))
    plug_ins.import_plug_ins.cache_clear()
    yield
    plug_ins.import_plug_ins.cache_clear()
    sys.modules.pop("halved_neurons", None)


def save_network(path, neuron):
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", one), Neurons("neurons", "conv", neuron)]
    save_model(Network([*nodes, Conv2d("readout", "neurons", one), Output("output", "readout")]), path)


@pytest.fixture
def model_file(tmp_path, monkeypatch, fresh):
    """A model file with a neuron that only the plug-in halved_neurons knows, which is not registered any more."""
    folder = tmp_path / "packages"
    folder.mkdir()
    install(folder, "halved_neurons", MODULE)
    monkeypatch.syspath_prepend(folder)
    import halved_neurons

    save_network(tmp_path / "model.npz", halved_neurons.Halved(0.75))
    del sys.modules["halved_neurons"]
    registry._by_name.pop("my-lab/halved")
    (folder / "imported").unlink()
    return tmp_path / "model.npz"


def run(arguments, folder):
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "spikeunet.engine.command_line", *arguments],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=240,
    )


def test_the_command_line_finds_an_installed_neuron(model_file, tmp_path):
    found = run(["info", str(model_file)], tmp_path / "packages")
    assert found.returncode == 0, found.stderr
    assert "Halved" in found.stdout or "my-lab/halved" in found.stdout
    assert (tmp_path / "packages" / "imported").exists()


def test_without_the_package_the_command_line_says_what_is_missing(model_file, tmp_path, monkeypatch, capsys):
    told = told_without(tmp_path / "packages", model_file, monkeypatch, capsys)
    assert "unknown neuron model 'my-lab/halved'" in told
    assert "entry point" in told


def told_without(folder, model, monkeypatch, capsys):
    """The line that the command has for a model where a folder of packages is not there."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    with pytest.raises(SystemExit) as stop:
        main(["info", str(model)])
    out, told = capsys.readouterr()
    assert (stop.value.code, out, len(told.splitlines())) == (2, "", 1)
    return told


def test_load_model_finds_it_too(model_file):
    assert load_model(model_file).neurons[0].model.threshold == 0.75


def test_a_model_of_known_neurons_imports_no_plug_in(model_file, tmp_path):
    save_network(tmp_path / "known.npz", IntegrateAndFire())
    load_model(tmp_path / "known.npz")
    assert not (tmp_path / "packages" / "imported").exists()


def test_a_module_that_a_file_names_is_not_imported(model_file, tmp_path, monkeypatch):
    """A neuron model that is called as a module of no entry point."""
    (tmp_path / "packages" / "trap.py").write_text("raise SystemExit('imported')")
    import halved_neurons

    monkeypatch.setitem(registry._by_name, "trap", registry._by_name["my-lab/halved"])
    object.__setattr__(registry._by_name["trap"], "name", "trap")
    save_network(tmp_path / "trap.npz", halved_neurons.Halved())
    del registry._by_name["trap"]
    with pytest.raises(ModelFileError, match="unknown neuron model 'trap'"):
        load_model(tmp_path / "trap.npz")
    assert "trap" not in sys.modules


def test_a_plug_in_that_fails_is_named_and_spoils_no_other(model_file, tmp_path):
    install(tmp_path / "packages", "a_broken_one", "raise RuntimeError('two\\nlines')")
    assert load_model(model_file).neurons[0].model.threshold == 0.75
    (failure,) = plug_ins.import_plug_ins()
    assert failure == "the plug-in 'a_broken_one' (a_broken_one) failed: RuntimeError: two lines"
    registry._by_name.pop("my-lab/halved")
    with pytest.raises(ModelFileError, match=r"unknown neuron model .*; the plug-in 'a_broken_one' .* two lines"):
        load_model(model_file)


# --- spikeunet convert -----------------------------------------------------------------------------------------------


def convert(tmp_path, *options):
    """Exit status of a conversion to neurons of some kind."""
    np.savez(tmp_path / "state.npz", **spiking_unet_state())
    model = str(tmp_path / "converted.npz")
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(tmp_path / "state.npz"), "-o", model, "--normalization", "none", *options])
    return stop.value.code


def test_convert_takes_an_installed_neuron_with_its_parameters(model_file, tmp_path, capsys):
    options = ("--neuron", "my-lab/halved", "--parameter", "threshold=0.5", "--initial", "0.25")
    assert convert(tmp_path, *options) == 0
    assert "Halved(threshold=0.5, initial=0.25)" in capsys.readouterr().out
    models = {node.model for node in load_model(tmp_path / "converted.npz").neurons}
    assert [(model.threshold, model.initial) for model in models] == [(0.5, 0.25)]


def test_convert_lists_installed_neurons_where_a_name_is_unknown(model_file, tmp_path, capsys):
    install(tmp_path / "packages", "a_broken_one", "raise RuntimeError('no licence')")
    assert convert(tmp_path, "--neuron", "my-lab/halve") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert (
        "unknown neuron model 'my-lab/halve'; known are multi-threshold, signed-multi-threshold, if, lif, " in printed
    )
    assert "my-lab/halved" in printed
    assert "the plug-in 'a_broken_one' (a_broken_one) failed: RuntimeError: no licence" in printed


def test_neurons_with_short_names_import_no_plug_in(model_file, tmp_path):
    assert convert(tmp_path, "--neuron", "if") == 0
    assert not (tmp_path / "packages" / "imported").exists()
