"""To be imported by a process whose copies are to train: it has loaded the kernels that `EVERYTHING` takes.

It keeps to one thread, because a copy has no more.
"""

from __future__ import annotations

from test_finetune_shares import EVERYTHING
from test_finetune_training import batches, network

from spikeunet.engine.learning.finetune import Trainer

Trainer(network(), batches(), EVERYTHING, threads=1).step()
