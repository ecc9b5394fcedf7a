"""Which dictionary of a checkpoint is taken, and that conversion and its command say so."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import unets
import weight_files as made

from spikeunet.converters import convert, read_state_dict
from spikeunet.engine import load_model
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import StateDictError


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""
    return functools.partial(made.read, tmp_path)


@pytest.fixture
def refused(tmp_path):
    """Writes a file, and gives the line in which it is refused."""
    return functools.partial(made.refused, tmp_path)


# --- Entries of checkpoints ------------------------------------------------------------------------------------------


def entries(*paths, more=()):
    """A checkpoint with a dictionary at each path of names, whose only array is its place in the list."""
    root: dict = {"epoch": 3, **dict(more)}
    for index, path in enumerate(paths):
        inner = root
        *before, last = path.split(".")
        for name in before:
            inner = inner.setdefault(name, {})
        inner[last] = {"w": made.tensor(str(index), np.zeros(1, np.float32))}
    storages = {str(index): np.float32([index]).tobytes() for index in range(len(paths))}
    return made.torch_zip(root, storages)


@pytest.mark.parametrize(
    "name",
    ["state_dict", "model_state_dict", "model", "net", "network", "params", "params_ema", "ema", "weights", "module"],
)
def test_the_entry_of_a_checkpoint_is_found_and_said(read, name):
    found = read(entries("optimizer_state_dict", "optim.model", "lr_scheduler", name))
    assert found.arrays == {"w": np.float32([3])}
    assert found.facts == {"entry": name}
    assert read(entries(f"checkpoint.{name}")).facts == {"entry": f"checkpoint.{name}"}


@pytest.mark.parametrize(
    ("paths", "taken"),
    [
        (["params", "params_ema"], 1),
        (["ema.params", "params"], 0),
        (["model", "net"], 0),
        (["discriminator", "model"], 1),
        (["generator"], 0),
        (["a.b.state_dict", "c"], 0),
    ],
)
def test_of_several_entries_the_likeliest_is_taken_and_the_others_are_named(read, paths, taken):
    found = read(entries(*paths))
    assert found.arrays == {"w": np.float32([taken])}
    others = [path for path in paths if path != paths[taken]]
    assert found.facts == {"entry": paths[taken], **({"other_entries": others} if others else {})}
    for index, path in enumerate(paths):
        assert read(entries(*paths), entry=path).arrays == {"w": np.float32([index])}


def test_an_entry_may_be_called_by_its_last_name(read, refused):
    assert read(entries("a.first", "a.second"), entry="second").arrays == {"w": np.float32([1])}
    message = refused(entries("a.net", "b.net"), entry="net")
    assert "has no single entry 'net' of weights; it has a.net, b.net" in message
    assert "has no single entry 'ema' of weights; it has model" in refused(entries("model"), entry="ema")
    content = made.saved({"w": np.ones(1)})
    assert "has no single entry 'ema' of weights; it holds its arrays without entries" in refused(content, entry="ema")


def test_an_entry_is_called_by_a_text(refused):
    assert "has entries by name (got int); pass a str" in refused(entries("model"), entry=3)
    assert "is an NPZ file and has no entries; leave 3 out" in refused(made.zip_of({"w.npy": b""}), "x.npz", entry=3)


def test_an_entry_that_cannot_be_told_is_asked_for(refused):
    message = refused(entries("generator", "critic"))
    assert message.endswith("holds several state dicts: generator, critic; say which (--entry NAME, entry=)")


def test_a_file_without_weights_says_what_it_holds(refused):
    assert "holds no weights but a dictionary of epoch; save model.state_dict()" in refused(entries())
    assert "holds no weights but an empty dictionary" in refused(made.torch_zip({}))
    assert "holds no weights but one tuple" in refused(made.torch_zip((1, 2)))
    scalars = {"acc": made.tensor("0", np.asarray(1.0)), "optimizer": {"w": made.tensor("0", np.ones(1))}}
    assert "holds no weights but a dictionary of acc, optimizer" in refused(made.torch_zip(scalars, {"0": bytes(8)}))


def test_scores_beside_an_entry_are_no_state_dict_and_other_values_within_are_left_out(read):
    state = {"w": made.tensor("0", np.ones(1)), "_extra": None, "version": 3}
    root = {"best": made.tensor("0", np.asarray(1.0)), "rng": made.tensor("1", np.ones(8, np.uint8)), "net": state}
    found = read(made.torch_zip(root, {"0": np.ones(1).tobytes(), "1": bytes(8)}))
    assert list(found.arrays) == ["w"]
    assert found.facts == {"entry": "net", "left_out": ["_extra", "version"]}


def test_arrays_of_the_file_itself_beside_an_entry_have_the_empty_name(read):
    root = {"w": made.tensor("0", np.ones(1)), "ema": {"w": made.tensor("1", np.zeros(1))}}
    content = made.torch_zip(root, {"0": np.ones(1).tobytes(), "1": np.zeros(1).tobytes()})
    found = read(content)
    assert (found.arrays, found.facts) == ({"w": np.zeros(1)}, {"entry": "ema", "other_entries": [""]})
    found = read(content, entry="")
    assert (found.arrays["w"], found.facts) == (np.ones(1), {"other_entries": ["ema"], "left_out": ["ema"]})


@pytest.mark.parametrize(
    "name",
    ["pytorch_lightning.callbacks.ModelCheckpoint", "omegaconf.dictconfig.DictConfig", "torch.optim.adam.Adam"],
)
def test_what_training_loops_put_beside_the_weights_is_dropped(read, refused, name):
    module, _, kind = name.rpartition(".")
    thing = made.named(module, kind) + b")\x81}" + made.text("lr") + b"K\x01sb" + made.text("x") + b"K\x01s"
    state = {"w": made.tensor("0", np.ones(1))}
    content = made.torch_zip(
        {"callbacks": {made.named(module, kind): thing}, "state_dict": state}, {"0": np.ones(1).tobytes()}
    )
    assert read(content).arrays == {"w": np.ones(1)}
    assert f"holds no weights but one {name}" in refused(made.torch_zip(thing))
    assert "names 'torch.optimize.x', which is no part" in refused(made.torch_zip(made.named("torch.optimize", "x")))


def test_only_the_storages_that_are_wanted_are_read(read):
    root = {"net": {"w": made.tensor("0", np.ones(1))}, "other": {"w": made.tensor("gone", np.ones(1))}}
    assert read(made.torch_zip(root, {"0": np.ones(1).tobytes()})).arrays == {"w": np.ones(1)}


# --- Conversion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_conversion_takes_prefixes_and_entries_of_pytorch_files(tmp_path, legacy):
    state = unets.random_state()
    path = tmp_path / "ann.pth"
    path.write_bytes(made.saved({f"module.{key}": array for key, array in state.items()}, legacy, "params"))
    found = convert(path, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])
    assert found.metadata["conversion"]["entry"] == "params"
    assert found.metadata["conversion"]["prefixes"] == ["module."]
    assert next(iter(read_state_dict(path, entry="params"))) == "module.conv1.weight"
    with pytest.raises(StateDictError, match="has no single entry 'ema'"):
        convert(path, normalization="none", entry="ema")


def test_conversion_takes_entries_of_mappings(tmp_path):
    state = unets.random_state()
    nested = {"epoch": 3, "params": state, "params_ema": {key: array * 2 for key, array in state.items()}}
    found = convert(nested, normalization="none")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"] * 2)
    facts = found.metadata["conversion"]
    assert (facts["entry"], facts["other_entries"]) == ("params_ema", ["params"])
    found = convert(nested, normalization="none", entry="params")
    np.testing.assert_array_equal(found["conv5"].weight, state["conv5.weight"])
    with pytest.raises(StateDictError, match="the state dict has no single entry 'x'"):
        convert(nested, normalization="none", entry="x")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs convert in a folder and gives its status, its lines by their first word, and what it says of errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["convert", *arguments, "-o", "model.npz", "--normalization", "none"])
        printed = capsys.readouterr()
        lines = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in printed.out.splitlines() if line.strip())
        return ended.value.code or 0, {line[0]: line[-1] for line in lines}, printed.err

    return command


def test_the_command_says_which_entry_it_took_and_how_to_take_another(command, tmp_path):
    state = unets.random_state()
    keys = {name: str(index) for index, name in enumerate(state)}
    tensors = {name: made.tensor(keys[name], array) for name, array in state.items()}
    root = {"params": tensors, "params_ema": {**tensors, "step": 5}, "optimizer": {"state": {}}}
    (tmp_path / "ann.pth").write_bytes(
        made.torch_zip(root, {keys[name]: array.tobytes() for name, array in state.items()})
    )
    status, lines, _ = command("ann.pth")
    assert status == 0
    assert lines["entry"] == "params_ema; also there: params (--entry)"
    assert lines["left out"] == "no arrays: step"
    assert load_model(tmp_path / "model.npz").metadata["conversion"]["entry"] == "params_ema"
    status, lines, _ = command("ann.pth", "--entry", "params")
    assert status == 0
    assert lines["entry"] == "params; also there: params_ema (--entry)"
    status, _, errors = command("ann.pth", "--entry", "net")
    assert status == 2
    assert errors == "spikeunet: error: ann.pth: has no single entry 'net' of weights; it has params, params_ema\n"
