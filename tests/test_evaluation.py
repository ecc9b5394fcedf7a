"""`spikeunet evaluate`: scores, costs, journal, results, and what is refused; one process."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import refusals
from PIL import Image
from small_denoiser import one_sided_denoiser, small_denoiser
from small_segmenter import brightness_classes, small_segmenter
from unets import random_pictures, random_state

from spikeunet.converters import convert
from spikeunet.engine import denoise, forward, save_model, segment
from spikeunet.engine.command_line import main
from spikeunet.engine.evaluation import evaluate, plan_evaluation
from spikeunet.engine.evaluation import one_picture as worker
from spikeunet.engine.evaluation.journal import Journal
from spikeunet.engine.operations.energy import estimate_energy
from spikeunet.engine.pictures.labels import default_palette, write_labels
from spikeunet.engine.pictures.metrics import psnr, ssim
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.pictures.picture_files import read_picture, write_picture


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Six noiseless pictures in `clean`, and the files of `refusals.fill_folder`."""
    monkeypatch.chdir(tmp_path)
    refusals.fill_folder()
    Path("clean").mkdir()
    random = np.random.default_rng(0)
    for index in range(4):
        write_picture(f"clean/{index}.png", random.integers(0, 256, (20, 16 + index), dtype=np.uint8))
    worker._network.cache_clear()


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *map(str, arguments)])
    return stop.value.code


def rows_of(path="out/pictures.csv"):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def results(path="out/results.json"):
    return json.loads(Path(path).read_text())


def measured(rows):
    """Rows without what differs from run to run."""
    return [{name: value for name, value in row.items() if name not in ("seconds", "host")} for row in rows]


def test_a_denoiser_follows_the_protocol(capsys):
    assert run("gray.npz", "clean", "--add-noise", "15,25", "--seed", 3, "-o", "out") == 0
    header, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    rows = rows_of()
    assert [(row["sigma"], row["picture"], row["noise_seed"]) for row in rows] == [
        (sigma, f"{index}.png", str(3 + index)) for sigma in ("15.0", "25.0") for index in range(4)
    ]
    for row in rows:
        clean = read_picture(f"clean/{row['picture']}") / 255
        noisy = add_noise(clean, float(row["sigma"]), int(row["noise_seed"]))
        denoised = denoise(noisy, "gray.npz")
        assert float(row["psnr_noisy"]) == pytest.approx(psnr(clean, noisy))
        assert float(row["psnr"]) == pytest.approx(psnr(clean, denoised.restored))
        assert float(row["ssim"]) == pytest.approx(ssim(clean, denoised.restored))
        assert int(row["events"]) == denoised.result.total_events
        assert int(row["accumulates"]) == denoised.result.total_accumulates
        assert float(row["energy_joules"]) == pytest.approx(denoised.joules())
        assert row["reading"] == "multiply-accumulate"
        assert float(row["energy_mac_joules"]) == float(row["energy_joules"])
        shifts = denoised.joules(reading="shift-adds")
        assert float(row["energy_shift_add_joules"]) == pytest.approx(shifts)
        assert row["energy_accumulate_joules"] == ""
        assert int(row["dense_macs"]) == sum(denoised.result.dense_macs.values())
        assert (row["method"], row["steps"], row["index"]) == ("spiking", "3", row["picture"][0])
    assert len(lines) == 2
    found = dict(zip(header, lines[1], strict=True))
    assert (found["sigma"], found["pictures"]) == ("25", "4")
    assert (found["reading"], found["45nm AC J"]) == ("multiply-accumulate", "-")
    assert found["PSNR"] == f"{np.mean([float(row['psnr']) for row in rows[4:]]):.2f}"
    assert not Path("out/journal.jsonl").exists()


