# %% [markdown]
# # An answer at any time
#
# A spiking network's output is there after the first step and gets better: easy pictures need few steps. `Stream` shows
# a picture until the answer is stable.

# %%
import numpy as np
from small_digits import digits, perceptron, trained_perceptron

from spikeunet.converters import convert
from spikeunet.engine import IntegrateAndFire, Stream, simulate

(pictures, _), (test, labels) = digits()
network = convert(
    perceptron(trained_perceptron()), calibration=pictures[:100], neuron=IntegrateAndFire(1.0, initial=0.5)
)

# %% [markdown]
# The running sum of the output after every step, `readout`, says what the answer would be if one stopped there.

# %%
result = simulate(network, test, steps=16, record=("readout",))
answers = result.readout.reshape(len(test), 16, -1).argmax(axis=2)
operations = result.operations.synapses["classes"].synops.cumsum() / len(test)
for step in (0, 1, 3, 7, 15):
    correct = np.mean(answers[:, step] == labels)
    print(f"after step {step + 1}: {correct:.1%} correct, {operations[step]:.0f} operations a picture")

# %% [markdown]
# Picture by picture, until the class has not changed three times in a row.

# %%
stream = Stream(network)
taken, correct = [], 0
for picture, label in zip(test[:100], labels[:100], strict=True):
    stable = stream.run_until_stable(picture, patience=3, most_steps=16, labels=True)
    taken.append(stable.state.steps)
    correct += stable.output.argmax() == label
print(f"{correct} of 100 correct in {np.mean(taken):.1f} steps on average, {min(taken)} to {max(taken)}")
