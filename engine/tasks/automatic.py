"""What to do about a picture's noise: which model sees it, how it is shown to it, and how much of it is taken off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..pictures.noise_estimate import COMPRESSED, NoiseEstimate
from ..pictures.stabilising import Stabiliser

AUTO = "auto"
"""The name that stands for a model chosen by the picture's noise."""

FALSE_NOISE = 2.25
"""About what the shipped models take off a clean picture: its root mean square on the 0-255 scale, measured."""

LEAST_WEIGHT = 0.25
"""Where less than this of what a model takes off is to be believed, the picture is left as it is."""

DOUBTFUL = 8.0
"""Structure at half the size, on the 0-255 scale, that is rare in clean pictures."""

_WEAK = 8.0
"""Of noise weaker than this, on the 0-255 scale, a model may take off no more than its share of the variance that was
found: what is more is texture. Stronger noise may be twice as strong in one place as in another."""

WELL_BELOW, WELL_ABOVE = 0.6, 1.6
"""Of the least and the highest level that a model was trained for: beyond, another choice is mostly better."""

SMOOTH = 3.0
"""Structure at half the size below which a picture has neither much texture nor noise that neighbours share."""

PHOTONS, WHITE = 48.0, 100.0
"""Levels above which the means of 2x2 pixels are denoised and enlarged again: of stabilised noise, where few photons
make a picture of single bright pixels, and of white noise; measured."""

FEW_PHOTONS = 44.0
"""The same of stabilised noise where the model knows noise that grows with the signal; measured."""

COARSE_IN_COLOURS = 14.0
"""Noise in what the channels differ by, at a quarter of the size, from which every other pixel is looked at, too."""

_MOST_HALVINGS = 2

