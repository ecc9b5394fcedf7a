# %% [markdown]
# # Count operations and estimate energy
#
# Every run keeps a ledger of exact integers: what each layer did at each step and threshold.

# %%
from small_digits import digits, perceptron, trained_perceptron

from spikeunet.converters import convert
from spikeunet.engine import simulate

(pictures, _), (test, _) = digits()
network = convert(perceptron(trained_perceptron()), calibration=pictures[:100])
result = simulate(network, test[:100], steps=4)
ledger = result.operations
print(ledger)

# %% [markdown]
# Counts by step: a `SynapseOperations` of each layer with weights, a `NeuronOperations` of each layer of neurons.

# %%
print("events by step:", ledger.neurons["relu1"].events)
print("operations by step:", ledger.synapses["classes"].synops)
print("share of the neurons that fire:", 1 - ledger.totals["activation_sparsity"])

# %% [markdown]
# An event of several thresholds can be read in three ways; a reading that is not true of the network is refused.

# %%
for name, reading in ledger.readings.items():
    print(f"{name}: {'not true of this network' if reading is None else f'{reading.accumulates:,} accumulates'}")
for model in ("45nm", "45nm-8bit", "loihi"):
    energy = ledger.energy(model)
    print(f"{model}: {1e6 * energy.spiking:.3f} uJ, {energy.reading}")

# %%
ledger.to_csv("ledger.csv", by="step")
ledger.to_json("ledger.json")
print(ledger.to_neurobench()["SynapticOperations"])
