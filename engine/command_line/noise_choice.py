"""`--model auto`: the model that is chosen by the picture, and what is said of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import PictureWarning
from .guard import remark
from .jobs import Job
from .one_picture import Model
from .output import asks_for_json, is_quiet, prints_to_stderr
from .range_choice import FAINT, unit_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..pictures.picture_files import PictureFile
    from ..tasks.automatic import Plan
    from .denoise_picture import DenoiseSettings

LEFT_ALONE = "none, left as it is"
"""What stands for the model of a picture without noise."""


def chosen(job: Job, noisy: NDArray[np.float32], settings: DenoiseSettings, place: str = "") -> tuple[Model, Plan]:
    """The model for a picture from 0 to 1 and the plan; of `--model auto`, what was found is said on stderr.

    `place` begins what is said, and names the page of a series.
    """
    from ..tasks.automatic import Plan
    from ..tasks.denoising import plan_of

    if settings.automatic is None:
        return settings.model_for(1 if noisy.ndim == 2 or noisy.shape[2] == 1 else 3), Plan()
    plan = plan_of(noisy, settings.strength)
    tell(job, place + plan.text)
    for warning in plan.warnings:
        warnings.warn(f"{job.source}: {warning}", PictureWarning, stacklevel=2)
    model = settings.automatic(plan.model)
    return (model if plan.weight else replace(model, name=LEFT_ALONE)), plan


def advise(job: Job, noisy: NDArray[np.float32], model: Model, settings: DenoiseSettings) -> None:
    """Of the first picture, where no model was named: say where `--model auto` would do better than the default one."""
    if not settings.advises or job.index or not _tells():
        return
    from ..pictures.noise_estimate import estimate_unit_noise
    from ..tasks.automatic import unsuited

    reason = unsuited(estimate_unit_noise(noisy), model.name)
    if reason is not None:
        tell(job, f"{reason}: try --model auto")


def telling_page(job: Job, first: PictureFile, settings: DenoiseSettings) -> tuple[NDArray[np.float32], str]:
    """The page that the noise of a series is estimated on, from 0 to 1, and what names it where it is not the first.

    It is the first page that is not even, or as good as even, as a blank one or one before a video begins. The file is
    read once more for it, page by page.
    """
    from .series import opened_frames

    noisy = _looked_at(first)
    if settings.page is not None or not (settings.automatic or settings.advises) or not _is_even(noisy):
        return noisy, ""
    with opened_frames(job.source) as frames:
        for number, page in enumerate(frames.pictures(settings.sample_range)):
            ranged = replace(page, sample_range=first.sample_range, range_found=first.range_found)
            unit = _looked_at(ranged)
            if not _is_even(unit):
                return unit, f"page {number}, the first that is not nearly even: "
    return noisy, ""


def _looked_at(page: PictureFile) -> NDArray[np.float32]:
    from ..pictures.ranges import within_reach

    return within_reach(unit_of(page)) if page.range_found else unit_of(page)


def _is_even(unit: NDArray[np.float32]) -> bool:
    """Whether nearly all samples from 0 to 1 span next to nothing."""
    from ..pictures.spread import spread_of, without_tails

    low, high = without_tails(spread_of(unit).values)
    return high - low < FAINT


def _tells() -> bool:
    """Whether stderr takes a line: it is not to be quiet, and holds no JSON."""
    return not is_quiet() and not (asks_for_json() and prints_to_stderr())


def tell(job: Job, text: str) -> None:
    """Say something of a picture on stderr, where that takes a line."""
    if _tells():
        remark(f"spikeunet: {job.source}: {text}")


def noise_entry(plan: Plan) -> dict[str, Any]:
    """What the report says of a plan; nothing where the model was named."""
    if plan.estimate is None:
        return {}
    found = plan.estimate
    return {
        "noise": {
            "kind": found.kind,
            "sigma": list(found.sigma),
            "coarse": found.coarse,
            "slope": found.slope,
            "intercept": found.intercept,
            "blockiness": found.blockiness,
            "in_colours": list(found.in_colours),
            "weight": plan.weight,
            "gain": plan.gain,
            "stabilised": plan.stabiliser is not None,
            "split": plan.split,
            "text": plan.text,
        }
    }
