"""A small network, its model file, and ways to spoil the file."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output
from spikeunet.engine.errors import ModelFileError
from spikeunet.engine.files.model_file import read_model

METADATA = {"task": "denoise", "sigma": [5, 50], "psnr": {"set12": 30.25}, "note": "größer", "none": None, "yes": True}


def small_network(model=None):
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((3, 2, 3, 1)).astype(np.float32)
    nodes = [
        Input("input", 2),
        Conv2d("conv1", "input", weight, np.float32([0.1, -0.0, 3e-40]), stride=(2, 1), padding=(1, 0)),
        Neurons("relu1", "conv1", model or MultiThreshold((2.0, 1.0, 0.3), initial=0.1)),
        Conv2d("conv2", "relu1", generator.standard_normal((1, 3, 1, 1)).astype(np.float32)),
        Output("output", "conv2"),
    ]
    return Network(nodes, METADATA, {"relu1": 1 / 3})


def assert_same_network(found, expected):
    assert len(found.nodes) == len(expected.nodes)
    for one, other in zip(found.nodes, expected.nodes, strict=True):
        assert type(one) is type(other)
        for name, value in ((each.name, getattr(other, each.name)) for each in fields(other)):
            if isinstance(value, np.ndarray):
                assert getattr(one, name).dtype == value.dtype
                assert getattr(one, name).tobytes() == value.tobytes()
            else:
                assert getattr(one, name) == value
    assert found.metadata == expected.metadata
    assert found.normalization == expected.normalization


def file_arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def text_array(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return np.frombuffer(text.encode(), np.uint8)


def write_changed(path, changes, drop=()):
    """The file with some arrays exchanged or left out."""
    arrays = {key: array for key, array in (file_arrays(path) | changes).items() if key not in drop}
    np.savez(path, **arrays)


def changed_topology(path, change):
    topology = json.loads(file_arrays(path)["topology"].tobytes())
    change(topology)
    write_changed(path, {"topology": text_array(topology)})


def assert_refused(path, match):
    with pytest.raises(ModelFileError, match=match) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
