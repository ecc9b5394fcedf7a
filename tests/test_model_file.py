"""Model files: exact round trips, and a clear refusal for every kind of broken file."""

from __future__ import annotations

import numpy as np
import pytest
import unets
from hypothesis import given
from model_files import (
    assert_refused,
    assert_same_network,
    changed_topology,
    file_arrays,
    small_network,
    text_array,
    write_changed,
)

from spikeunet.converters import convert
from spikeunet.engine import (
    Add,
    BurstNeuron,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Output,
    RefractoryLeakyIntegrateAndFire,
)
from spikeunet.engine.errors import InputError, ModelFileError
from spikeunet.engine.files.model_file import FORMAT_VERSION, read_model, save_model
from spikeunet.engine.models import list_models, load_model
from spikeunet.engine.testing.strategies import cases


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.npz"
    save_model(small_network(), path)
    return path


# --- Round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        MultiThreshold((1.0, 0.5), initial=0.03125, strict=False),
        IntegrateAndFire(0.7, reset="zero", initial=-0.1, strict=True),
        LeakyIntegrateAndFire(1.5, decay=0.1, reset="subtract"),
        BurstNeuron(0.7, gamma=9, initial=0.1),
        RefractoryLeakyIntegrateAndFire(0.3, decay=0.1, period=7, reset="subtract"),
    ],
)
def test_round_trip_is_exact(tmp_path, model):
    save_model(small_network(model), tmp_path / "model.npz")
    assert_same_network(read_model(tmp_path / "model.npz"), small_network(model))


@given(case=cases(dyadic=False))
def test_random_networks_survive(tmp_path_factory, case):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save_model(case.network, path)
    assert_same_network(read_model(path), case.network)


def test_half_precision_rounds_the_weights_and_halves_the_file(tmp_path):
    network = convert(unets.random_state(width=4), normalization="none")
    save_model(network, tmp_path / "full.npz")
    save_model(network, tmp_path / "half.npz", dtype="float16")
    assert (tmp_path / "half.npz").stat().st_size < 0.6 * (tmp_path / "full.npz").stat().st_size
    found = read_model(tmp_path / "half.npz")
    assert found["conv5"].weight.dtype == np.float32
    np.testing.assert_array_equal(found["conv5"].weight, network["conv5"].weight.astype(np.float16))


def test_half_precision_is_taken_where_it_loses_nothing(tmp_path):
    halves = np.float32([[1 + 2**-10, -0.0], [65504.0, 2**-14]])
    rest = np.float32([[1 + 2**-11, 2**-3], [65536.0, 0.1]])
    nodes = [Linear("half", "input", halves, rest[0]), Linear("full", "input", rest), Add("sum", ("half", "full"))]
    network = Network([Input("input", 2), *nodes, Output("output", "sum")])
    save_model(network, tmp_path / "model.npz", dtype="exact")
    kinds = {key: array.dtype for key, array in file_arrays(tmp_path / "model.npz").items() if "/" in key}
    assert kinds["weights/half.weight"] == kinds["weights/full.bias"] == np.float16
    assert kinds["weights/full.weight"] == kinds["weights/half.bias"] == np.float32
    found = read_model(tmp_path / "model.npz")
    for name in ("half", "full"):
        for array in ("weight", "bias"):
            assert getattr(found[name], array).tobytes() == getattr(network[name], array).tobytes()


def test_saving_twice_gives_the_same_bytes(tmp_path, saved):
    save_model(read_model(saved), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_a_compressed_file_is_read(saved):
    arrays = file_arrays(saved)
    np.savez_compressed(saved, **arrays)
    assert_same_network(read_model(saved), small_network())


# --- Refused on saving -----------------------------------------------------------------------------------------------


def with_weight(value):
    nodes = [Input("input"), Linear("linear", "input", np.full((1, 1), value, np.float32)), Output("output", "linear")]
    return Network(nodes)


def test_weights_beyond_half_precision_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"weights/linear.weight has values beyond float16's range"):
        save_model(with_weight(65520.0), tmp_path / "model.npz", dtype="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": float("nan")}])
def test_metadata_without_a_json_form_is_refused(tmp_path, metadata):
    with pytest.raises(InputError, match="metadata must consist of JSON values"):
        save_model(small_network().replace(metadata=metadata), tmp_path / "model.npz")


def test_an_unknown_dtype_is_refused(tmp_path):
    with pytest.raises(InputError, match="dtype must be 'float32', 'float16' or 'exact'"):
        save_model(small_network(), tmp_path / "model.npz", dtype="float64")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        save_model(small_network(), tmp_path / "nowhere" / "model.npz")


