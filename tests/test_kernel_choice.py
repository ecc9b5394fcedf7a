"""Which kernels run a layer: what a user allows, what is chosen, and what the result says of it."""

from __future__ import annotations

import numpy as np
import pytest
from test_integer_kernels import network

from spikeunet.engine import InputError, simulate
from spikeunet.engine.binding import allowed_kernels, kernel_choice
from spikeunet.engine.kernels import dot

pytestmark = pytest.mark.timeout(900)  # kernels are compiled


@pytest.fixture(scope="module")
def picture():
    return (np.random.default_rng(4).integers(0, 65, (2, 12, 14)) / 32).astype(np.float32)


@pytest.mark.parametrize("kernels", ["gpu", "", (), ("events", "abacus"), 3.5, ("events", 1)])
def test_unknown_kernels_are_refused(kernels, picture):
    with pytest.raises(InputError, match="kernels can be auto, events, event-integers, integers, amx, vnni, portable"):
        simulate(network(), picture, 1, kernels=kernels)


@pytest.mark.parametrize("kind", ["amx", "vnni", "event-integers"])
def test_kernels_that_the_processor_does_not_have(kind, monkeypatch):
    monkeypatch.setattr(kernel_choice, "host_dots", lambda: ("portable",))
    monkeypatch.setattr(kernel_choice, "host_pairs", lambda: False)
    with pytest.raises(InputError, match=f"this processor has no kernels '{kind}'; it has events, portable"):
        allowed_kernels(("events", kind))


def test_what_is_allowed(monkeypatch):
    monkeypatch.setattr(kernel_choice, "host_dots", lambda: ("amx", "vnni", "portable"))
    monkeypatch.setattr(kernel_choice, "host_lanes", lambda: 16)
    monkeypatch.setattr(kernel_choice, "host_pairs", lambda: False)
    found = {name: sorted(allowed_kernels(name)) for name in kernel_choice.CHOICES}
    assert found == {
        "auto": ["amx", "event-integers", "events", "planes"],
        "events": ["events"],
        "event-integers": ["event-integers", "planes"],
        "integers": ["amx", "planes"],
        "amx": ["amx", "planes"],
        "vnni": ["planes", "vnni"],
        "portable": ["planes", "portable"],
    }
    assert allowed_kernels(("events", "vnni", "portable")).integers == "vnni"
    monkeypatch.setattr(kernel_choice, "host_dots", lambda: ("portable",))
    assert allowed_kernels("auto").integers is None
    assert kernel_choice.EVENT_INTEGERS not in allowed_kernels("auto")
    monkeypatch.setattr(kernel_choice, "host_pairs", lambda: True)
    assert sorted(allowed_kernels("auto")) == ["event-integers", "events", "planes"]
    assert allowed_kernels("integers").integers == "portable"


def test_the_result_says_what_each_layer_used(picture):
    """Whatever is allowed, the output is the same; a layer that cannot run so runs from event to event."""
    found = {kernels: simulate(network(), picture, 1, kernels=kernels) for kernels in ("events", "portable")}
    assert set(found["events"].kernels) == {"relu1", "relu2", "relu3", "relu4", "relu5", "relu6", "output"}
    assert found["events"].kernels == dict.fromkeys(found["events"].kernels, ("events",)) | {"relu1": ("picture",)}
    used = found["portable"].kernels
    assert {name for name, kernels in used.items() if kernels == ("portable",)} == {
        "relu2", "relu3", "relu4", "relu5", "output",
    }  # fmt: skip
    np.testing.assert_array_equal(found["events"].output, found["portable"].output)


def test_the_choice_follows_the_activity(picture, monkeypatch):
    """In batches, too: a dark picture's layers run from event to event, a bright one's in integers."""
    monkeypatch.setattr(kernel_choice, "SHARE_THAT_PAYS", {"portable": 0.01, "planes": 2.0})
    batch = np.stack([np.zeros_like(picture), picture])
    silent, bright, both = (simulate(network(), x, 1, kernels=("events", "portable")) for x in (*batch, batch))
    assert silent.kernels["relu2"] == ("events",)
    assert bright.kernels["relu2"] == ("portable",)
    assert both.kernels["relu2"] == ("events", "portable")


def test_the_choice_beside_events_in_integers(picture, monkeypatch):
    """Silent neurons are taken along from another share on."""
    if "event-integers" not in kernel_choice.host_kernels():
        pytest.skip("this processor has no such instructions")
    monkeypatch.setattr(kernel_choice, "SHARE_BESIDE_EVENT_INTEGERS", {"portable": 0.01})
    silent, bright = (
        simulate(network(), x, 1, kernels=("event-integers", "portable")) for x in (np.zeros_like(picture), picture)
    )
    assert silent.kernels["relu2"] == ("event-integers",)
    assert bright.kernels["relu2"] == ("portable",)


@pytest.mark.parametrize("options", [{"order": "time"}, {"tile": 3}, {"threads": 2}, {"record": ("readout",)}])
def test_every_way_to_run_says_it(options, picture):
    found = simulate(network(), picture, 3, kernels="portable", **options)
    assert found.kernels["relu2"] == ("portable",)
    assert found.kernels["relu1"] == ("picture",)


def test_portable_is_the_last_resort():
    assert dot.host_dots()[-1] == "portable"
