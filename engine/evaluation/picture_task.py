"""One picture to evaluate: plain values, so that it can travel to another process or machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import Example

Row = dict[str, Any]
"""Scores and counts of one picture with one method: JSON values by column."""


@dataclass(frozen=True)
class PictureTask:
    """What a worker needs to know to evaluate a picture.

    Parameters
    ----------
    model : str
        Name of a shipped model, or an absolute path.
    model_sha256 : str
        Digest of the model's file; a worker refuses another file.
    version : str
        Of spikeunet; a worker refuses another one.
    task : "denoise", "segment" or "classify"
    dataset, split : str
    example : Example
        With absolute paths.
    void : int or None
    sigma : float or None
        Noise to add; None for none.
    seed : int or None
        Of that noise.
    steps : tuple of int
        Numbers of time steps, ascending; one run of the largest serves them all.
    ann : bool
        Whether to evaluate the ANN, too.
    threads : int or None
    self_ensemble : int
        How many views of a picture the outputs are the mean of.
    """

    model: str
    model_sha256: str
    version: str
    task: str
    dataset: str
    split: str
    example: Example
    void: int | None
    sigma: float | None
    seed: int | None
    steps: tuple[int, ...]
    ann: bool
    threads: int | None
    self_ensemble: int = 1

    @property
    def key(self) -> tuple[str, str, int | None, float | None, int, str]:
        """What tells the picture's rows from those of all others in an evaluation."""
        return (self.dataset, self.split, self.void, self.sigma, self.example.index, self.example.name)

    def digests(self) -> dict[str, str | None]:
        """SHA-256 of the picture, its reference and its mask."""
        files = {
            "picture_sha256": self.example.picture,
            "reference_sha256": self.example.reference,
            "mask_sha256": self.example.mask,
        }
        return {name: None if path is None else sha256(path) for name, path in files.items()}


@dataclass(frozen=True)
class Outcome:
    """Rows of a picture, or why there are none."""

    task: PictureTask
    rows: tuple[Row, ...]
    error: str | None = None


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
