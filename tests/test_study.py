"""The study of arms (benchmarks/study.py): its networks, its figures, going on after an interruption, its tables."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import _study_arms as arms
import _study_measure as measuring
import _study_tables as tables
import click
import study
from _study_arms import Arm
from _study_tables import steps_needed
from unets import random_pictures, random_state

from spikeunet.converters import convert
from spikeunet.engine import forward, read_picture, save_model, write_picture
from spikeunet.engine.evaluation import evaluate, plan_evaluation, workplace
from spikeunet.engine.pictures.labels import default_palette, read_labels, write_labels

STEPS = ("--steps", "multi-threshold=1,2", "--steps", "if=1,2,4", "--compare", "1,2", "--threads", "1")
TUNING = "--iterations 2 --crop 16 --batch 1 --interval 1"


@pytest.fixture
def denoising(tmp_path, monkeypatch):
    """Three noiseless pictures, three to train on, and a small state dict; returns the arguments of a study."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("set12", "train"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            write_picture(f"{folder}/{index}.png", random.integers(0, 256, (32, 24 + index), dtype=np.uint8))
    np.savez("small.npz", **random_state())
    return ["set12=set12", "--network", "small.npz", "--train", "train", "--calibration", "2", *STEPS]


@pytest.fixture
def membranes(tmp_path, monkeypatch):
    """Two slices to train on and three to test with, and a small state dict; returns the arguments of a study."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("image", "label"):
        (tmp_path / "em" / folder).mkdir(parents=True)
    for index in (0, 1, 24, 25, 26):
        slice_ = random.integers(0, 256, (40, 36), dtype=np.uint8)
        write_picture(f"em/image/{index}.png", slice_)
        write_labels(f"em/label/{index}.png", (slice_ > 100).astype(np.uint8), default_palette(2))
    np.savez("small.npz", **random_state(outputs=2))
    return ["em=em", "--network", "em=small.npz", *STEPS, "--tune", ""]


def run(*arguments):
    study.main.main([*arguments, "--out", "out"], standalone_mode=False)


def rows(path="out/study.csv"):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_study_of_a_denoiser(denoising, tmp_path, capsys):
    run(*denoising, "--tune", "multi-threshold=2", "--tune", "if=", "--tuning", TUNING)
    found = rows()
    ann, *spiking = found
    assert ann["neuron"] == "ANN"
    assert [(row["neuron"], row["normalization"], row["trained_for"], row["steps"]) for row in spiking] == [
        (neuron, normalization, trained, str(steps))
        for neuron, trained, numbers in (
            ("multi-threshold", "0", (1, 2)),
            ("if", "0", (1, 2, 4)),
            ("multi-threshold", "2", (1, 2)),
        )
        for normalization in ("connection", "layer")
        for steps in numbers
    ]
    model = "out/networks/small-if-layer.npz"
    (expected,) = evaluate(plan_evaluation(model, ["set12=set12"], steps=[2])).summary
    (row,) = (row for row in spiking if (row["neuron"], row["normalization"], row["steps"]) == ("if", "layer", "2"))
    assert float(row["score"]) == pytest.approx(expected["mean"]["psnr"])
    assert float(row["below_ann"]) == pytest.approx(float(ann["score"]) - expected["mean"]["psnr"])
    assert float(row["energy_joules"]) == pytest.approx(expected["mean"]["energy_joules"])
    assert len(rows("out/study_pictures.csv")) == 3 * len(found)
    text = (tmp_path / "out" / "study.md").read_text()
    assert capsys.readouterr().out.endswith(text)
    assert "multi-threshold, layer-wise, fine-tuned for T = 2" in text
    assert "set12: within 0.1 dB of the ANN" in text
    assert (tmp_path / "out" / "study_set12.png").stat().st_size > 10_000


def test_a_study_of_a_segmentation_takes_the_middle_of_pictures(membranes, tmp_path):
    pytest.importorskip("sklearn")
    run(*membranes, "--only", "connection", "--crop", "em=17", "--limit", "2", "--initial", "0")
    ann, *spiking = rows()
    assert {row["normalization"] for row in spiking} == {"connection"}
    assert {row["pictures"] for row in (ann, *spiking)} == {"2"}
    crops = tmp_path / "out" / "crops" / "em-17"
    whole, part = read_picture("em/image/24.png"), read_picture(crops / "picture" / "24.png")
    assert (part == whole[11:28, 9:26]).all()
    assert (read_labels(crops / "reference" / "24.png") == (part > 100)).all()
    plan = plan_evaluation(
        "out/networks/small-if-connection.npz", [f"{crops}/picture:{crops}/reference"], steps=[4], ann=True
    )
    by_method = {entry["method"]: 100 * entry["pooled"]["f1"] for entry in evaluate(plan).summary}
    assert float(ann["score"]) == pytest.approx(by_method["ANN"], abs=0.2)
    (last,) = (row for row in spiking if row["steps"] == "4")
    assert float(last["score"]) == pytest.approx(by_method["spiking"])


def test_networks_are_calibrated_on_training_pictures(membranes):
    source = arms.Source("em", study.Path("em"), "small.npz", None)
    recipe = arms.Recipe((1.0, 0.5), 0.5, 99.0, 16, "25", lambda arm: [], None)
    pictures = arms.calibration(source, arms.trained_network(source), recipe)
    assert len(pictures) == 2
    for index, picture in enumerate(pictures):
        assert (picture[0] == read_picture(f"em/image/{index}.png") / np.float32(255)).all()


def test_an_interrupted_study_goes_on_after_its_last_picture(denoising, tmp_path, monkeypatch):
    evaluated, limit, attempt = [], 4, workplace.attempt

    def attempt_some(task):
        if len(evaluated) == limit:
            raise KeyboardInterrupt
        evaluated.append((task.model, task.example.name))
        return attempt(task)

    monkeypatch.setattr(workplace, "attempt", attempt_some)
    with pytest.raises(click.Abort):
        run(*denoising, "--only", "converted")
    monkeypatch.setattr(
        workplace, "attempt", lambda task: evaluated.append((task.model, task.example.name)) or attempt(task)
    )
    run(*denoising, "--only", "converted")
    assert len(evaluated) == len(set(evaluated)) + 3 == 5 * 3  # the ANN is measured with a network of an arm
    first = (tmp_path / "out" / "study.csv").read_text()
    run(*denoising, "--only", "converted")
    assert len(evaluated) == 5 * 3
    assert (tmp_path / "out" / "study.csv").read_text() == first


def test_a_finished_arm_is_measured_again_where_a_picture_changed(denoising, monkeypatch):
    run(*denoising, "--only", "if:layer:converted")
    before = rows()[-1]["score"]
    write_picture("set12/1.png", np.zeros((32, 25), np.uint8))
    run(*denoising, "--only", "if:layer:converted")
    assert rows()[-1]["score"] != before


def test_networks_made_otherwise_are_refused(denoising):
    run(*denoising, "--only", "if:layer:converted")
    with pytest.raises(SystemExit, match=r"small.json: the networks here were made with another thresholds; take"):
        run(*denoising, "--only", "if:layer:converted", "--thresholds", "2,1")


def test_fine_tuned_networks_made_otherwise_are_refused(denoising, monkeypatch):
    given = []
    monkeypatch.setattr(arms.finetune_command, "main", lambda options, **_: given.append(options) or 1 / 0)
    tuning = ("--only", "if:layer", "--tuning", "--rate 1", "--tuning", "if=--rate 0.5")
    with pytest.raises(ZeroDivisionError):
        run(*denoising, *tuning)
    (options,) = given
    assert options[0].endswith("small-if-layer.npz")
    assert options[options.index("--rate") + 1] == "0.5"
    assert options[options.index("--steps") + 1] == "4"
    with pytest.raises(SystemExit, match=r"small-if-layer-T4.json: the networks here were made with another tuning"):
        run(*denoising, *tuning, "--tuning", "if=--rate 0.25")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bsd=set12"], "a data set is NAME=FOLDER with one of the names set12"),
        (["set12"], "a data set is NAME=FOLDER"),
        (["set12=set12"], "say what to convert: --network set12=FILE"),
        (["set12=set12", "--network", "small.npz"], "say what to calibrate on: --train set12=FOLDER"),
        (["set12=set12", "--network", "small.npz", "--only", "lif"], "--only takes bsd68"),
        (["set12=set12", "--network", "small.npz", "--only", "drive"], "set12: --only leaves no arm"),
        (["set12=set12", "--network", "small.npz", "--steps", "1;2"], "'1;2': must be numbers with ',' between"),
        (["set12=set12", "--network", "small.npz", "--steps", "iff=2"], "an option can be for .*got 'iff'"),
    ],
)
def test_wrong_arguments_are_refused(denoising, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run(*arguments)


def test_a_network_that_was_fine_tuned_is_refused(denoising):
    network = convert("small.npz", normalization="none", metadata={"fine_tuning": {}})
    save_model(network, "tuned.npz")
    with pytest.raises(SystemExit, match=r"tuned.npz: was fine-tuned; give the network"):
        run("set12=set12", "--network", "tuned.npz", "--train", "train")


# --- Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["connection", "layer"])
def test_a_conversion_is_undone(normalization):
    state, pictures = random_state(), random_pictures()
    plain = convert(state, normalization="none")
    undone = arms.unnormalized(convert(state, normalization=normalization, calibration=pictures))
    for node in plain.nodes:
        if hasattr(node, "weight"):
            np.testing.assert_allclose(undone[node.name].weight, node.weight, rtol=1e-5)
            np.testing.assert_allclose(undone[node.name].bias, node.bias, rtol=1e-5)
    np.testing.assert_allclose(list(undone.normalization.values()), 1, rtol=1e-6)
    assert forward(undone, pictures[0])[0] == pytest.approx(forward(plain, pictures[0])[0], abs=1e-4)


def test_layer_wise_conversion_of_a_converted_model_is_that_of_its_state_dict(denoising):
    pictures = random_pictures()
    save_model(convert("small.npz", normalization="connection", calibration=pictures), "model.npz")
    from_model, from_state = (
        convert(
            arms.trained_network(arms.Source("set12", None, file, None)), normalization="layer", calibration=pictures
        )
        for file in ("model.npz", "small.npz")
    )
    assert from_state.normalization != convert("small.npz", calibration=pictures).normalization
    for name, value in from_state.normalization.items():
        assert from_model.normalization[name] == pytest.approx(value, rel=1e-4)


def test_options_for_the_most_words_win():
    options = ("1", "if=2", "if:layer=3", "em=4", "5")
    assert arms.chosen(options, {"if", "layer"}) == "3"
    assert arms.chosen(options, {"if", "connection"}) == "2"
    assert arms.chosen(options, {"em", "if", "connection"}) == "4"
    assert arms.chosen(options, {"multi-threshold"}) == "5"
    assert arms.chosen(("em=1",), {"drive"}) is None
    assert arms.chosen(("em=1",), {"drive", "if"}, ("2", "if=3")) == "3"
    assert arms.chosen(("em=",), {"em", "if"}, ("2", "if=3")) == ""
    assert arms.chosen(("1",), {"if"}, ("2", "if=3")) == "1"
    assert arms.chosen(("em=--crop=3 --upright",), {"em"}) == "--crop=3 --upright"
    assert arms.chosen(("--crop=3",), {"em"}) == "--crop=3"


def test_arms_by_words():
    def names(*only):
        return [arm.name for arm in arms.wanted_arms(lambda arm: [4] if arm.neuron == "if" else [], only, "em")]

    plain = ["multi-threshold-connection", "multi-threshold-layer", "if-connection", "if-layer"]
    assert names() == [*plain, "if-connection-T4", "if-layer-T4"]
    assert names("em:converted") == plain
    assert names("if:layer", "fine-tuned") == ["if-layer", "if-connection-T4", "if-layer-T4"]


# --- Tables ----------------------------------------------------------------------------------------------------------


def entries(arm, scores, pictures=()):
    return [
        measuring.Entry(arm, steps, score, {name: value + score for name, value in pictures}, {})
        for steps, score in scores.items()
    ]


def test_steps_needed_by_hand():
    by_steps = {entry.steps: entry for entry in entries(Arm("if", "layer"), {4: 80.0, 1: 20.0, 2: 79.4, 8: 81.0})}
    assert steps_needed(by_steps, 79.4) == (2, 1)
    assert steps_needed(by_steps, 79.5) == (4, 2)
    assert steps_needed(by_steps, 82.0) == (None, 8)
    assert steps_needed({1: by_steps[4]}, 80.0) == (1, 0)


@pytest.mark.parametrize(
    ("few", "many", "end"),
    [
        (
            {1: 79.6},
            {32: 70, 64: 80},
            "IF in 64 steps and not in 32; 64 times fewer of those measured; {}: yes",
        ),
        ({1: 70, 2: 79.6}, {8: 70, 16: 80}, "; 8 times fewer of those measured; {}: no"),
        ({2: 70, 4: 79.6}, {32: 70, 64: 80}, "; 16 times fewer of those measured; {}: perhaps, between 8.25 and 21.3"),
        ({4: 79.6}, {512: 70}, "IF not in 512 steps; more than 128 times fewer; {}: yes"),
        ({4: 79.6}, {32: 70}, "; more than 8 times fewer; {}: not shown"),
        ({16: 79}, {32: 80}, "multi-threshold not in 16 steps, IF in 32 steps; {}: not shown"),
    ],
)
def test_the_answer_by_hand(few, many, end):
    ann = measuring.Entry(None, 0, 80.0, {}, {})
    found = entries(Arm("multi-threshold", "connection"), few) + entries(Arm("if", "connection"), many)
    others = entries(Arm("multi-threshold", "layer"), {1: 80.0}) + entries(Arm("if", "connection", 4), {1: 80.0})
    line = tables.answer("em", "F1 of cells / %", ann, found + others, 0.5)
    assert line.startswith("em: within 0.5 points of the ANN (F1 of cells 80.00), connection-wise: multi-threshold ")
    assert line.endswith(end.format("at least ten times fewer"))


def test_the_answer_says_how_many_steps():
    assert [tables._needs(*pair) for pair in ((1, 0), (4, 2), (None, 16))] == [
        "in 1 step",
        "in 4 steps and not in 2",
        "not in 16 steps",
    ]


def test_the_answer_needs_both_arms():
    ann = measuring.Entry(None, 0, 80.0, {}, {})
    assert "not both there" in tables.answer("em", "F1 / %", ann, entries(Arm("if", "connection"), {1: 80.0}), 0.5)


def test_paired_tests_compare_arms_that_differ_in_one_thing():
    pictures = [(f"{index}", float(index)) for index in range(6)]
    found = entries(Arm("multi-threshold", "connection"), {2: 5.0, 4: 6.0}, pictures)
    found += entries(Arm("if", "connection"), {2: 1.0, 8: 6.0}, pictures)
    found += entries(Arm("if", "layer"), {2: 1.0}, pictures)
    first, second = tables.paired_tests(found, [2, 8])
    assert first[:4] == ("neuron", "multi-threshold, connection-wise", "IF, connection-wise", 2)
    assert first[4:] == (6, 4.0, 2 / 2**6, pytest.approx(4 / 2**6))  # all of six pictures on one side; two tests
    assert second[:4] == ("normalization", "IF, connection-wise", "IF, layer-wise", 2)
    assert second[4:] == (6, 0.0, 1.0, 1.0)
    assert "+4.000 | 0.031 | 0.062 |" in tables.significance_table([first, second], "F1 / %")


def test_a_picture_without_a_score_is_left_out():
    assert tables.signed_rank({"a": 1.0, "b": 2.0}, {"b": 1.0, "c": 0.0})[:2] == (1, 1.0)


def test_holm_by_hand():
    assert tables.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert tables.holm([0.6, 0.7]) == [1.0, 1.0]
    assert tables.holm([]) == []


def test_journals_are_gone_when_an_arm_is_finished(denoising, tmp_path):
    run(*denoising, "--only", "if:layer:converted")
    files = sorted(path.name for path in (tmp_path / "out" / "arms").iterdir())
    assert files == ["set12-ann.json", "set12-if-layer.json"]
    kept = json.loads((tmp_path / "out" / "arms" / files[1]).read_text())
    assert kept["machine"]["processor"]
    assert len(kept["rows"]) == 9
