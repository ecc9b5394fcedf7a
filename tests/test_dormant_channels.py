"""Channels that have fallen silent begin anew, or are left out (examples/dormant_channels.py, resized_channels.py)."""

from __future__ import annotations

import argparse
import copy
import warnings

import numpy as np
import pytest
from example_modules import example_modules

pytest.importorskip("imageio", reason="imageio is not installed (extra train)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

NAMES = (
    "denoising_unet",
    "dormant_channels",
    "muon",
    "resized_channels",
    "spiking_unet",
    "starting_weights",
    "training_loop",
)
DORMANT = [0, 5]


@pytest.fixture(scope="module")
def scripts():
    with example_modules(*NAMES) as modules:
        yield modules


@pytest.fixture
def network(scripts):
    """A small U-Net whose channels all take part."""
    torch.manual_seed(0)
    network = scripts.denoising_unet.DenoisingUNet(1, (8, 8), (2, 1), (2,))
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3 if name.endswith("weight") else 0.01)
    return network


def silence(network):
    """Push two channels of every hidden layer out of reach, as a rate that is too high does."""
    with torch.no_grad():
        for layer, _ in network.hidden():
            layer.bias[DORMANT] = -1e3


def trained(scripts, network, pictures):
    """An optimiser that knows something of every weight."""
    optimizer = scripts.muon.Muon(network, 0.0)
    network(pictures).square().sum().backward()
    optimizer.step()
    for kept in optimizer.state.values():
        for value in kept.values():
            value.fill_(1.0)
    return optimizer


def shares_above_zero(scripts, network, pictures):
    layers = [layer for layer, _ in network.hidden()]
    found = [scripts.dormant_channels.output_of(network, layer, pictures) for layer in layers]
    return [(values > 0).float().mean((0, 2, 3)) for values in found]


