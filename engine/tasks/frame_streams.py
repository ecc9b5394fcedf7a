"""Denoise or segment one frame after the other: a camera's, or those of a clip."""

from __future__ import annotations

import os
import warnings
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError, PictureError, PictureWarning
from ..graph import Network
from ..increments import LayerIncrement, Savings
from ..pictures.preprocessing import stretches
from ..pictures.ranges import SampleRange, check_sample_range, to_unit
from ..pictures.samples import check_shape, split_transparency
from .denoising import (
    Chosen,
    Denoised,
    check_strength,
    chosen_for,
    default_models,
    denoised,
    is_auto,
    ranged_picture,
)
from .frame_runs import FrameRuns
from .inference import DEFAULT_STEPS, check_steps, checked_picture, recommended_steps
from .restorers import denoiser
from .segmentation import DEFAULT_MODEL, Segmented, preprocessing_of, segmented, segmenter


class FrameStream:
    """What streams of all tasks share: frames of one size and kind, and how they are run."""

    def __init__(
        self,
        steps: int | None,
        threads: int | None,
        sample_range: SampleRange | None,
        exact_increments: bool,
        tolerance: float | None,
        patience: int,
        labels: bool,
    ) -> None:
        if not isinstance(exact_increments, bool):
            raise InputError(f"exact_increments must be True or False (got {exact_increments!r})")
        self._runs = FrameRuns(
            threads, exact_increments=exact_increments, tolerance=tolerance, patience=patience, labels=labels
        )
        self._steps = None if steps is None else check_steps(steps)
        self._threads = threads
        self._named_range = None if sample_range is None else check_sample_range(sample_range)
        self._anytime = tolerance is not None
        self._kind: tuple[tuple[int, ...], Any] | None = None

    @property
    def savings(self) -> Savings:
        """With `exact_increments`, what was done for all frames since the last `reset`, and which were run in full."""
        return self._runs.savings

    @property
    def increments(self) -> list[dict[str, LayerIncrement]]:
        """With `exact_increments`, what was done by layer for each picture that the network saw of the last frame.

        A gray model sees each colour channel as a picture of its own. Empty where a picture was run in full.
        """
        return self._runs.increments

    def reset(self) -> None:
        """Forget all frames so far: the next one may be of another size."""
        self._runs.reset()
        self._kind = None

    def _begin(self, samples: NDArray[Any], network: Network) -> dict[str, Any]:
        """Begin with a frame, and the options of its runs; InputError for one of another size or kind."""
        kind = samples.shape, samples.dtype
        if self._kind not in (None, kind):
            raise InputError(
                f"frames must have the shape and type of the first one, {self._kind[0]} {self._kind[1]} "
                f"(got {kind[0]} {kind[1]}); reset the stream before others"
            )
        self._kind = kind
        self._runs.next_frame()
        own = recommended_steps(network)
        steps = self._steps or (max(own, DEFAULT_STEPS) if self._anytime else own)
        return {"steps": steps, "threads": self._threads, "frames": self._runs}