def test_counts_under_the_names_of_neurobench(capsys):
    assert run("gray.npz", "clean", "--ann", "--json") == 0
    spiking, ann = json.loads(capsys.readouterr().out)
    ledgers = []
    for index in range(4):
        noisy = add_noise(read_picture(f"clean/{index}.png") / 255, 25, index)
        ledgers.append(denoise(noisy, "gray.npz").result.operations)
    expected = sum(ledgers).to_neurobench()
    assert spiking["neurobench"]["SynapticOperations"] == pytest.approx(expected["SynapticOperations"])
    assert spiking["neurobench"]["ParameterCount"] == expected["ParameterCount"]
    assert (spiking["method"], ann["method"], ann["neurobench"]) == ("spiking", "ANN", None)


def random_unet(path, channels=1, outputs=1, **metadata):
    state = random_state(1, channels=channels, outputs=outputs, width=2)
    save_model(convert(state, calibration=random_pictures(channels=channels), metadata=metadata), path)


def test_several_numbers_of_steps_come_from_one_run_as_from_several():
    random_unet("unet.npz", task="denoise")
    assert run("unet.npz", "clean", "--steps", "9,1,4", "-o", "out") == 0
    together = rows_of()
    assert [row["steps"] for row in together[:3]] == ["1", "4", "9"]
    for steps in (1, 4, 9):
        assert run("unet.npz", "clean", "--steps", steps, "-o", f"out{steps}") == 0
        for one, other in zip(
            [row for row in together if row["steps"] == str(steps)], rows_of(f"out{steps}/pictures.csv"), strict=True
        ):
            for name in ("events", "accumulates", "macs", "dense_macs", "steps"):
                assert one[name] == other[name]
            for name in ("psnr", "ssim", "energy_joules", "energy_shift_add_joules", "density"):
                assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-5)
    assert len({row["events"] for row in together}) == len(together)
    assert [bool(row["seconds"]) for row in together[:3]] == [False, False, True]


def test_the_ann_stands_beside_it():
    random_unet("unet.npz", task="denoise")
    assert run("unet.npz", "clean", "--ann", "-o", "out") == 0
    rows = rows_of()
    assert [row["method"] for row in rows[:2]] == ["spiking", "ANN"]
    clean = read_picture("clean/0.png") / 255
    noisy = add_noise(clean, 25, 0)
    output, _ = forward(convert_back("unet.npz"), np.pad(noisy[None], ((0, 0), (6, 6), (0, 0)), mode="reflect"))
    assert float(rows[1]["psnr"]) == pytest.approx(psnr(clean, np.clip(noisy - output[0, 6:26], 0, 1)))
    assert (rows[1]["steps"], rows[1]["events"]) == ("", "")
    assert rows[1]["macs"] == rows[0]["dense_macs"]
    assert float(rows[1]["energy_joules"]) == pytest.approx(estimate_energy(0, int(rows[1]["macs"])))
    assert [entry["method"] for entry in results()["summary"]] == ["spiking", "ANN"]


@pytest.mark.parametrize("views", [2, 8])
def test_the_mean_of_several_views_is_scored(views):
    save_model(one_sided_denoiser(), "one-sided.npz")
    options = ("one-sided.npz", "clean", "--steps", "1,3", "--ann", "-o", "out")
    assert run(*options, "--self-ensemble", views) == 0
    rows = rows_of()
    clean = read_picture("clean/0.png") / 255
    noisy = add_noise(clean, 25, 0)
    for row, steps in zip(rows[:2], (1, 3), strict=True):
        found = denoise(noisy, "one-sided.npz", steps=steps, self_ensemble=views)
        assert float(row["psnr"]) == pytest.approx(psnr(clean, found.restored))
        assert int(row["events"]) == found.result.total_events > 0
        assert int(row["accumulates"]) == found.result.total_accumulates
        assert int(row["macs"]) == found.result.total_macs
        assert float(row["energy_joules"]) == pytest.approx(found.joules())
        assert float(row["accumulates_per_pixel"]) == pytest.approx(found.accumulates_per_pixel)
    sides = [(turns, mirrored) for mirrored in (1, -1) for turns in (0, 2, 1, 3)][:views]
    noise = np.zeros_like(noisy)
    for turns, step in sides:
        seen = np.ascontiguousarray(np.rot90(noisy, turns)[:, ::step])
        output, _ = forward(convert_back("one-sided.npz"), seen[None])
        noise += np.rot90(output[0][:, ::step], -turns) / views
    assert float(rows[2]["psnr"]) == pytest.approx(psnr(clean, np.clip(noisy - noise, 0, 1)))
    assert rows[2]["macs"] == rows[1]["dense_macs"] == str(sum(found.result.dense_macs.values()))
    assert {row["self_ensemble"] for row in rows} == {str(views)} == {str(results()["self_ensemble"])}
    alone = [row["psnr"] for row in rows]
    assert run(*options) == 0
    assert all(row["psnr"] != other for row, other in zip(rows_of(), alone, strict=True))