def test_types_without_a_format_are_refused(tmp_path):
    class OtherModel(MultiThreshold):
        pass

    class OtherInput(Input):
        pass

    with pytest.raises(ModelFileError, match="no file format for the neuron model"):
        save_model(small_network(OtherModel()), tmp_path / "model.npz")
    nodes = [OtherInput("input", 2), *small_network().nodes[1:]]
    with pytest.raises(ModelFileError, match="no file format for OtherInput 'input'"):
        save_model(Network(nodes), tmp_path / "model.npz")


def test_an_interrupted_save_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(InputError, match="No space left"):
        save_model(small_network(), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


# --- Refused on loading ----------------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert_refused(tmp_path / "none.npz", "no such file")
    assert_refused(tmp_path, "is not a file")


@pytest.mark.parametrize("key", ["topology", "metadata", "normalization"])
def test_missing_texts_are_refused(saved, key):
    write_changed(saved, {}, drop=[key])
    assert_refused(saved, f"missing arrays: {key}")


def test_a_state_dict_is_refused(saved):
    np.savez(saved, **unets.random_state())
    assert_refused(saved, "is not a model file .* converted with `convert`")


def test_missing_and_unexpected_weights_are_all_listed(saved):
    more = {"weights/conv9.weight": np.zeros(1, np.float32), "extra": np.zeros(1)}
    write_changed(saved, more, drop=["weights/conv1.bias", "weights/conv2.weight"])
    assert_refused(
        saved,
        r"missing arrays: weights/conv1.bias, weights/conv2.weight; unexpected arrays: extra, weights/conv9.weight",
    )


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 10**9])
def test_newer_versions_are_refused(saved, version):
    write_changed(saved, {"format_version": np.asarray(version)}, drop=["weights/conv1.bias"])
    assert_refused(saved, f"is in format {version}, newer than {FORMAT_VERSION}.*upgrade spikeunet")


@pytest.mark.parametrize("version", [np.asarray(0), np.asarray(1.0), np.ones(1, int), np.asarray("1")])
def test_odd_versions_are_refused(saved, version):
    write_changed(saved, {"format_version": version})
    assert_refused(saved, "format_version must be a positive integer")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(saved, value):
    weight = file_arrays(saved)["weights/conv1.weight"].copy()
    weight.flat[3] = value
    write_changed(saved, {"weights/conv1.weight": weight})
    assert_refused(saved, "Conv2d 'conv1': weight has values that are NaN or infinite")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2, 3, 1)), "weight of 'conv1' must be float32, float16 or int8 .got float64"),
        (np.zeros((3, 2, 3, 1), np.int8), "missing arrays: weights/conv1.exponents"),
        (np.zeros((3, 2, 3, 1), np.uint8), "weight of 'conv1' must be float32, float16 or int8 .got uint8"),
        (np.zeros((3, 2, 3), np.float32), "4-dimensional"),
        (np.zeros((0, 2, 3, 1), np.float32), "non-empty"),
        (np.zeros((3, 5, 3, 1), np.float32), "'conv1': weight takes 5 channels, but the source puts out 2"),
        (np.zeros((4, 2, 3, 1), np.float32), "bias must have 4 values"),
    ],
)
def test_unfit_weights_are_refused(saved, array, message):
    write_changed(saved, {"weights/conv1.weight": array, "format_version": np.asarray(2)})
    assert_refused(saved, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "topology is broken JSON"),
        ("[NaN]", "NaN is no JSON"),
        ("[" * 100_000, "topology is broken JSON"),
        ("1" * 5000, "topology is broken JSON"),
        ("{}", "topology must be a list of nodes"),
        ("[]", "topology must be a list of nodes"),
        ("[3]", "a node must be an object with a type"),
        ('[{"type": ["Input"]}]', "a node must be an object with a type"),
        ('[{"type": "Lambda"}]', "unknown node 'Lambda'; known are Input"),
        ('[{"type": "Input"}]', "Input must have the fields name, channels"),
        ('[{"type": "Input", "name": "i", "channels": true}]', "Input.channels: expected an integer"),
        ('[{"type": "Input", "name": "a\\nb", "channels": 1}]', "Input.name: expected a printable name"),
    ],
)
def test_broken_topologies_are_refused(saved, text, message):
    write_changed(saved, {"topology": text_array(text)})
    assert_refused(saved, message)


