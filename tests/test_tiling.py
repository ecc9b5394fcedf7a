"""A picture tile by tile: the same spikes, output and counts as in one piece, and little memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from click.testing import CliRunner
from golden_network import GOLDEN_MODELS, golden_network, read_golden
from hypothesis import given
from hypothesis import strategies as st
from kernels_used import goes_beside_events
from small_denoiser import small_denoiser

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    denoise,
    load_model,
    read_picture,
    save_model,
    simulate,
    write_picture,
)
from spikeunet.engine.binding import build_program
from spikeunet.engine.binding.layer import NOTHING_READ
from spikeunet.engine.command_line import main
from spikeunet.engine.errors import InputError
from spikeunet.engine.simulation.tiles import tile_size, tiling
from spikeunet.engine.simulation.tiles.tile_schedule import TileSchedule
from spikeunet.engine.simulation.tiles.tile_size import choose_tile, needed_bytes, peak_bytes
from spikeunet.engine.testing import strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_operations

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more

TILES = st.integers(1, 9)
THREADS = st.sampled_from((1, 2, 3))


def check(case, tile, threads=1):
    """Assert that tiles change nothing; also without layers in integers, where there are any."""
    check_tiles(case, whole(case), tile, threads)


def whole(case):
    """The case in one piece."""
    return simulate(case.network, case.picture, case.steps, record=RECORDS, tile=10**6)


def check_tiles(case, expected, tile, threads=1):
    found = simulate(case.network, case.picture, case.steps, record=RECORDS, tile=tile, threads=threads)
    assert_same(found, expected)
    if goes_beside_events(found):
        options = {"record": RECORDS, "tile": tile, "threads": threads, "kernels": "events"}
        assert_same(simulate(case.network, case.picture, case.steps, **options), expected)


def values(seed=0):
    """Dyadic numbers, some of them zero: weights of zero are counted apart."""
    return strategies.Numbers(np.random.default_rng(seed), dyadic=True, density=0.7)


def noise(seed=0, shape=(1, 34, 54)):
    """Numbers whose sums round, so that an order of additions that depends on tiles would be seen."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def unet(depth=2, channels=4):
    """A U-Net with average pools, transposed convolutions of kernel 3 and skips; weights whose sums round."""
    random = np.random.default_rng(1)

    def weight(*shape):
        return (random.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes, source, width, skips = [Input("input")], "input", 1, []

    def add(name, node):
        nodes.extend([node, Neurons(f"fired_{name}", name, MultiThreshold((0.5, 0.25, 0.125), initial=0.0625))])
        return f"fired_{name}"

    for level in range(depth):
        out = channels << level
        source = add(f"down{level}", Conv2d(f"down{level}", source, weight(out, width, 3, 3), padding=1))
        skips.append((source, out))
        source, width = add(f"pool{level}", AvgPool2d(f"pool{level}", source)), out
    for level in reversed(range(depth)):
        skip, out = skips.pop()
        up = ConvTranspose2d(f"up{level}", source, weight(width, out, 3, 3), None, 2, 1, 1)
        nodes.append(Concat(f"concat{level}", (skip, add(f"up{level}", up))))
        source = add(f"level{level}", Conv2d(f"level{level}", f"concat{level}", weight(out, 2 * out, 3, 3), padding=1))
        width = out
    return Network([*nodes, Conv2d("last", source, weight(1, width, 3, 3), padding=1), Output("output", "last")])


@pytest.fixture(scope="module")
def rounding():
    """A case and what it is in one piece."""
    case = strategies.Case(unet(), noise(shape=(1, 48, 20)), 3)
    return case, whole(case)


# --- Equal to one piece ----------------------------------------------------------------------------------------------


@given(strategies.cases(delays=False), TILES, THREADS)
def test_random_networks(case, tile, threads):
    check(case, tile, threads)


@pytest.mark.parametrize("kind", strategies.SYNAPSES)
@given(data=st.data())
def test_each_kind_of_synapse(kind, data):
    check(data.draw(strategies.cases(kinds=(kind,), most_layers=3)), data.draw(TILES))


@pytest.mark.parametrize(
    ("tile", "threads"),
    list(zip([1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 31, 32, 36, 47], itertools.cycle([2, 1, 1, 2]))),
)
def test_unet_whose_sums_round(tile, threads, rounding):
    check_tiles(*rounding, tile, threads)


@pytest.mark.parametrize("steps", [1, 2, 5, 9, 17])
def test_numbers_of_steps(steps):
    check(strategies.Case(unet(), noise(shape=(1, 20, 12)), steps), 6)


@pytest.mark.parametrize("size", [(4, 4), (4, 300), (300, 4), (8, 4), (64, 132)])
def test_picture_sizes(size):
    check(strategies.Case(unet(), noise(shape=(1, *size)), 2), 5, threads=2)


@pytest.mark.parametrize(("name", "tile"), list(zip(GOLDEN_MODELS, [16, 7, 1], strict=True)))
def test_golden_vectors(golden_folder, name, tile):
    golden = read_golden(golden_folder, name)
    network = golden_network(golden.weights, GOLDEN_MODELS[name])
    result = simulate(network, golden.picture, golden.steps, record=("spikes", "readout"), tile=tile)
    for layer, spikes in golden.records["spikes"].items():
        np.testing.assert_array_equal(result.spikes[layer], spikes, layer)
    np.testing.assert_array_equal(result.readout, golden.readout, strict=True)


def test_batches():
    batch = noise(shape=(3, 1, 20, 12))
    expected = simulate(unet(), batch, 3, record=RECORDS, tile=20)
    assert_same(simulate(unet(), batch, 3, record=RECORDS, tile=5), expected)


def test_rows_that_read_padding_alone():
    """Taps so far apart, and padding so wide, that some output rows see no input row; odd strides leave rows out."""
    nodes = [
        Input("input"),
        Conv2d("first", "input", values().weight(3, 1, 2, 2), values().bias(3), stride=(3, 2), padding=(4, 1)),
        Neurons("fired", "first", IntegrateAndFire()),
        Conv2d("second", "fired", values().weight(3, 3, 1, 1), values().bias(3), padding=(5, 0)),
        Neurons("again", "second", MultiThreshold()),
        ConvTranspose2d("up", "again", values().weight(3, 2, 2, 2), stride=(5, 1), output_padding=(4, 0)),
        Neurons("spread", "up", MultiThreshold()),
        AvgPool2d("pool", "spread", 2, stride=(3, 1), padding=1),
        Output("output", "pool"),
    ]
    for tile in range(1, 12):
        check(strategies.Case(Network(nodes), values().draw((1, 11, 6), 0, 1), 3), tile)


def test_one_node_that_feeds_neurons_and_readout():
    """The engine runs it twice and counts it once."""
    nodes = [
        Input("input"),
        Conv2d("first", "input", values().weight(3, 1, 3, 3), padding=1),
        Neurons("fired", "first"),
        Conv2d("second", "fired", values().weight(2, 3, 3, 3), padding=1),
        Neurons("unread", "second"),
        Output("output", "second"),
    ]
    check(strategies.Case(Network(nodes), values().draw((1, 9, 5), 0, 1), 3), 2)


def test_full_connection_waits_for_all_rows():
    nodes = [
        Input("input"),
        Conv2d("conv", "input", values().weight(2, 1, 3, 3), padding=1),
        Neurons("fired", "conv"),
        Linear("linear", "fired", values().weight(4, 2 * 9 * 5)),
        Output("output", "linear"),
    ]
    check(strategies.Case(Network(nodes), values().draw((1, 9, 5), 0, 1), 3), 2)


# --- Schedule and memory ---------------------------------------------------------------------------------------------


@given(strategies.cases(delays=False), TILES)
def test_every_row_is_computed_once_and_after_what_it_reads(case, tile):
    program = build_program(case.network, case.picture.shape)
    done = {layer.name: 0 for layer in program.layers}
    dropped = dict.fromkeys(done, 0)
    for step in TileSchedule(program, case.picture.shape[1], tile):
        layer = step.layer
        assert done[layer.name] == step.rows[0] < step.rows[1] <= layer.outgoing[1]
        for part, window in zip(layer.parts, step.windows, strict=True):
            assert window == part.input_rows(*step.rows)
            for source in part.spiking:
                if window != NOTHING_READ:
                    assert dropped[source.name] <= window[0]
                    assert window[1] <= done[source.name]
        done[layer.name] = step.rows[1]
        dropped.update((name, end) for name, end in step.drops.items() if name in dropped)
    assert done == {layer.name: layer.outgoing[1] for layer in program.layers}


@given(strategies.cases(delays=False), TILES)
def test_tiles_keep_the_fan_out(case, tile):
    """The fan-outs of a layer's windows add up to the whole layer's."""
    program = build_program(case.network, case.picture.shape)
    for layer in program.layers:
        steps = [step for step in TileSchedule(program, case.picture.shape[1], tile) if step.layer is layer]
        totals = [np.zeros_like(part.fan_out.rows) for part in layer.parts]
        for step in steps:
            for total, part in zip(totals, layer.rows_of(step.rows, step.counted).parts, strict=True):
                total[slice(*part.window.inputs)] += part.fan_out.rows
        for total, part in zip(totals, layer.parts, strict=True):
            np.testing.assert_array_equal(total, part.fan_out.rows)


def test_memory_of_tiles_follows_the_width():
    program = {height: build_program(unet(4), (1, height, 64)) for height in (512, 2048)}
    short, tall = (peak_bytes(program[height], height, 2, 32) for height in (512, 2048))
    assert short == tall < peak_bytes(program[512], 512, 2, 512) / 2 < peak_bytes(program[2048], 2048, 2, 2048) / 6


def test_estimate_covers_what_the_buffers_hold(monkeypatch):
    """With every neuron firing, live events never exceed the estimate, and come near it."""
    network, shape = unet().with_neurons(IntegrateAndFire(1.0, initial=100.0)), (1, 96, 40)
    held, buffers = [], []

    class Watched(tiling.RowBuffer):
        def __init__(self):
            super().__init__()
            buffers.append(self)

        def append(self, rows, queues):
            super().append(rows, queues)
            arrays = [
                array
                for each in buffers
                for _, queues in each._pieces
                for queue in queues
                for array in (queue.start, queue.channels, queue.levels)
            ]
            held.append(sum(array.nbytes for array in arrays))

    monkeypatch.setattr(tiling, "RowBuffer", Watched)
    result = simulate(network, np.zeros(shape, np.float32), 2, tile=8)
    assert result.density == 1
    estimate = peak_bytes(build_program(network, shape), 96, 2, 8)
    assert 0.4 * estimate < max(held) <= estimate


@pytest.mark.all_step_groups
def test_tile_is_chosen_by_memory():
    network = unet(4)
    program = build_program(network, (1, 512, 64))
    whole = peak_bytes(program, 512, 2, 512)
    assert choose_tile(program, 512, 2, whole) == 512
    assert choose_tile(program, 512, 2, 1) == network.size_multiple == 16
    for memory in (whole - 1, whole // 2, whole // 3):
        tile = choose_tile(program, 512, 2, memory)
        assert peak_bytes(program, 512, 2, tile) <= memory < peak_bytes(program, 512, 2, 2 * tile)


@pytest.mark.all_step_groups
def test_a_network_that_looks_at_the_whole_picture_is_not_cut_for_nothing():
    # Its attention needs a mean of all rows before it goes on: tiles of 4 rows would hold as much, and more.
    network = load_model("derain-small")
    program = build_program(network, (3, 1024, 1536))
    whole = peak_bytes(program, 1024, 4, 1024)
    assert choose_tile(program, 1024, 4, whole // 2) == 1024
    assert needed_bytes(network, 1022, 1536, 4) == whole > tile_size.MEMORY


def test_large_pictures_are_tiled_by_themselves(monkeypatch):
    picture = noise(shape=(1, 64, 20))
    expected = simulate(unet(), picture, 2, record=RECORDS)
    assert not _tiled(monkeypatch, picture)
    program = build_program(unet(), picture.shape)
    limit = peak_bytes(program, 64, 2, 64) // 2
    monkeypatch.setattr(tile_size.choose_tile, "__defaults__", (limit,))
    assert _tiled(monkeypatch, picture)
    assert_same(simulate(unet(), picture, 2, record=RECORDS), expected)
    assert not _tiled(monkeypatch, picture, order="time")
    assert not _tiled(monkeypatch, picture, tile=64)


def _tiled(monkeypatch, picture, **options):
    """Whether `simulate` cuts the picture into tiles."""
    used = []
    run = tiling.TiledRun.run
    with monkeypatch.context() as patch:
        patch.setattr(tiling.TiledRun, "run", lambda self: used.append(self.tile) or run(self))
        simulate(unet(), picture, 2, **options)
    return bool(used)


@pytest.mark.parametrize("tile", [0, -1, 1.5, True, "64"])
def test_tiles_that_are_refused(tile):
    with pytest.raises(InputError, match=r"tile must be a whole number from 1 .*got"):
        simulate(unet(), noise(shape=(1, 8, 8)), 1, tile=tile)


def test_tiles_step_by_step_are_refused():
    with pytest.raises(InputError, match=r"tile needs order 'layer' \(got tile 4 and order 'time'\)"):
        simulate(unet(), noise(shape=(1, 8, 8)), 1, order="time", tile=4)


def test_tiles_of_networks_with_delays_are_refused_as_such():
    nodes = [Input("input", 1), Conv2d("conv", "input", np.ones((1, 1, 1, 1))), Neurons("relu", "conv")]
    delayed = Conv2d("readout", "relu", np.ones((1, 1, 1, 1)), delay=1)
    network = Network([*nodes, delayed, Output("output", "readout")])
    with pytest.raises(InputError, match=r"tile needs a network without delays.* \(got tile 2 .*leave it out"):
        simulate(network, np.ones((1, 4, 4)), steps=1, tile=2)


def test_counts_without_recordings():
    picture = noise(shape=(1, 40, 24))
    found, expected = (simulate(unet(), picture, 4, tile=tile) for tile in (6, 40))
    assert_same_operations(found.operations, expected.operations)
    np.testing.assert_array_equal(found.output, expected.output)


# --- In whole-picture functions and on the command line --------------------------------------------------------------


def test_denoise_in_tiles():
    picture = np.random.default_rng(0).integers(0, 256, (41, 30, 3), dtype=np.uint8)
    found, expected = (denoise(picture, small_denoiser(), tile=tile) for tile in (8, None))
    np.testing.assert_array_equal(found.restored, expected.restored)
    assert_same_operations(found.result.operations, expected.result.operations)


def test_command_in_tiles(tmp_path):
    write_picture(tmp_path / "noisy.png", np.random.default_rng(0).integers(0, 256, (41, 30), dtype=np.uint8))
    save_model(small_denoiser(), tmp_path / "model.npz")
    common = ["denoise", str(tmp_path / "noisy.png"), "--model", str(tmp_path / "model.npz"), "-o"]
    whole, tiled = tmp_path / "whole.png", tmp_path / "tiled.png"
    for target, options in ((whole, []), (tiled, ["--tile", "8"])):
        assert CliRunner().invoke(main, [*common, str(target), *options]).exit_code == 0
    np.testing.assert_array_equal(read_picture(tiled), read_picture(whole))
    refused = CliRunner().invoke(main, [*common, str(tiled), "--tile", "8", "--order", "time"])
    assert refused.exit_code == 2
    assert "tile needs order 'layer' (got tile 8 and order 'time')" in refused.output