def convert_back(path):
    from spikeunet.engine import load_model

    return load_model(path)


def test_a_gray_model_takes_colour_channel_by_channel():
    Path("colour").mkdir()
    write_picture("colour/a.png", np.random.default_rng(5).integers(0, 256, (12, 13, 3), dtype=np.uint8))
    assert run("gray.npz", "colour", "--steps", "1,3", "-o", "out") == 0
    clean = read_picture("colour/a.png") / 255
    denoised = denoise(add_noise(clean, 25, 0), small_denoiser())
    last = rows_of()[-1]
    assert float(last["psnr"]) == pytest.approx(psnr(clean, denoised.restored))
    assert int(last["events"]) == denoised.result.total_events


def test_noisy_pictures_with_references_get_no_noise():
    Path("noisy").mkdir()
    for index in range(4):
        noisy = np.clip(read_picture(f"clean/{index}.png").astype(int) + 9, 0, 255).astype(np.uint8)
        write_picture(f"noisy/{index}.tif", noisy)
    assert run("gray.npz", "noisy:clean", "-o", "out") == 0
    (first, *_) = rows_of()
    assert (first["sigma"], first["noise_seed"], first["picture"]) == ("", "", "0.tif")
    denoised = denoise(read_picture("noisy/0.tif"), small_denoiser())
    assert float(first["psnr"]) == pytest.approx(psnr(read_picture("clean/0.png") / 255, denoised.restored))


def labelled_pictures(classes=2, void=None):
    """Pictures whose labels are brightness with some mistakes, and a mask."""
    random = np.random.default_rng(7)
    for folder in ("pictures", "labels", "masks"):
        Path(folder).mkdir()
    for name in ("a", "b", "c"):
        # No gray level lies on the border of two classes.
        picture = random.choice([level for level in range(256) if level % 51], (15, 18)).astype(np.uint8)
        labels = np.where(random.random((15, 18)) < 0.2, classes - 1, brightness_classes(picture, classes))
        if void is not None:
            labels[:, :3] = void
        write_picture(f"pictures/{name}.png", picture)
        write_labels(f"labels/{name}.png", labels, default_palette(256))
        write_picture(f"masks/{name}.png", (random.random((15, 18)) < 0.7).astype(np.uint8) * 255)