class DenoiseStream(FrameStream):
    """Denoise one frame after the other, each as `denoise` does by itself, with the same bits.

    Parameters
    ----------
    model : str, path or Network, optional
        As `denoise` takes it; where none is named, or "auto", the first frame decides for all of them. With exact
        increments "denoise-colour-fast" is the one for colour.
    steps, threads
        Likewise; with a tolerance `steps` are the most, by default the model's own, 8 at the least.
    sample_range : (low, high), optional
        Likewise; where it has to be found, the first frame's is that of all.
    strength : float, optional
        Likewise.
    exact_increments : bool
        Whether only what is not as in the frame before is computed, with the same bits; for a single step a frame. See
        docs/time.md for what it takes and when it pays.
    tolerance : float, optional
        Show each frame, from rest, until what the network puts out, which is on the scale from black 0 to white 1,
        changes by no more than this from step to step, `patience` times in a row.
    patience : int

    Raises
    ------
    InputError
        If the model is no denoiser or an argument is out of range.

    Examples
    --------
    >>> stream = DenoiseStream("denoise-gray", exact_increments=True)  # doctest: +SKIP
    >>> for frame in read_frames("clip.mp4"):  # doctest: +SKIP
    ...     restored = stream.push(frame).picture
    >>> print(stream.savings.text)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Network | None = None,
        steps: int | None = None,
        threads: int | None = None,
        sample_range: SampleRange | None = None,
        strength: float | None = None,
        exact_increments: bool = False,
        tolerance: float | None = None,
        patience: int = 1,
    ) -> None:
        super().__init__(steps, threads, sample_range, exact_increments, tolerance, patience, labels=False)
        check_strength(strength)
        if tolerance is not None and is_auto(model):
            raise InputError("tolerance needs a model that is named: auto may show one more than one picture a frame")
        self._model = model if model is None or is_auto(model) else denoiser(model)
        self._defaults = default_models(exact_increments)
        self._strength = strength
        self._chosen: Chosen | None = None

    def reset(self) -> None:
        """Forget all frames so far: the next one may be of another size, and decides anew."""
        super().reset()
        self._chosen = None

    def push(self, frame: ArrayLike) -> Denoised:
        """Denoise a frame.

        Parameters
        ----------
        frame : (H, W) or (H, W, C) uint8, uint16, or float
            As `denoise` takes it, all of one shape and type until the next `reset`.

        Returns
        -------
        Denoised
            As of `denoise`.

        Raises
        ------
        InputError, PictureError, ModelFileError
            As `denoise`; also for a frame of another shape or type, and where the network cannot be run by increments.

        Warns
        -----
        PictureWarning
            As `denoise`, of the first frame.
        """
        chosen = self._chosen
        if chosen is None:
            samples, limits, anywhere = ranged_picture(frame, self._named_range)
            noisy = to_unit(split_transparency(samples)[0], limits, anywhere=anywhere)
            chosen = chosen_for(noisy, limits, anywhere, self._model, self._strength, self._defaults)
            for warning in chosen.plan.warnings:
                warnings.warn(f"the picture: {warning}", PictureWarning, stacklevel=2)
        else:
            samples = self._of_known_range(frame, chosen)
            noisy = to_unit(split_transparency(samples)[0], chosen.limits, anywhere=chosen.anywhere)
        options = self._begin(samples, chosen.network)
        found = denoised(samples, noisy, chosen, self._strength, **options)
        self._chosen = chosen
        return found

    def _of_known_range(self, frame: ArrayLike, chosen: Chosen) -> NDArray[Any]:
        if not chosen.anywhere:
            return checked_picture(frame, chosen.limits, warn=False)[0]
        samples = as_array(frame, "the picture", PictureError)
        check_shape(samples)
        return samples


class SegmentStream(FrameStream):
    """Tell the class of each pixel of one frame after the other, each as `segment` does by itself, with the same bits.

    Parameters
    ----------
    model : str, path or Network
        As `segment` takes it. Preprocessing that looks at the whole picture (`whole_frame`) changes all of it where a
        part of the frame changes: exact increments then save little or nothing.
    steps, threads
        Likewise; with a tolerance `steps` are the most, by default the model's own, 8 at the least.
    sample_range : (low, high), optional
        Likewise.
    exact_increments : bool
        Whether only what is not as in the frame before is computed, with the same bits; for a single step a frame. See
        docs/time.md for what it takes and when it pays.
    tolerance : float, optional
        Show each frame, from rest, until no more than this share of the pixels changes its class from step to step,
        `patience` times in a row.
    patience : int

    Raises
    ------
    InputError
        If the model is not for segmentation or an argument is out of range.

    Attributes
    ----------
    whole_frame : bool
        Whether the model's preprocessing looks at the whole picture.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Network = DEFAULT_MODEL,
        steps: int | None = None,
        threads: int | None = None,
        sample_range: SampleRange | None = None,
        exact_increments: bool = False,
        tolerance: float | None = None,
        patience: int = 1,
    ) -> None:
        super().__init__(steps, threads, sample_range, exact_increments, tolerance, patience, labels=True)
        self._network = segmenter(model)
        self.whole_frame = stretches(preprocessing_of(self._network))

    def push(self, frame: ArrayLike) -> Segmented:
        """Tell the class of each pixel of a frame.

        Parameters
        ----------
        frame : (H, W) or (H, W, C) uint8, uint16, or float
            As `segment` takes it, all of one shape and type until the next `reset`.

        Returns
        -------
        Segmented
            As of `segment`.

        Raises
        ------
        InputError, PictureError
            As `segment`; also for a frame of another shape or type, and where the network cannot be run by increments.

        Warns
        -----
        PictureWarning
            As `segment`, of the first frame.
        """
        warns = self._kind is None and not self.whole_frame
        samples, limits = checked_picture(frame, self._named_range, warn=warns)
        return segmented(samples, self._network, limits, **self._begin(samples, self._network))