def test_dormant_channels_begin_anew_and_the_network_puts_out_what_it_did(scripts, network):
    pictures = torch.rand(4, 1, 32, 32)
    silence(network)
    average, optimizer = copy.deepcopy(network), trained(scripts, network, pictures)
    expected, layers = network(pictures), [layer for layer, _ in network.hidden()]
    assert all((shares[DORMANT] == 0).all() for shares in shares_above_zero(scripts, network, pictures))
    assert scripts.dormant_channels.wake(network, average, optimizer, pictures) >= len(DORMANT) * len(layers)
    torch.testing.assert_close(network(pictures), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(average(pictures), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(average.state_dict(), network.state_dict(), rtol=0, atol=0)  # they began alike
    for shares in shares_above_zero(scripts, network, pictures):
        assert ((shares[DORMANT] > 0.2) & (shares[DORMANT] < 0.8)).all(), shares
    assert scripts.dormant_channels.wake(network, average, optimizer, pictures) == 0


def test_what_reads_a_fresh_channel_ignores_it_and_can_learn_it(scripts, network):
    pictures = torch.rand(4, 1, 32, 32)
    silence(network)
    optimizer = trained(scripts, network, pictures)
    scripts.dormant_channels.wake(network, copy.deepcopy(network), optimizer, pictures)
    # Eight channels of the skip come first, then those from below: a decoder's first layer reads both.
    read = network.decoder[0][0].weight.transpose(0, 1)
    alive = [channel for channel in range(8) if channel not in DORMANT]
    for first in (0, 8):
        assert read[first : first + 8][DORMANT][:, alive].abs().max() == 0
        assert read[first : first + 8][alive].abs().min() > 0
    assert network.readout.weight[DORMANT].abs().max() == 0  # a transposed convolution, whose first axis it reads
    network.zero_grad()
    network(pictures).square().sum().backward()
    assert network.readout.weight.grad[DORMANT].abs().max() > 0


def test_the_optimiser_forgets_what_it_knew_of_them(scripts, network):
    pictures = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        network.up[0].bias[DORMANT] = -1e3
    optimizer = trained(scripts, network, pictures)
    scripts.dormant_channels.wake(network, copy.deepcopy(network), optimizer, pictures)
    kept = optimizer.state[network.up[0].weight]["momentum"].transpose(0, 1)  # by channel that it writes
    read = optimizer.state[network.decoder[0][0].weight]["momentum"].transpose(0, 1)[8:]
    biases = optimizer.state[network.up[0].bias]
    others = [channel for channel in range(8) if channel not in DORMANT]
    for values in (kept, read, biases["mean"], biases["square"]):
        assert values[DORMANT].abs().max() == 0
        assert values[others].abs().min() == 1


def test_a_network_without_dormant_channels_stays_as_it_is(scripts, network):
    pictures = torch.rand(4, 1, 32, 32)
    before = copy.deepcopy(network.state_dict())
    optimizer = trained(scripts, network, pictures)
    assert all(shares.min() > 0.01 for shares in shares_above_zero(scripts, network, pictures))
    assert scripts.dormant_channels.wake(network, copy.deepcopy(network), optimizer, pictures) == 0
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_both_parts_of_a_colour_network_wake(scripts, monkeypatch):
    unet, pictures = scripts.denoising_unet, torch.rand(2, 3, 32, 32)
    monkeypatch.setitem(unet.SIZES, "standard", {"widths": (8, 8), "encoder": (1, 1), "decoder": (1,)})
    monkeypatch.setitem(unet.SIZES, "tiny", {"widths": (4, 4), "encoder": (1, 1), "decoder": (1,)})
    network = unet.ColourDenoisingUNet(bypass=True)
    silence(network)
    expected, layers = network(pictures), [layer for layer, _ in network.hidden()]
    assert len(layers) == 2 * 6
    optimizer = trained(scripts, network, pictures)
    assert scripts.dormant_channels.wake(network, copy.deepcopy(network), optimizer, pictures) >= 2 * len(layers)
    torch.testing.assert_close(network(pictures), expected, rtol=1e-4, atol=1e-4)
    assert all((shares[DORMANT] > 0).all() for shares in shares_above_zero(scripts, network, pictures))


@pytest.mark.parametrize("wakes", [True, False])
def test_a_run_wakes_channels_as_long_as_they_have_time_to_learn(scripts, network, tmp_path, capsys, wakes):
    loop, pictures = scripts.training_loop, torch.rand(4, 1, 32, 32)
    options = argparse.Namespace(
        out=tmp_path / "out.npz",
        minutes=1.0,
        iterations=5,
        rate=0.0,
        optimizer="muon",
        bias_share=1.0,
        report=1,
        seed=0,
    )
    lesson = loop.Lesson(lambda _: (pictures, pictures), torch.nn.functional.mse_loss, lambda _: "", wakes)
    loop.Trainer(network, lesson, options).run()
    assert capsys.readouterr().out.count("begun anew") == (4 if wakes else 0)  # before the run and at 0, 0.2 and 0.4


@pytest.mark.parametrize("widths", [(10, 8), (8, 12), (6, 6), (6, 9), (9, 6)])
def test_a_network_begins_as_one_of_other_widths(scripts, network, widths):
    """Nothing is lost where only dormant channels are left out; those on top are dormant and can be woken."""
    pictures = torch.rand(4, 1, 32, 32)
    silence(network)
    expected = network(pictures)
    resized = scripts.denoising_unet.DenoisingUNet(1, widths, (2, 1), (2,))
    scripts.resized_channels.resize(resized, network, pictures)
    torch.testing.assert_close(resized(pictures), expected, rtol=1e-4, atol=1e-4)
    fresh = sum(len(layer.bias) for layer, _ in resized.hidden()) - 6 * len(resized.hidden())
    optimizer = trained(scripts, resized, pictures)
    assert scripts.dormant_channels.wake(resized, copy.deepcopy(resized), optimizer, pictures) >= fresh
    torch.testing.assert_close(resized(pictures), expected, rtol=1e-4, atol=1e-4)
    assert all((shares > 0).all() for shares in shares_above_zero(scripts, resized, pictures))


def test_a_narrower_network_keeps_what_tells_most(scripts, network):
    pictures = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        for reader, first in network.hidden()[1][1]:  # of channels 2 and 3 little is read
            scripts.dormant_channels.by_channel(reader, reader.weight, 1)[first + 2 : first + 4] *= 1e-6
    narrow = scripts.denoising_unet.DenoisingUNet(1, (6, 8), (2, 1), (2,))
    scripts.resized_channels.resize(narrow, network, pictures)
    torch.testing.assert_close(narrow.encoder[0][0].bias, network.encoder[0][0].bias[[0, 1, 4, 5, 6, 7]])


def test_networks_of_other_layers_are_refused(scripts, network):
    other = scripts.denoising_unet.DenoisingUNet(1, (8, 8), (2, 2), (2,))
    with pytest.raises(ValueError, match=r"alone has encoder\.1\.1$"):
        scripts.resized_channels.resize(other, network, torch.rand(1, 1, 32, 32))


def test_weights_of_a_file_are_of_other_widths(scripts, network, monkeypatch, tmp_path):
    """Of one channel for a network of three, too; a wider one must be told to wake what is new."""
    unet, pictures = scripts.denoising_unet, torch.rand(4, 3, 32, 32)
    state = tmp_path / "state.npz"
    np.savez(state, **{name: value.numpy() for name, value in network.state_dict().items()})
    options = argparse.Namespace(start=state, chrominance=None, wake=True, size="small")
    monkeypatch.setitem(unet.SIZES, "small", {"widths": (9, 8), "encoder": (2, 1), "decoder": (2,)})
    monkeypatch.setattr(unet, "MIXTURE_SPREAD", 0.0)
    begun = unet.DenoisingUNet(3, **unet.SIZES["small"])
    scripts.starting_weights.begin(begun, options, pictures)
    expected = network(pictures.mean(1, keepdim=True)).expand(-1, 3, -1, -1)
    torch.testing.assert_close(begun(pictures), expected, rtol=1e-4, atol=1e-4)
    options.wake = False
    with pytest.raises(SystemExit, match=r"state.npz: has 8, 8 channels and this network 9, 8; give --wake"):
        scripts.starting_weights.begin(begun, options, pictures)
    narrow = unet.DenoisingUNet(3, (8, 6), (2, 1), (2,))
    scripts.starting_weights.begin(narrow, options, pictures)
    assert narrow.down[0].weight.shape == (6, 8, 2, 2)
    for widths, counts in (((8,), ((2,), ())), ((9, 8), ((2, 2), (2,)))):
        options.wake = True
        with pytest.raises(SystemExit, match="not of this network"):
            scripts.starting_weights.begin(unet.DenoisingUNet(1, widths, *counts), options, pictures)
