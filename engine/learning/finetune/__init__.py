"""Fine-tune spiking networks by hand-written backward passes: accumulated spiking flow and surrogate BPTT."""

from .bptt import run_through_time, time_gradients
from .classification_data import (
    ClassificationBatches,
    ClassificationValidation,
    read_classified,
    validate_classifier,
)
from .data import Batches, DenoisingBatches, PairBatches, read_pairs, read_pictures
from .flow import flow_gradients, run_flow
from .schedules import Schedule
from .segmentation_data import SegmentationBatches, SegmentationValidation, read_labelled, validate_segmenter
from .settings import Settings
from .surrogates import Surrogate
from .teaching import TaughtBatches
from .trainable import Trainable
from .training import StepReport, Trainer, finetune
from .validation import Validation, validate_denoiser, validate_pairs

__all__ = [
    "Batches",
    "ClassificationBatches",
    "ClassificationValidation",
    "DenoisingBatches",
    "PairBatches",
    "Schedule",
    "SegmentationBatches",
    "SegmentationValidation",
    "Settings",
    "StepReport",
    "Surrogate",
    "TaughtBatches",
    "Trainable",
    "Trainer",
    "Validation",
    "finetune",
    "flow_gradients",
    "read_classified",
    "read_labelled",
    "read_pairs",
    "read_pictures",
    "run_flow",
    "run_through_time",
    "time_gradients",
    "validate_classifier",
    "validate_denoiser",
    "validate_pairs",
    "validate_segmenter",
]
