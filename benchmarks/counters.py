"""The ledger of operations beside the counters of NeuroBench, sinabs and SpikingJelly, on the same spikes.

    python benchmarks/counters.py [--markdown FILE] [--small]

Small networks of dyadic numbers, so that the spikes are the same bit for bit in every package (checked), and the
shipped denoiser. docs/agreement.md shows and explains the tables. Needs the extras `train` and `agreement`; no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import _twins
import click
import numpy as np
from _counted_networks import SHAPE, Dyadic, binary, networks

from spikeunet.engine import (
    Concat,
    Conv2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    Result,
    add_noise,
    load_model,
    read_picture,
    simulate,
)
from spikeunet.engine.operations import Operations, SynapseOperations

STEPS = 5
KNOWN_TO_NEUROBENCH = ("Conv2d", "Linear")
KNOWN_TO_SINABS = ("Conv2d", "Linear")
KNOWN_TO_SPIKINGJELLY = ("Conv2d", "ConvTranspose2d", "Linear")
CONSTANTS_OF_LEAKY = 20
"""Bytes of an snntorch.Leaky's buffers: beta, threshold, graded_spikes_factor (4 each), reset_mechanism_val (8)."""

# --- What the ledger says in the words of the others -----------------------------------------------------------------


def expected_of_neurobench(ledger: Operations, once: bool) -> dict[str, float]:
    """NeuroBench's figures for one picture, from the ledger of a run of one picture with binary events.

    Operations of the nodes that NeuroBench knows; `once` as in `neurobench_counts`. A membrane update there is a
    potential that changed, so there is no such count here.
    """
    known = [node for node in ledger.synapses.values() if node.kind in KNOWN_TO_NEUROBENCH]
    times = 1 if once else ledger.steps
    weights, zeros = (sum(getattr(node, name) for node in known) for name in ("weights", "zero_weights"))
    totals = ledger.totals
    return {
        "Effective_ACs": sum(int(node.synops_effective.sum()) for node in known),
        "Effective_MACs": times * sum(node.macs_effective for node in known),
        "Dense": sum(node.dense_synops + times * node.macs for node in known),
        "ActivationSparsity": totals["activation_sparsity"],
        "ConnectionSparsity": round(zeros / max(1, weights), 4),
        "ParameterCount": totals["parameter_bytes"] // 4,
        "Footprint": totals["parameter_bytes"] + CONSTANTS_OF_LEAKY * len(ledger.neurons),
        "potential_bytes": totals["state_bytes"],
    }


def synops_of(ledger: Operations, kinds: tuple[str, ...]) -> dict[str, int]:
    """Accumulates by node, of the nodes of some kinds that read events alone."""
    return {
        name: int(node.synops.sum())
        for name, node in ledger.synapses.items()
        if node.kind in kinds and not node.reads_input
    }


def usual_estimate(ledger: Operations) -> float:
    """Firing rate x dense multiply-accumulates x T, as most papers put it, of the nodes that read events."""
    total = 0.0
    for node in ledger.synapses.values():
        sources = [ledger.neurons[name] for name in node.sources]
        every = sum(source.neuron_steps for source in sources)
        if every:
            rate = sum(int(source.events.sum()) for source in sources) / every
            total += rate * node.dense_macs * ledger.steps
    return total


def check_spikes(result: Result, count: _twins.Count, values: bool = False) -> None:
    """SystemExit unless the two runs have the same spikes; `values` for graded events."""
    for name, expected in result.spikes.items():
        found = count.spikes[name][0]
        if not np.array_equal(found if values else found != 0, expected if values else expected != 0):
            raise SystemExit(f"the spikes of {name} differ; the counts cannot be compared")


# --- Tables ----------------------------------------------------------------------------------------------------------

Table = list[list[object]]


