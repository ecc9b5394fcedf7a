"""Scores of one picture, and of many pictures taken together.

PSNR and SSIM are the package's, the scores of a segmentation scikit-learn's, those of a classification shares of its
pictures. Scores of many segmented pictures come from the sums of their confusion matrices and score histograms, so that
no picture has to be kept.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..pictures.metrics import SSIM_WINDOW, class_ious, confusion_matrix, psnr, ssim
from ..tasks.classification import ranking

Scores = dict[str, float | None]
Counts = NDArray[np.int64]

DENOISING_SCORES = ("psnr_noisy", "psnr", "ssim_noisy", "ssim")
SEGMENTATION_SCORES = ("accuracy", "jaccard", "f1", "auc", "mean_iou")
CLASSIFICATION_SCORES = ("accuracy", "top5")

TOP = 5
"""A class among so many with the largest scores is right in "top5"."""

_BINS = 2048
_RANGE = 16.0
"""Logits beyond this share the outermost bins; a probability of exp(-16) is one in nine million."""


def require_scikit_learn() -> None:
    """InputError where scikit-learn is missing."""
    if importlib.util.find_spec("sklearn") is None:
        raise InputError(
            "scores of a segmentation need scikit-learn, which is missing; pip install 'spikeunet[evaluate]'"
        )


def denoising_scores(clean: NDArray[np.float64], noisy: NDArray[np.float32], restored: NDArray[np.float32]) -> Scores:
    """PSNR and SSIM before and after; None for an infinite PSNR and for SSIM below 11x11 pixels."""
    large_enough = min(clean.shape[:2]) >= SSIM_WINDOW
    found: Scores = {}
    for suffix, picture in (("_noisy", noisy), ("", restored)):
        decibels = psnr(clean, picture)
        found[f"psnr{suffix}"] = decibels if math.isfinite(decibels) else None
        found[f"ssim{suffix}"] = ssim(clean, picture) if large_enough else None
    return found


def segmentation_scores(matrix: Counts, auc: float | None = None) -> Scores:
    """Scores of a confusion matrix: of class 1 where there are two classes; the mean IoU is over classes that occur.

    A class occurs where a pixel is of it or was taken for it.
    """
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    count = len(matrix)
    true, predicted = (axis.ravel() for axis in np.indices(matrix.shape))
    cells = {"y_true": true, "y_pred": predicted, "sample_weight": matrix.ravel()}
    occurs = np.array([overlap is not None for overlap in class_ious(matrix)])
    overlaps = jaccard_score(**cells, labels=range(count), average=None, zero_division=0.0)
    binary = count == 2
    return {
        "accuracy": float(accuracy_score(**cells)),
        "jaccard": float(overlaps[1]) if binary and occurs[1] else None,
        "f1": float(f1_score(**cells, zero_division=0.0)) if binary and occurs[1] else None,
        "auc": auc,
        "mean_iou": float(np.mean(overlaps[occurs])),
    }


def pooled_pixels(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of all pixels of the rows' pictures together, and the IoU of each class."""
    matrix = np.asarray([row["confusion"] for row in rows], np.int64).sum(axis=0)
    histograms = [row["histogram"] for row in rows]
    area = None if None in histograms else pooled_area(unpack_histograms(histograms))
    return {**segmentation_scores(matrix, area), "class_iou": class_ious(matrix), "confusion": matrix.tolist()}


def classification_scores(label: int, scores: NDArray[np.float32], classes: int) -> dict[str, Any]:
    """Whether the class of a picture has the largest score, or one of the five largest; None where there are no more.

    Of equal scores the first comes first.
    """
    order = ranking(scores)
    place = int(np.flatnonzero(order == label)[0])
    return {
        "accuracy": float(place == 0),
        "top5": float(place < TOP) if classes > TOP else None,
        "label": label,
        "predicted": int(order[0]),
        "classes": classes,
    }


def pooled_pictures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Share of pictures whose class was found, of each class, too, and how many of each were taken for each."""
    labels, predicted = (np.asarray([row[name] for row in rows], np.int64) for name in ("label", "predicted"))
    matrix = confusion_matrix(labels, predicted, rows[0]["classes"])
    among = [row["top5"] for row in rows]
    counts = matrix.sum(axis=1)
    return {
        "accuracy": int(np.trace(matrix)) / len(rows),
        "top5": None if None in among else sum(among) / len(rows),
        "class_accuracy": [int(hits) / int(n) if n else None for hits, n in zip(np.diag(matrix), counts, strict=True)],
        "confusion": matrix.tolist(),
    }


def area_under_curve(labels: Counts, scores: NDArray[np.float32]) -> float | None:
    """Area under the ROC curve of class 1 of two, (2, H, W) scores; None where only one class is there."""
    counted = labels >= 0
    return _area(labels[counted], (scores[1] - scores[0])[counted])


def score_histogram(labels: Counts, scores: NDArray[np.float32]) -> Counts:
    """(2, bins) int64: how many pixels of class 0 and of class 1 have which score for class 1 of two."""
    counted = labels >= 0
    differences: NDArray[Any] = scores[1] - scores[0]
    logits = np.clip(differences[counted].astype(np.float64), -_RANGE, _RANGE)
    bins = np.minimum(((logits + _RANGE) * (_BINS / (2 * _RANGE))).astype(np.int64), _BINS - 1)
    counts: Counts = np.bincount(labels[counted] * _BINS + bins, minlength=2 * _BINS)
    return counts.reshape(2, _BINS)


def pooled_area(histogram: Counts) -> float | None:
    """Area under the ROC curve from a sum of histograms, scores in one bin counting as equal."""
    classes, bins = np.asarray(np.indices(histogram.shape))
    some = histogram > 0
    return _area(classes[some], bins[some], histogram[some])


def _area(labels: Counts, scores: NDArray[Any], weights: Counts | None = None) -> float | None:
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < 2:
        return None
    return float(roc_auc_score(labels, scores, sample_weight=weights))


def pack_histogram(histogram: Counts) -> list[list[int]]:
    """The bins that are not empty, [bin, pixels of class 0, pixels of class 1] each."""
    return [[int(place), *map(int, histogram[:, place])] for place in np.flatnonzero(histogram.sum(axis=0))]


def unpack_histograms(packed: Iterable[Sequence[Sequence[int]]]) -> Counts:
    """Sum of packed histograms."""
    total = np.zeros((2, _BINS), np.int64)
    for bins in packed:
        for place, *counts in bins:
            total[:, place] += counts
    return total
