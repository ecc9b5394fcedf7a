"""Models that do not come with the package: found by name in a checkout's `models` and where SPIKEUNET_MODELS says."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_denoiser import small_denoiser
from small_segmenter import small_segmenter

from spikeunet.engine import list_models, load_model, save_model, segment, write_picture
from spikeunet.engine import models as package
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.evaluation import plan_evaluation
from spikeunet.engine.models import folders, model_digest, model_origins
from spikeunet.engine.pictures.labels import read_labels

PYPROJECT = '[project]\nname = "{}"\n'


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A package that comes with one model, runs from no checkout, and an environment that names no folder."""
    inside = tmp_path / "packaged"
    inside.mkdir()
    save_model(small_denoiser(description="in the package"), inside / "shipped.npz")
    monkeypatch.setattr(package, "resources", SimpleNamespace(files=lambda name: inside, as_file=resources.as_file))
    monkeypatch.setattr(folders, "_PACKAGE", tmp_path / "site-packages" / "engine")
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    return inside


@pytest.fixture
def checkout(packaged, tmp_path, monkeypatch):
    """A checkout whose folder `models` holds the model "vessels"."""
    root = tmp_path / "checkout"
    (root / "models").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format("spikeunet"), "utf-8")
    save_model(small_segmenter(description="in the checkout"), root / "models" / "vessels.npz")
    monkeypatch.setattr(folders, "_PACKAGE", root / "engine")
    return root


def first_few(monkeypatch, *places):
    monkeypatch.setenv(folders.VARIABLE, os.pathsep.join(map(str, places)))


def described(name):
    return load_model(name).metadata["description"]


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return stop.value.code


def test_a_checkout_brings_its_models(checkout):
    assert list_models() == ("shipped", "vessels")
    assert described("vessels") == "in the checkout"
    assert model_digest("vessels") == model_digest(checkout / "models" / "vessels.npz")
    assert model_origins() == {"shipped": "package", "vessels": str(checkout / "models")}


@pytest.mark.parametrize("content", [None, PYPROJECT.format("other"), "[project", "project = 3", b"\xff\xfe"])
def test_a_folder_beside_another_projects_code_is_left_alone(checkout, content):
    file = checkout / "pyproject.toml"
    file.unlink()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert list_models() == ("shipped",)
    with pytest.raises(ModelFileError, match="no model is called 'vessels'"):
        load_model("vessels")


def test_a_checkout_without_the_folder_is_no_error(checkout):
    (checkout / "models" / "vessels.npz").unlink()
    (checkout / "models").rmdir()
    assert list_models() == ("shipped",)


def test_this_checkout_is_one(repository):
    assert folders.checkout_folder(repository) == (repository / "models" if (repository / "models").is_dir() else None)
    assert folders._is_checkout(repository)


def test_the_environment_names_folders_in_order(checkout, tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("first", "second")]
    for place in places:
        place.mkdir()
        for name in ("both", "vessels", "shipped", place.name):
            save_model(small_denoiser(description=f"{name} of {place.name}"), place / f"{name}.npz")
    first_few(monkeypatch, *places)
    assert list_models() == ("both", "first", "second", "shipped", "vessels")
    assert described("both") == "both of first"
    assert described("second") == "second of second"
    assert described("vessels") == "vessels of first"
    assert described("shipped") == "in the package"
    assert model_origins()["shipped"] == "package"
    assert model_origins()["both"] == str(places[0])


def test_empty_entries_mean_nothing(packaged, monkeypatch):
    first_few(monkeypatch, "", "")
    assert list_models() == ("shipped",)


def test_a_folder_that_is_missing_is_named_but_does_not_keep_packaged_models_from_loading(packaged, monkeypatch):
    first_few(monkeypatch, "nowhere")
    assert described("shipped") == "in the package"
    for attempt in (list_models, lambda: load_model("vessels")):
        with pytest.raises(ModelFileError, match=r"^SPIKEUNET_MODELS names 'nowhere', which is no folder; correct or"):
            attempt()


def test_an_unknown_name_is_refused_with_all_known_ones(checkout, tmp_path, monkeypatch, capsys):
    save_model(small_denoiser(), tmp_path / "mine.npz")
    first_few(monkeypatch, tmp_path)
    assert run("info", "denoise-purple") == 2
    assert capsys.readouterr().err == (
        "spikeunet: error: no model is called 'denoise-purple'; there are: mine, shipped, vessels; "
        "a path ends in .npz\n"
    )


def test_checkpoints_folders_and_other_files_are_no_models(checkout):
    folder = checkout / "models"
    for name in ("tuned.checkpoint.npz", "README.md", "tuned.csv"):
        (folder / name).write_text("")
    (folder / "folder.npz").mkdir()
    assert list_models() == ("shipped", "vessels")


def test_every_command_takes_the_name(checkout, tmp_path, monkeypatch, capsys):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    for folder in ("pictures", "labels"):
        Path(folder).mkdir()
    write_picture("pictures/a.png", picture)
    write_picture("labels/a.png", (picture > 127).astype(np.uint8))
    assert run("segment", "pictures/a.png", "-o", "seen.png", "--model", "vessels") == 0
    assert (read_labels("seen.png") == segment(picture, "vessels").labels).all()
    assert run("info", "vessels") == 0
    assert "in the checkout" in capsys.readouterr().out
    pytest.importorskip("sklearn")
    assert run("evaluate", "vessels", "pictures:labels") == 0
    assert plan_evaluation("vessels", ["pictures:labels"]).model == "vessels"


def test_finetune_does_not_overwrite_the_model_that_it_starts_from(checkout, tmp_path, capsys):
    target = checkout / "models" / "vessels.npz"
    before = target.read_bytes()
    options = ("--task", "segment", "--train", tmp_path, "--labels", tmp_path, "-o", target)
    assert run("finetune", "vessels", *options) == 2
    assert "the model would overwrite the model /" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_models_lists_where_each_was_found(checkout, capsys):
    assert run("models") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("shipped", "denoise", "package"),
        ("vessels", "segment", str(checkout / "models")),
    ]


def test_models_lists_the_others_where_one_is_damaged(checkout, capsys):
    (checkout / "models" / "torn.npz").write_bytes(b"PK")
    assert run("models") == 2
    printed = capsys.readouterr()
    assert [line.split("\t")[0] for line in printed.out.splitlines()[1:]] == ["shipped", "vessels"]
    assert printed.err.startswith("spikeunet: error: ")
    assert printed.err.count("\n") == 1
    assert "torn.npz" in printed.err


def test_models_says_so_where_there_are_none(packaged, capsys):
    (packaged / "shipped.npz").unlink()
    assert run("models") == 0
    assert "no models" in capsys.readouterr().err


def test_a_trained_network_is_no_model(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("network.onnx").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"network.onnx: is no model file, .* make one .* by `spikeunet convert`"):
        load_model("network.onnx")
