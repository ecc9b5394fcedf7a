"""Models that were loaded are kept, and read again where their file is another one."""

from __future__ import annotations

import os
import weakref

import numpy as np
import pytest
from test_bound_program import unet

from spikeunet.engine import ModelFileError, clear_caches, denoise, load_model, save_model
from spikeunet.engine.models import kept_models, shared_model
from spikeunet.engine.neurons import registry

LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def nothing_kept():
    clear_caches()
    yield
    clear_caches()


def saved(path, seed=1, age=LONG_AGO, **metadata):
    save_model(unet(seed=seed).replace(metadata=metadata), path)
    os.utime(path, (age, age))
    return path


@pytest.fixture
def reads(monkeypatch):
    """Files that are read."""
    import spikeunet.engine.models as models

    found, read = [], models.read_model
    monkeypatch.setattr(models, "read_model", lambda path: found.append(path.name) or read(path))
    return found


def test_a_model_is_read_once(tmp_path, reads):
    path = saved(tmp_path / "a.npz")
    assert shared_model(path) is shared_model(str(path))
    load_model(path)
    assert reads == ["a.npz"]


def test_denoising_by_name_reads_once(reads):
    for _ in range(3):
        denoise(np.zeros((16, 16), np.uint8), steps=1, threads=1)
    assert reads == ["denoise-gray.npz"]


@pytest.mark.parametrize("how", ["replaced", "replaced, same time", "written to", "touched"])
def test_another_file_is_read_anew(how, tmp_path):
    path = saved(tmp_path / "a.npz", seed=1)
    first = shared_model(path)
    if how == "touched":
        os.utime(path, (LONG_AGO + 1, LONG_AGO + 1))
    elif how == "written to":
        saved(tmp_path / "b.npz", seed=2)
        path.write_bytes((tmp_path / "b.npz").read_bytes())
    else:
        saved(path, seed=2, age=LONG_AGO + (how == "replaced"))
    again = shared_model(path)
    assert again is not first
    assert how == "touched" or (again["conv1"].weight != first["conv1"].weight).any()


def test_a_file_that_was_written_just_now_is_not_kept(tmp_path):
    """Its next change might not change its time."""
    path = tmp_path / "a.npz"
    save_model(unet(), path)
    assert shared_model(path) is not shared_model(path)


def test_a_file_that_went_away_is_missed(tmp_path):
    path = saved(tmp_path / "a.npz")
    shared_model(path)
    path.unlink()
    with pytest.raises(ModelFileError, match="no such file"):
        shared_model(path)


def test_only_some_models_are_kept(tmp_path, reads):
    paths = [saved(tmp_path / f"{number}.npz") for number in range(kept_models._MOST + 1)]
    first = weakref.ref(shared_model(paths[0]))
    for path in paths[1:]:
        shared_model(path)
        shared_model(paths[1])
    assert first() is None
    shared_model(paths[1])
    assert reads.count("1.npz") == 1


def test_a_neuron_model_that_is_registered_again_counts(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.npz")
    first = shared_model(path)
    registry._note_change()
    assert shared_model(path) is not first


def test_what_one_gets_is_ones_own(tmp_path):
    """Changing it, as far as it can be changed, changes nothing for others."""
    path = saved(tmp_path / "a.npz", steps=1, classes=["a", "b"])
    first = load_model(path)
    first.metadata["classes"].append("c")
    with pytest.raises(ValueError, match="WRITEABLE"):
        first["conv1"].weight.setflags(write=True)
    again = load_model(path)
    assert again is not first
    assert again.metadata["classes"] == ["a", "b"]
    assert shared_model(path).metadata["classes"] == ["a", "b"]
