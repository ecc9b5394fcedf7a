# %% [markdown]
# # Fine-tune a spiking network
#
# Integrate-and-fire neurons lose quality in few steps. Training through the spikes, by surrogate derivatives, wins much
# of it back; a penalty on spikes makes the network cheaper. No deep-learning framework is needed.

# %%
import numpy as np
from small_digits import digits, perceptron, trained_perceptron

from spikeunet.converters import convert
from spikeunet.engine import IntegrateAndFire, simulate
from spikeunet.engine.learning.finetune import ClassificationBatches, Settings, Trainer

STEPS = 2
(pictures, classes), (test, labels) = digits()
converted = convert(
    perceptron(trained_perceptron()), calibration=pictures[:100], neuron=IntegrateAndFire(1.0, initial=0.5)
)


# %%
def measured(network):
    """Accuracy in so many steps, and operations a picture."""
    result = simulate(network, test, steps=STEPS)
    found = result.output.reshape(len(test), -1).argmax(axis=1)
    return f"{np.mean(found == labels):.1%}, {result.total_accumulates / len(test):.0f} operations a picture"


print("converted:", measured(converted))

# %% [markdown]
# Examples are pictures (H, W, C) with a class each.

# %%
examples = [(picture.transpose(1, 2, 0), int(label)) for picture, label in zip(pictures, classes, strict=True)]
settings = Settings(
    steps=STEPS, method="bptt", iterations=300, loss="cross-entropy", rate=2e-3, penalty=0.02, average=0.95
)
trainer = Trainer(converted, ClassificationBatches(examples, batch=32), settings)
losses = [trainer.step().loss for _ in range(settings.iterations)]
print(f"loss {np.mean(losses[:20]):.3f} -> {np.mean(losses[-20:]):.3f}")

# %%
print("fine-tuned:", measured(trainer.result()))
