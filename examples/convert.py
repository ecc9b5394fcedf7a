# %% [markdown]
# # Convert a trained network
#
# A network that was trained in the usual way, here a perceptron by scikit-learn, becomes a spiking one: its weights
# stay, ReLUs become neurons, and scales are chosen on some pictures such as it will see.

# %%
import numpy as np
from small_digits import digits, perceptron, trained_perceptron

from spikeunet.converters import convert
from spikeunet.engine import IntegrateAndFire, forward, save_model, simulate

(pictures, _), (test, labels) = digits()
network = perceptron(trained_perceptron())
print(network)


# %%
def accuracy(scores):
    """Share of the test pictures whose class has the largest score."""
    return np.mean(scores.reshape(len(scores), -1).argmax(axis=1) == labels)


ann, _ = forward(network, test)
print(f"ANN: {accuracy(ann):.1%}")

# %% [markdown]
# Multi-threshold neurons, the default, need one step. Integrate-and-fire neurons, whose events are binary, need more.

# %%
spiking = convert(network, calibration=pictures[:100], metadata={"steps": 1})
binary = convert(network, calibration=pictures[:100], neuron=IntegrateAndFire(1.0, initial=0.5))
for name, each in (("multi-threshold", spiking), ("integrate-and-fire", binary)):
    for steps in (1, 2, 8):
        result = simulate(each, test, steps=steps)
        cost = result.total_accumulates / len(test)
        print(f"{name}, T = {steps}: {accuracy(result.output):.1%}, {cost:.0f} operations a picture")

# %%
save_model(spiking, "digits.npz")