def agreement() -> Iterator[tuple[str, Table]]:
    """Tables of the networks with binary events, one counter each: what it counts, and the ledger's figure."""
    picture = Dyadic(1).picture(*SHAPE)
    neurobench: Table = [["network", "count", "NeuroBench", "ledger, its nodes", "ledger, all nodes"]]
    for name, network in networks(binary(strict=True)).items():
        result = simulate(network, picture, STEPS, record=("spikes",))
        count = _twins.neurobench_counts(network, picture[None], STEPS, once=True)
        check_spikes(result, count)
        expected = expected_of_neurobench(result.operations, once=True)
        totals = result.operations.totals
        whole = {
            "Effective_ACs": totals["synops_effective"],
            "Effective_MACs": totals["macs_effective"],
            "Dense": totals["dense_synops"] + totals["macs"],
            "ActivationSparsity": totals["activation_sparsity"],
            "ConnectionSparsity": round(totals["connection_sparsity"], 4),
            "Footprint": totals["parameter_bytes"],
        }
        neurobench += [[name, kind, count.totals[kind], expected[kind], whole[kind]] for kind in whole]
    yield "NeuroBench", neurobench
    others: Table = [["network", "sinabs", "sinabs, in a Sequential", "SpikingJelly", "ledger", "rate x MACs x T"]]
    for name, network in networks(binary(strict=False)).items():
        result = simulate(network, picture, STEPS, record=("spikes",))
        ledger = result.operations
        sinabs = _twins.sinabs_counts(network, picture, STEPS)
        chained: Mapping[str, float] | None = None
        if not any(isinstance(node, Concat) for node in network.nodes):
            chained = _twins.sinabs_sequential_counts(network, picture, STEPS).by_node
        spikingjelly = _twins.spikingjelly_counts(network, picture, STEPS)
        for count in (sinabs, spikingjelly):
            check_spikes(result, count)
        others.append(
            [
                name,
                _without_input(ledger, sinabs.by_node),
                "" if chained is None else _without_input(ledger, chained),
                _without_input(ledger, spikingjelly.by_node),
                ledger.totals["synops"],
                round(usual_estimate(ledger)),
            ]
        )
    yield "sinabs and SpikingJelly", others


def _without_input(ledger: Operations, by_node: Mapping[str, float]) -> int:
    """The sum over nodes that read events; what is lost in float32 is far below a half."""
    return sum(round(count) for name, count in by_node.items() if _spiking(ledger.synapses.get(name)))


def _spiking(node: SynapseOperations | None) -> bool:
    return node is not None and not node.reads_input


def differences() -> Table:
    """Where a counter means something else: what it says, what the ledger says."""
    picture = Dyadic(1).picture(*SHAPE)
    rows: Table = [["what", "counter", "count", "it says", "ledger", "the ledger's name for it"]]

    def row(what: str, counter: str, count: str, found: float, expected: float, name: str) -> None:
        rows.append([what, counter, count, round(found) if found == round(found) else round(found, 2), expected, name])

    strict, reached = networks(binary(strict=True)), networks(binary(strict=False))
    ledger = simulate(strict["plain"], picture, STEPS).operations
    each = _twins.neurobench_counts(strict["plain"], picture[None], STEPS)
    name = "input, at every step"
    row(
        name,
        "NeuroBench",
        "Effective_MACs",
        each.totals["Effective_MACs"],
        ledger.totals["macs_effective"],
        "macs_effective",
    )
    spiking = simulate(reached["plain"], picture, STEPS).operations
    jelly = _twins.spikingjelly_counts(reached["plain"], picture, STEPS, once=False)
    row(name, "SpikingJelly", "MACCounter", jelly.totals["macs"], spiking.totals["macs"], "macs")
    sinabs = _twins.sinabs_counts(reached["plain"], picture, STEPS)
    row("input, as if of spikes", "sinabs", "synops of conv1", sinabs.by_node["conv1"], 0, "synops of conv1")
    row("additions elsewhere", "SpikingJelly", "ACCounter", jelly.totals["acs"], spiking.totals["synops"], "synops")
    row(
        "potentials that change", "NeuroBench", "MembraneUpdates", each.totals["MembraneUpdates"],
        ledger.totals["neuron_updates"], "neuron_updates",
    )  # fmt: skip
    zeros = simulate(reached["borders"], picture, STEPS).operations
    row(
        "weights of zero", "SpikingJelly", "SynOpCounter",
        _without_input(zeros, _twins.spikingjelly_counts(reached["borders"], picture, STEPS).by_node),
        zeros.totals["synops_effective"], "synops_effective",
    )  # fmt: skip
    borders = simulate(strict["borders"], picture, STEPS).operations
    dense = _twins.neurobench_counts(strict["borders"], picture[None], STEPS, once=False).totals["Dense"]
    row("padding", "NeuroBench", "Dense", dense, STEPS * borders.totals["dense_macs"], "T x dense_macs")
    return rows + _graded(picture)


