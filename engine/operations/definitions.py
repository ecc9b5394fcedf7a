"""What each count means, with its formula; docs/operations.md says the same at length."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "events": "sum over neurons i and steps t of [level(i, t) != 0]: at most one graded event a neuron and step",
        "spikes": "sum over i, t and thresholds k of [neuron i crosses threshold k at step t]; of a registered neuron "
        "model the sum over its levels k of [level(i, t) = k] times the spikes that it declares for k",
        "neuron_updates": "neurons x steps; of event-driven neurons behind synapses without a bias, those of pixels "
        "that an event reaches, or where one fires without any",
        "activation_sparsity": "1 - events / (neurons x steps)",
        "synops": "sum over events of R(i), the targets that neuron i really reaches (borders, strides, groups and "
        "cropped outputs respected): synaptic operations, a graded event counting once, whatever it costs",
        "synops_binary": "sum over spikes of R(i): accumulates where each threshold crossed sends an event of its own, "
        "or shift-adds where it adds a shifted weight",
        "synops_effective": "sum over events of the non-zero weights among the R(i) that the event meets",
        "dense_synops": "steps x sum over neurons i of R(i): synops if every neuron had an event at every step",
        "macs": "sum over the analog input's sites j of R(j): multiply-accumulates, each time that the "
        "input is computed: at the first step, and where it is another one than at the step before",
        "macs_effective": "the same over sites j whose value is not zero, and over weights that are not zero",
        "dense_macs": "multiply-accumulates of the artificial network for each analog input that was shown, products "
        "with padding included",
        "event_reads": "sum over synapse nodes of the events that arrive: an event is read once by each node that it "
        "reaches, twice where a concatenation names its layer twice",
        "event_writes": "events: each is written once",
        "weight_reads": "synops + macs of nodes that have weights: one weight for each product",
        "bias_reads": "outputs x steps of nodes that have biases; of those that read the analog input only outputs x "
        "how often it is computed",
        "potential_reads": "synops + state variables x neuron_updates: the sum that each accumulate is added to, and "
        "what each update reads; sums of the analog input stay in a register",
        "potential_writes": "potential_reads: what is read is written back",
        "weights": "number of weights, biases left out",
        "connection_sparsity": "weights equal to zero / weights",
        "parameter_bytes": "4 x (weights + biases): float32, as the engine holds them; a layer whose biases are all "
        "zero has none",
        "state_bytes": "4 x state variables x neurons of one picture: float32, and most neurons have a membrane "
        "potential alone; and of synapses that keep sums, a max pool's windows, 4 x these",
        "footprint": "parameter_bytes + state_bytes, in bytes",
    }
)
"""Name of each count and its definition."""
