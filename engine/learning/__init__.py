"""Networks that learn from spikes: methods by name behind one trainer; see docs/learning.md for how to add one.

A method is a file or a small folder here. It has a dataclass of settings (`settings.py`), whose fields become options
of `spikeunet train`, and a trainer (`trainer.py`, or `gradient_trainer.py` where a loss is followed downhill).
"""

from .data_sets import DATA_SETS, DataSet, read_data
from .gradient_trainer import GradientSettings, GradientTrainer
from .method import METHODS, Method, method_named
from .pictures import LabelledPictures
from .run import Course, train
from .settings import TrainingSettings, option
from .trainer import Figures, Trainer

__all__ = [
    "DATA_SETS",
    "METHODS",
    "Course",
    "DataSet",
    "Figures",
    "GradientSettings",
    "GradientTrainer",
    "LabelledPictures",
    "Method",
    "Trainer",
    "TrainingSettings",
    "method_named",
    "option",
    "read_data",
    "train",
]
