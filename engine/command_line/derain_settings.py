"""What the options of `derain` say: checked, and the model that they name."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .denoise_picture import DenoiseSettings
from .one_picture import Model


def check_derain_options(add_rain: str | None, seed: int | None, strength: float | None) -> None:
    """InputError where an option is out of range or has no meaning, before anything is read."""
    from ..pictures.rain import check_intensity
    from ..tasks.denoising import check_strength

    if seed is not None and add_rain is None:
        raise InputError(f"--seed {seed} has no meaning without --add-rain; name the rain to add")
    if add_rain is not None:
        check_intensity(add_rain)
    check_strength(strength)


def derain_settings(
    model: str,
    steps: int | None,
    add_rain: str | None = None,
    seed: int | None = None,
    strength: float | None = None,
    **shared: Any,
) -> DenoiseSettings:
    """Settings of checked options; `shared` are those that all commands on pictures have.

    Raises
    ------
    SpikeunetError
        If the model cannot be read, or is no derainer.
    """
    from ..tasks.deraining import derainer

    chosen = Model.of(model, derainer(model), steps)
    return DenoiseSettings(
        model_for=lambda _: chosen, seed=seed or 0, strength=strength, derains=True, rain=add_rain, **shared
    )
