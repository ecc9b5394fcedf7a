"""What the options of `denoise` say: checked, and the models that they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..errors import InputError
from ..tasks.denoising import default_models
from .denoise_picture import DenoiseSettings
from .one_picture import Model


def check_denoise_options(
    add_noise: float | None, seed: int | None, strength: float | None, self_ensemble: int = 1
) -> None:
    """InputError where an option is out of range or has no meaning, before anything is read."""
    from ..pictures.noise import check_sigma
    from ..tasks.denoising import check_strength
    from ..tasks.views import check_self_ensemble

    if seed is not None and add_noise is None:
        raise InputError(f"--seed {seed} has no meaning without --add-noise; name the noise to add")
    if add_noise is not None:
        check_sigma(add_noise)
    check_strength(strength)
    check_self_ensemble(self_ensemble)


def denoise_settings(
    model: str | None,
    steps: int | None,
    add_noise: float | None = None,
    seed: int | None = None,
    strength: float | None = None,
    exact_increments: bool = False,
    self_ensemble: int = 1,
    **shared: Any,
) -> DenoiseSettings:
    """Settings of checked options; `shared` are those that all commands on pictures have.

    Raises
    ------
    SpikeunetError
        If the model that is named cannot be read, or is no denoiser.
    """
    from ..tasks.automatic import AUTO

    return DenoiseSettings(
        model_for=_models(None if model == AUTO else model, steps, default_models(exact_increments)),
        sigma=add_noise,
        seed=seed or 0,
        strength=strength,
        automatic=_by_name(steps) if model == AUTO else None,
        # Advice is for who leaves all to the program, and to take what another choice takes.
        advises=model is None and add_noise is None and strength is None and not exact_increments,
        exact_increments=exact_increments,
        self_ensemble=self_ensemble,
        **shared,
    )


def _models(name: str | None, steps: int | None, defaults: Mapping[int, str]) -> Callable[[int], Model]:
    """The model by a picture's colour channels: the one that is named, else a shipped one, loaded when it is needed."""
    loaded = _by_name(steps)
    if name is None:
        return lambda colors: loaded(defaults[colors])
    loaded(name)  # A model that cannot be read stops the command before it reads a picture.
    return lambda _: loaded(name)


def _by_name(steps: int | None) -> Callable[[str], Model]:
    """Models by name, each loaded once."""
    from ..tasks.restorers import denoiser

    @cache
    def loaded(name: str) -> Model:
        return Model.of(name, denoiser(name), steps)

    return loaded