def indices_of(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_binary_scores_are_scikit_learns(capsys):
    metrics = pytest.importorskip("sklearn.metrics")
    labelled_pictures()
    random_unet("unet.npz", outputs=2, task="segment", classes=["ground", "vessel"])
    assert run("unet.npz", "pictures:labels:masks", "--steps", 4, "-o", "out") == 0
    true, taken, scores = [], [], []
    for row in rows_of():
        segmented = segment(read_picture(f"pictures/{row['picture']}"), "unet.npz", steps=4)
        inside = read_picture(f"masks/{row['picture']}") > 0
        true.append(indices_of(f"labels/{row['picture']}")[inside])
        taken.append(segmented.labels[inside])
        scores.append((segmented.scores[1] - segmented.scores[0])[inside])
        assert float(row["accuracy"]) == pytest.approx(metrics.accuracy_score(true[-1], taken[-1]))
        assert float(row["jaccard"]) == pytest.approx(metrics.jaccard_score(true[-1], taken[-1]))
        assert float(row["f1"]) == pytest.approx(metrics.f1_score(true[-1], taken[-1]))
        assert float(row["auc"]) == pytest.approx(metrics.roc_auc_score(true[-1], scores[-1]))
        assert int(row["events"]) == segmented.result.total_events
    (entry,) = results()["summary"]
    true, taken, scores = map(np.concatenate, (true, taken, scores))
    assert 0.2 < entry["pooled"]["accuracy"] < 0.9
    assert entry["pooled"]["accuracy"] == pytest.approx(metrics.accuracy_score(true, taken))
    assert entry["pooled"]["jaccard"] == pytest.approx(metrics.jaccard_score(true, taken))
    assert entry["pooled"]["f1"] == pytest.approx(metrics.f1_score(true, taken))
    assert entry["pooled"]["auc"] == pytest.approx(metrics.roc_auc_score(true, scores), abs=2e-3)
    assert entry["pooled"]["confusion"] == metrics.confusion_matrix(true, taken).tolist()
    assert entry["mean"]["auc"] == pytest.approx(np.mean([float(row["auc"]) for row in rows_of()]))
    printed = dict(zip(*(line.split("\t") for line in capsys.readouterr().out.splitlines()), strict=True))
    assert printed["F1"] == f"{entry['pooled']['f1']:.4f}"


def test_multi_class_scores_ignore_void():
    metrics = pytest.importorskip("sklearn.metrics")
    labelled_pictures(classes=5, void=9)
    save_model(small_segmenter(5, task="segmentation"), "five.npz")
    assert run("five.npz", "pictures:labels", "--void", 9, "-o", "out", "--ann") == 0
    rows = [row for row in rows_of() if row["method"] == "spiking"]
    true, taken = [], []
    for row in rows:
        labels = indices_of(f"labels/{row['picture']}")
        true.append(labels[labels != 9])
        taken.append(brightness_classes(read_picture(f"pictures/{row['picture']}"), 5)[labels != 9])
        ious = metrics.jaccard_score(true[-1], taken[-1], average=None)
        assert float(row["mean_iou"]) == pytest.approx(np.mean(ious))
        assert (row["jaccard"], row["f1"], row["auc"]) == ("", "", "")
    entry = results()["summary"][0]
    ious = metrics.jaccard_score(np.concatenate(true), np.concatenate(taken), average=None)
    assert entry["pooled"]["mean_iou"] == pytest.approx(np.mean(ious))
    assert entry["pooled"]["class_iou"] == pytest.approx(ious.tolist())
    # What decides here is linear: the ANN and the spiking network agree.
    assert results()["summary"][1]["pooled"]["confusion"] == entry["pooled"]["confusion"]


def test_results_say_how_to_make_them_again():
    import hashlib

    assert run("gray.npz", "clean", "--limit", 2, "-o", "out") == 0
    found = results()
    assert found["model_sha256"] == hashlib.sha256(Path("gray.npz").read_bytes()).hexdigest()
    assert found["model_metadata"]["task"] == "denoise"
    assert {"spikeunet", "python", "numpy", "numba", "scipy"} <= set(found["versions"])
    assert found["versions"]["spikeunet"]
    assert (found["seed"], found["sigmas"], found["steps"]) == (0, [25.0], [3])
    assert found["datasets"] == [{"name": "clean", "split": "all", "pictures": 2, "void": None}]
    assert found["command"]
    assert found["energy_model"]["name"] == "45nm"
    digest = hashlib.sha256(Path("clean/1.png").read_bytes()).hexdigest()
    assert found["pictures"][1]["picture_sha256"] == digest
    assert found["failures"] == []


def test_without_a_folder_only_the_table_is_made(capsys):
    before = refusals.contents()
    assert run("gray.npz", "clean", "--limit", 1) == 0
    assert capsys.readouterr().out.startswith("data set\tsigma\tmethod\t")
    assert refusals.contents() == before


@pytest.fixture
def interrupted(monkeypatch, capsys):
    """An evaluation that was interrupted in its third picture; returns the rows of an undisturbed one."""
    assert run("gray.npz", "clean", "-o", "whole") == 0
    attempt, calls = worker.attempt, []

    def stops(task):
        calls.append(task.example.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return attempt(task)

    with monkeypatch.context() as patch:
        patch.setattr("spikeunet.engine.evaluation.workplace.attempt", stops)
        assert run("gray.npz", "clean", "-o", "out") == 130
    assert not Path("out/results.json").exists()
    assert len(Path("out/journal.jsonl").read_text().splitlines()) == 3
    capsys.readouterr()
    return measured(rows_of("whole/pictures.csv"))


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the pictures that are evaluated from now on."""
    attempt, names = worker.attempt, []

    def notes(task):
        names.append(task.example.name)
        return attempt(task)

    monkeypatch.setattr("spikeunet.engine.evaluation.workplace.attempt", notes)
    return names


def test_an_interrupted_evaluation_goes_on(interrupted, evaluated):
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert evaluated == ["2.png", "3.png"]
    assert measured(rows_of()) == interrupted
    assert not Path("out/journal.jsonl").exists()
    assert results()["summary"][0]["pictures"] == 4


def test_a_torn_line_costs_one_picture(interrupted, evaluated):
    journal = Path("out/journal.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert evaluated == ["1.png", "2.png", "3.png"]
    assert measured(rows_of()) == interrupted


def test_what_is_added_after_a_torn_line_can_be_read(interrupted):
    path = Path("out/journal.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    plan = plan_evaluation("gray.npz", ["clean"])
    tasks = plan.tasks(None)
    with Journal(path, plan.signature) as journal:
        assert [journal.finished(task) is not None for task in tasks] == [True, False, False, False]
        journal.add(worker.attempt(tasks[3]))
    with Journal(path, plan.signature) as again:
        assert [again.finished(task) is not None for task in tasks] == [True, False, False, True]


@pytest.mark.parametrize("content", [b"", b'{"form', b'{"format": "spikeunet evaluation 1", "sig'])
def test_a_journal_that_had_barely_begun(interrupted, evaluated, content):
    Path("out/journal.jsonl").write_bytes(content)
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert len(evaluated) == 4
    assert measured(rows_of()) == interrupted


def test_a_picture_that_changed_meanwhile_is_evaluated_again(interrupted, evaluated):
    write_picture("clean/1.png", np.zeros((20, 17), np.uint8))
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert evaluated == ["1.png", "2.png", "3.png"]
    changed = measured(rows_of())
    assert changed[1] != interrupted[1]
    assert changed[2:] == interrupted[2:]


def test_more_pictures_may_follow_but_not_another_evaluation(interrupted, evaluated, capsys):
    for option, name in (
        (("--steps", 2), "steps"),
        (("--seed", 1), "seed"),
        (("--ann",), "ann"),
        (("--self-ensemble", 2), "self_ensemble"),
    ):
        message = refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "-o", "out", *option)
        assert f"out/journal.jsonl: an interrupted evaluation left this journal, and differs in {name}" in message
    save_model(small_denoiser(another="model"), "gray.npz")
    worker._network.cache_clear()
    assert "differs in model_sha256" in refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "-o", "out")
    assert evaluated == []


@pytest.mark.parametrize(
    "content",
    [
        "hello\n",
        "[]\n",
        '{"format": "other"}\n',
        '{"format": "spikeunet evaluation 1"}\n',
        "\xff\n",
        '{"format": 1}\n{',
    ],
)
def test_a_journal_of_something_else(capsys, content):
    Path("out").mkdir()
    Path("out/journal.jsonl").write_text(content, encoding="latin-1")
    message = refusals.refusal(capsys, "evaluate", "gray.npz", "clean", "-o", "out")
    assert "out/journal.jsonl: is no journal of an evaluation; choose another folder or remove it" in message


def test_a_bad_picture_does_not_stop_the_others_and_is_tried_again(capsys):
    good = Path("clean/1.png").read_bytes()
    Path("clean/1.png").write_text("no picture")
    assert run("gray.npz", "clean", "-o", "out") == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "clean/1.png: not a PNG, JPEG, TIFF" in printed.err
    assert [row["picture"] for row in rows_of()] == ["0.png", "2.png", "3.png"]
    (failure,) = results()["failures"]
    assert failure["picture"].endswith("clean/1.png")
    assert Path("out/journal.jsonl").exists()
    Path("clean/1.png").write_bytes(good)
    assert run("gray.npz", "clean", "-o", "out") == 0
    assert len(rows_of()) == 4
    assert not Path("out/journal.jsonl").exists()


REFUSED = {
    "no model": (["missing.npz", "clean"], "missing.npz: no such file; check the path"),
    "unknown model": (["no-such", "clean"], "no model is called 'no-such'"),
    "a task without scores": (["derainer.npz", "clean"], "is for 'derain'; evaluate knows denoise, segment, classify"),
    "another task": (["other.npz", "clean"], "is for 'generate'; evaluate knows denoise, segment, classify"),
    "unknown set": (["gray.npz", "set13"], "no data set and no folder is called 'set13'; known are set12"),
    "set without data": (["gray.npz", "set12"], "say where the data set set12 is: --data FOLDER"),
    "set not there": (["gray.npz", "set12", "--data", "clean"], "clean: holds no folder set12"),
    "no data folder": (
        ["gray.npz", "set12", "--data", "no"],
        "no: No such file or directory; give a folder of data sets",
    ),
    "set of another task": (["gray.npz", "em"], "say where the data set em is"),
    "set of the other task": (
        ["gray.npz", "em=clean"],
        "the data set em is for the task 'segment', the model for 'denoise'",
    ),
    "no references": (["gray.npz", "clean:empty"], "empty: has no clean references for 0.png; one is needed"),
    "missing references": (
        ["gray.npz", "clean:no"],
        "no: No such file or directory; give a folder of clean references",
    ),
    "twice": (["gray.npz", "clean", "clean"], "the data set clean is named twice; name it once"),
    "steps": (["gray.npz", "clean", "--steps", "0"], "steps must be a whole number from 1 to 1000 (got 0)"),
    "half steps": (["gray.npz", "clean", "--steps", "1.5"], "--steps must be whole numbers with ',' between them"),
    "no steps": (["gray.npz", "clean", "--steps", ","], "--steps must be numbers with ',' between them"),
    "sigma": (["gray.npz", "clean", "--add-noise", "300"], "sigma must lie between 0 and 255"),
    "views": (["gray.npz", "clean", "--self-ensemble", "3"], "self-ensemble must be 1, 2, 4 or 8"),
    "views of labels": (["segmenter.npz", "clean:clean", "--self-ensemble", "2"], "self-ensemble is for denoisers"),
    "limit": (["gray.npz", "clean", "--limit", "0"], "Invalid value for '--limit'"),
    "output": (["gray.npz", "clean", "-o", "no/out"], "no: No such file or directory; make the output folder first"),
    "output file": (["gray.npz", "clean", "-o", "good.png"], "this is a file"),
    "timeout": (["gray.npz", "clean", "--timeout", "0"], "the timeout must be a positive number of seconds (got 0)"),
    "no address": (
        ["gray.npz", "clean", "--scheduler", "head"],
        "a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT (got 'head')",
    ),
    "both": (
        ["gray.npz", "clean", "--workers", "2", "--scheduler", "tcp://a:1"],
        "2 local workers and the scheduler tcp://a:1 exclude each other",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_is_one_line(capsys, kind):
    save_model(small_denoiser(task="generate"), "other.npz")
    save_model(small_denoiser(task="derain"), "derainer.npz")
    save_model(small_segmenter(), "segmenter.npz")
    arguments, message = REFUSED[kind]
    assert message in refusals.refusal(capsys, "evaluate", *arguments)


@pytest.mark.parametrize(
    ("model", "dataset", "message"),
    [
        ("gray.npz", "folder:other", "other/a.png: is 12x17, but"),
        ("colour.npz", "folder", "the model takes pictures of 3 channels and got a gray picture"),
        ("three.npz", "folder:other", "other/a.png: is 12x17, but"),
        ("three.npz", "folder:strange", "strange/a.png: label 200 is not one of the classes 0 to 2"),
    ],
)
def test_pictures_that_do_not_fit(capsys, model, dataset, message):
    if model == "three.npz":
        pytest.importorskip("sklearn")
    save_model(small_segmenter(3), "three.npz")
    for folder, shape, value in (("other", (12, 17), 0), ("strange", (12, 16), 200)):
        Path(folder).mkdir()
        for name in ("a", "b"):
            write_picture(f"{folder}/{name}.png", np.full(shape, value, np.uint8))
    assert run(model, dataset, "--limit", 1) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(("module", "options"), [("sklearn", ()), ("distributed", ("--scheduler", "a:1"))])
def test_a_missing_extra_is_named(capsys, monkeypatch, module, options):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    save_model(small_segmenter(), "two.npz")
    message = refusals.refusal(capsys, "evaluate", "two.npz", "folder:folder", *options)
    assert "which is missing; pip install 'spikeunet[evaluate]'" in message


def test_a_worker_refuses_another_model_or_version():
    plan = plan_evaluation("gray.npz", ["clean"], limit=1)
    (task,) = plan.tasks(None)
    assert worker.attempt(task).error is None
    from dataclasses import replace

    stale = worker.attempt(replace(task, model_sha256="0" * 64))
    assert "another file on" in stale.error
    assert "install the same" in worker.attempt(replace(task, version="0.0.1")).error
    assert stale.rows == ()


def test_the_library_evaluates_without_a_journal():
    plan = plan_evaluation(Path("gray.npz"), ["clean"], steps=[1], sigmas=[10], limit=2)
    evaluation = evaluate(plan)
    assert [row["picture"] for row in evaluation.rows] == ["0.png", "1.png"]
    assert evaluation.resumed == 0
    assert evaluation.summary[0]["mean"]["psnr"] == pytest.approx(np.mean([row["psnr"] for row in evaluation.rows]))


def test_the_shipped_denoiser_on_a_real_picture(shared_data):
    pytest.importorskip("spikeunet.engine.models")
    from spikeunet.engine import list_models

    if "denoise-gray" not in list_models():
        pytest.skip("the shipped denoiser is not in this checkout")
    assert run("denoise-gray", "set12", "--data", shared_data, "--limit", 1, "--steps", 2, "-o", "out") == 0
    (row,) = rows_of()
    assert float(row["psnr"]) == pytest.approx(29.8, abs=0.2)


@pytest.mark.parametrize(
    ("model", "dataset", "score", "least"),
    [
        ("segment-vessels", "drive", "f1", 0.83),
        ("segment-membranes", "em", "f1", 0.945),
        ("segment-street", "camseq01", "mean_iou", 0.84),
    ],
)
def test_the_shipped_segmentations_on_real_pictures(shared_data, model, dataset, score, least):
    pytest.importorskip("sklearn")
    assert run(model, dataset, "--data", shared_data, "--limit", 2, "-o", "out") == 0
    (summary,) = results()["summary"]
    assert summary["steps"] == 1
    assert least < summary["pooled"][score] < least + 0.06
    assert summary["mean"]["accumulates_per_pixel"] < 22_500  # the ANN: 48 k multiply-accumulates


def test_files_that_are_no_pictures_are_named(capsys):
    Path("clean/mask.gif").touch()
    assert run("gray.npz", "clean", "--limit", 1) == 0
    assert capsys.readouterr().err == "spikeunet: skipped 1 of clean: mask.gif (no picture by its suffix)\n"
