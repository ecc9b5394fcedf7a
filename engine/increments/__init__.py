"""Networks that are brought up to date: of a picture after another one, only what has changed is computed."""

from .incremental_run import IncrementalRun
from .layer_increment import LayerIncrement
from .savings import Savings

__all__ = ["IncrementalRun", "LayerIncrement", "Savings"]