def _graded(picture: np.ndarray) -> Table:
    network = networks(lambda: MultiThreshold((2.0, 1.0, 0.5, 0.25)))["borders"]
    result = simulate(network, picture, STEPS, record=("spikes",))
    found = _twins.neurobench_counts(network, picture[None], STEPS, once=True)
    jelly = _twins.spikingjelly_counts(network, picture, STEPS)
    sinabs = _twins.sinabs_counts(network, picture, STEPS)
    for count in (found, jelly, sinabs):
        check_spikes(result, count, values=True)
    totals = result.operations.totals
    effective = totals["synops_effective"]
    accumulates, macs = (round(found.totals[kind]) for kind in ("Effective_ACs", "Effective_MACs"))
    others = {"sinabs": ("synops", sinabs), "SpikingJelly": ("SynOpCounter", jelly)}
    both = [accumulates + macs, effective + totals["macs_effective"], "synops_effective + macs_effective"]
    return [
        ["graded events", "NeuroBench", "Effective_ACs", accumulates, effective, "synops_effective"],
        ["graded events", "NeuroBench", "Effective_ACs + Effective_MACs", *both],
        *(
            ["graded events", name, kind, _without_input(result.operations, count.by_node), totals["synops"], "synops"]
            for name, (kind, count) in others.items()
        ),
    ]


def large_sums() -> Table:
    """One layer of 150 million products a step, more than float32 counts one by one."""
    draw = Dyadic(2)
    nodes = [
        Input("input", 1),
        Conv2d("conv1", "input", draw(61, 1, 3, 3, scale=2), padding=1),
        Neurons("relu1", "conv1", IntegrateAndFire(1.0, strict=True)),
        Conv2d("conv2", "relu1", np.ones((67, 61, 3, 3), np.float32), padding=1),
        Output("output", "conv2"),
    ]
    network, picture = Network(nodes), draw.picture(1, 61, 67)
    result = simulate(network, picture, 2, record=("spikes",))
    found = _twins.neurobench_counts(network, picture[None], 2, once=True)
    check_spikes(result, found)
    totals = result.operations.totals
    return [
        ["count", "NeuroBench", "ledger"],
        ["Effective_ACs", round(found.totals["Effective_ACs"]), totals["synops_effective"]],
        ["Dense", round(found.totals["Dense"]), totals["dense_synops"] + totals["macs"]],
    ]


def denoiser() -> Table:
    """The shipped denoiser for one step, on a 64x64 crop: shares of the ledger's figure."""
    network, steps = load_model("denoise-gray-fast"), 1
    clean = read_picture(Path(__file__).parents[1] / "examples" / "pictures" / "camera.png")[128:192, 192:256] / 255.0
    noisy = add_noise(clean, 25, 0).astype(np.float32)[None]
    result = simulate(network, noisy, steps, record=("spikes",))
    found = _twins.neurobench_counts(network, noisy[None], steps, once=True)
    jelly = _twins.spikingjelly_counts(network, noisy, steps)
    totals = result.operations.totals
    differing = sum(int((found.spikes[name][0] != values).sum()) for name, values in result.spikes.items())
    effective = totals["synops_effective"]
    both = found.totals["Effective_ACs"] + found.totals["Effective_MACs"]
    rows: list[tuple[str, float, float]] = [
        ("NeuroBench, Effective_ACs + Effective_MACs", both, effective + totals["macs_effective"]),
        ("NeuroBench, Effective_ACs alone", found.totals["Effective_ACs"], effective),
        ("SpikingJelly, SynOpCounter", _without_input(result.operations, jelly.by_node), totals["synops"]),
        ("rate x MACs x T", usual_estimate(result.operations), totals["synops"]),
        ("the published method's spikes", totals["spikes"], totals["synops"]),
        ("spikes that are not PyTorch's, of the neuron updates", differing, totals["neuron_updates"]),
    ]
    return [["counter", "it says", "ledger", "share"]] + [
        [name, round(count), expected, f"{count / expected:.3g}"] for name, count, expected in rows
    ]


def markdown(table: Table) -> str:
    """The table as GitHub shows it."""
    head, *rows = ([_cell(value) for value in row] for row in table)
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value == math.floor(value) and abs(value) >= 1 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def tables(small: bool = False) -> Iterator[tuple[str, str]]:
    """Title and markdown of each table; the small ones are the same on every machine."""
    yield from ((title, markdown(table)) for title, table in agreement())
    yield "Differences", markdown(differences())
    if not small:
        yield "Sums in float32", markdown(large_sums())
        yield "The shipped denoiser", markdown(denoiser())


@click.command()
@click.option("--markdown", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here, too.")
@click.option("--small", is_flag=True, help="Leave the large layer and the shipped denoiser out.")
def main(path: Path | None, small: bool) -> None:
    """Print the tables of docs/agreement.md."""
    text = "\n\n".join(f"### {title}\n\n{table}" for title, table in tables(small)) + "\n"
    click.echo(f"{', '.join(_twins.packages())}\n\n{text}")
    if path is not None:
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