def _set(index, **fields):
    return lambda nodes: nodes[index].update(fields)


def _set_model(**fields):
    return lambda nodes: nodes[2]["model"].update(fields)


def _replace_model(**fields):
    return lambda nodes: nodes[2].update(model=fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(0, channels=0), "channels must be an integer of at least 1"),
        (_set(1, stride=[0, 1]), "stride must be an integer of at least 1"),
        (_set(1, stride=[1]), "Conv2d.stride: expected a list of 2"),
        (_set(1, padding=[-1, 0]), "Conv2d.padding: expected an integer"),
        (_set(1, padding=[10**30, 0]), "Conv2d.padding: expected an integer"),
        (_set(1, groups=2), "groups"),
        (_set(1, source="nobody"), "'conv1' reads 'nobody', which is not a node"),
        (_set(1, name="conv2"), "unexpected arrays"),
        (_set(1, more=1), "Conv2d must have the fields"),
        (_set(3, source="conv1"), "a Conv2d; it can read"),
        (_set(2, model="MultiThreshold"), "Neurons.model: a neuron model must be an object"),
        (_set_model(type="os.system"), "unknown neuron model 'os.system'"),
        (_set_model(thresholds=[1, 2]), "strictly descending"),
        (_set_model(thresholds=[1e39]), "MultiThreshold.thresholds: expected a finite number"),
        (_set_model(thresholds=10**400), "expected a list"),
        (_set_model(initial=10**400), "MultiThreshold.initial: expected a finite number"),
        (_set_model(strict=1), "MultiThreshold.strict: expected true or false"),
        (_replace_model(type="BurstNeuron", threshold=1.0, gamma=5), "BurstNeuron must have the fields thresh"),
        (_replace_model(type="BurstNeuron", threshold=True, gamma=5, initial=0.0), "expected a finite number"),
        (_replace_model(type="BurstNeuron", threshold=1.0, gamma=5.0, initial=0.0), "expected a whole number"),
        (_replace_model(type="BurstNeuron", threshold=1.0, gamma=True, initial=0.0), "expected a finite number"),
        (_replace_model(type="BurstNeuron", threshold=1.0, gamma=256, initial=0.0), "whole number from 1 to 255"),
        (_replace_model(type="BurstNeuron", threshold=[1], gamma=1, initial=0.0), "expected a finite number"),
        (_replace_model(type="BurstNeuron", threshold=10**400, gamma=1, initial=0.0), "expected a finite number"),
        (_replace_model(type="BurstNeuron", threshold=1e38, gamma=255, initial=0.0), "finite float32 number"),
        (lambda nodes: nodes.pop(), "at least one Output"),
        (lambda nodes: nodes.append(nodes[0]), "two nodes are called 'input'"),
    ],
)
def test_invalid_nodes_are_refused(saved, change, message):
    changed_topology(saved, change)
    assert_refused(saved, message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("metadata", [], "metadata must be a JSON object"),
        ("normalization", 3, "normalization must be a JSON object"),
        ("normalization", {"relu1": 0}, "normalization of 'relu1' must be a positive finite number"),
        ("normalization", '{"relu1": 1e999}', "normalization is broken JSON .inf is no finite number"),
        ("normalization", {"relu1": 10**400}, "must be a positive finite number"),
        ("normalization", {"relu1": "1"}, "must be a positive finite number"),
        ("normalization", {"conv1": 1}, "normalization names no neuron layer: conv1"),
    ],
)
def test_broken_facts_are_refused(saved, key, value, message):
    write_changed(saved, {key: text_array(value)})
    assert_refused(saved, message)


def test_texts_of_another_type_are_refused(saved):
    write_changed(saved, {"metadata": np.asarray("{}")})
    assert_refused(saved, "metadata must be at most .* bytes of JSON")


# --- Models by name --------------------------------------------------------------------------------------------------


def test_models_load_by_path(saved):
    assert_same_network(load_model(saved), small_network())
    assert_same_network(load_model(str(saved)), small_network())


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ModelFileError, match="no model is called 'denoise-purple'; there are"):
        load_model("denoise-purple")
    with pytest.raises(ModelFileError, match="by name or path"):
        load_model(3)


def test_a_shipped_model_is_found_by_name(saved, monkeypatch):
    from spikeunet.engine import models

    monkeypatch.setattr(models.resources, "files", lambda package: saved.parent)
    monkeypatch.setattr(models, "model_folders", tuple)
    assert list_models() == ("model",)
    assert_same_network(load_model("model"), small_network())