HIGHEST = 45.0
"""Stronger noise, on the 0-255 scale, is shown to a model at less contrast, so that it has this level; measured."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a picture is denoised.

    Parameters
    ----------
    estimate : NoiseEstimate or None
        Where the plan comes from; None where a model was named.
    model : str
        Name of the model that was chosen.
    weight : float
        Share of what the model takes off that is taken off; 0 leaves the picture as it is.
    gain : float
        Contrast, about middle gray, at which the model sees the picture.
    stabiliser : Stabiliser or None
        Transform on the scale from 0 to 1 after which noise no longer grows with the signal.
    offset : float
        Of the stabilised picture, what middle gray stands for.
    sigma : float
        Standard deviation of weak noise in what the model sees, from 0 to 1; 0 where it is strong or not known.
    halvings : int
        How many times 2x2 pixels are averaged first, and the result enlarged again.
    split : bool
        Whether the model sees the picture as four pictures of every other pixel as well, and the mean of both counts.
    warnings : tuple of str
    """

    estimate: NoiseEstimate | None = None
    model: str = ""
    weight: float = 1.0
    gain: float = 1.0
    stabiliser: Stabiliser | None = None
    offset: float = 0.5
    sigma: float = 0.0
    halvings: int = 0
    split: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the model sees the picture as it is and all that it finds is taken off."""
        return self.weight == 1 and self.gain == 1 and self.stabiliser is None and not (self.split or self.halvings)

    def shown(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model sees of a picture from 0 to 1."""
        stable = picture if self.stabiliser is None else self.stabiliser.forward(picture)
        return ((stable - self.offset) * self.gain + 0.5).astype(np.float32)

    def without(self, picture: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """The picture without the plan's share of the noise that a model saw in what it was shown."""
        taken = self._share(noise) / self.gain * noise
        if self.stabiliser is None:
            return picture - taken.astype(np.float32)
        return self.stabiliser.inverse(self.stabiliser.forward(picture) - taken).astype(np.float32)

    def _share(self, noise: NDArray[np.float32]) -> float:
        """The weight, or less where the model saw more noise than there is: then it takes texture for noise."""
        seen = float(np.square(noise, dtype=np.float64).mean())
        if not self.sigma or not seen or self.weight == 1:
            return self.weight
        return self.weight * min(1.0, self.sigma**2 / seen)

    @property
    def text(self) -> str:
        """What was found and what is done, in one line."""
        found = "" if self.estimate is None else f"{self.estimate.text}: "
        if not self.weight:
            return f"{found}left as it is"
        return f"{found}{', '.join([self.model, *self._details()])}"

    def _details(self) -> Iterator[str]:
        if self.stabiliser is not None:
            yield "on a scale on which the noise is alike everywhere"
        if self.halvings:
            side = 2**self.halvings
            yield f"on the means of {side}x{side} pixels"
        if self.gain < 1 and self.stabiliser is None:
            yield f"at {self.gain:.0%} of the contrast"
        if self.split:
            yield "in full size and as every other pixel"
        if self.weight < 0.95:
            yield f"{self.weight:.0%} of what it takes off"


def plan_for(estimate: NoiseEstimate, channels: int) -> Plan:
    """The plan for a picture of so many colour channels, 1 or 3, with such noise.

    Raises
    ------
    InputError
        If no shipped model is for such pictures.
    """
    name, card = _model_for(estimate.kind, channels)
    known = estimate.kind in card["knows"]["noise"]
    plan = Plan(estimate=estimate, model=name, warnings=tuple(_warnings(estimate, card)))
    if estimate.kind == "none":
        return replace(plan, weight=0.0)
    if estimate.kind == "correlated":
        # Better by 0.15 dB of photographs even with a model that knows such noise, worse where it is fine; measured.
        return replace(plan, split=not estimate.in_colours_alone or estimate.in_colours[1] >= COARSE_IN_COLOURS)
    if estimate.kind == "unknown":
        return plan
    if estimate.kind == "signal-dependent" and known:
        return replace(plan, halvings=_halvings(255 * _contrast(estimate, 0)[1], FEW_PHOTONS))
    if estimate.kind == "signal-dependent":
        return _stabilised(plan, estimate)
    halvings = _halvings(estimate.level, WHITE)
    return _weighted(replace(plan, halvings=halvings), estimate.level / 2**halvings)


def unsuited(estimate: NoiseEstimate, model: str) -> str | None:
    """Why a model is not the best choice for a picture with such noise, in a few words; None where it is or may be.

    Nothing is known of a model without a card, nor of noise that the estimate is not sure of.
    """
    from ..models.cards import shipped_cards

    card = shipped_cards().get(model)
    if card is None:
        return None
    known = card["knows"]
    low, high = known["sigma"]
    weak = estimate.kind == "none" or (estimate.kind == "white" and estimate.level < WELL_BELOW * low)
    strong = estimate.kind == "white" and estimate.level > WELL_ABOVE * high
    # Little white noise beside structure may be much noise that neighbours share; of JPEG's blocks a part is taken off.
    unsure = estimate.kind == "unknown" or (weak and (estimate.coarse >= SMOOTH or estimate.blockiness >= COMPRESSED))
    if unsure or (estimate.kind in known["noise"] and not weak and not strong):
        return None
    if estimate.kind == "none":
        return f"{estimate.text}; {model} takes detail off clean pictures"
    return f"{estimate.text}; {model} is for {' and '.join(known['noise'])} noise of sigma {low:g} to {high:g}"


def _halvings(level: float, most: float) -> int:
    """How often 2x2 pixels have to be averaged for noise of no more than a level."""
    return next((number for number in range(_MOST_HALVINGS) if level / 2**number <= most), _MOST_HALVINGS)


def _weighted(plan: Plan, level: float) -> Plan:
    """With the contrast and the share that suit a level of white noise on the 0-255 scale."""
    # Cubes rather than squares: near the level that a model takes off in any case, texture has more to lose; measured.
    share = level**3 / (level**3 + FALSE_NOISE**3)
    gain = min(1.0, HIGHEST / level)
    sigma = gain * level / 255 if level < _WEAK else 0.0
    return replace(plan, gain=gain, sigma=sigma, weight=share if share >= LEAST_WEIGHT else 0.0)


def _stabilised(plan: Plan, estimate: NoiseEstimate) -> Plan:
    """With a transform that gives the noise a standard deviation of 1, and its range the contrast that suits that."""
    halvings = _halvings(255 * _contrast(estimate, 0)[1], PHOTONS)
    stabiliser, contrast = _contrast(estimate, halvings)
    offset = float(stabiliser.forward(np.array([0.0, 1.0])).mean())
    plan = _weighted(replace(plan, stabiliser=stabiliser, offset=offset, halvings=halvings), contrast * 255)
    return replace(plan, gain=contrast * plan.gain)


def _contrast(estimate: NoiseEstimate, halvings: int) -> tuple[Stabiliser, float]:
    """The transform for means of pixels, and the contrast that brings black and white to 0 and 1 after it."""
    share = 0.25**halvings
    stabiliser = Stabiliser(estimate.slope / 255 * share, estimate.intercept / 255**2 * share)
    low, high = stabiliser.forward(np.array([0.0, 1.0]))
    return stabiliser, 1 / max(float(high - low), 1e-6)


def _model_for(kind: str, channels: int) -> tuple[str, Mapping[str, Any]]:
    """The shipped denoiser that knows such noise, else one that knows white noise; a gray one where none is colour."""
    from ..models.cards import shipped_cards

    cards = {
        name: card
        for name, card in shipped_cards().items()
        if card["task"] == "denoise" and card["knows"]["automatic"] and card["channels"] in (1, channels)
    }
    if not cards:
        raise InputError(f"no model that comes with the package denoises pictures of {channels} channels; name one")

    def suits(name: str) -> tuple[bool, bool, bool]:
        noise = cards[name]["knows"]["noise"]
        return cards[name]["channels"] == channels, kind in noise, "white" in noise

    best = max(sorted(cards), key=suits)
    return best, cards[best]


def _warnings(estimate: NoiseEstimate, card: Mapping[str, Any]) -> Iterator[str]:
    """What the user should know: noise that the model was not trained for."""
    highest = float(card["knows"]["sigma"][1])
    if estimate.kind == "unknown":
        yield "the picture is too small to tell how noisy it is"
    if estimate.kind == "correlated" and "correlated" not in card["knows"]["noise"]:
        yield (
            "neighbouring pixels share its noise, as JPEG leaves it, and no model that comes with the package was "
            "trained for that: a part of it will stay"
        )
    if estimate.kind == "none" and estimate.coarse >= DOUBTFUL:
        yield (
            f"it has no white noise, but structure of sigma {estimate.coarse:.0f} of 255 at half the size, which is "
            "texture or noise that neighbouring pixels share; if it is noise, name a model"
        )
    if estimate.kind in ("white", "signal-dependent") and estimate.level > highest:
        yield (
            f"its noise of sigma {estimate.level:.0f} is stronger than the {highest:g} of 255 that the model was "
            "trained for: it sees the picture at less contrast, and details will be lost"
        )
