"""How noisy a picture is, and of what kind the noise is, before anything is done about it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError, PictureError
from .noise_level import LEAST_SIDE, WhiteNoise, white_noise
from .noise_structure import SignalDependence, blockiness, halved, signal_dependence
from .ranges import SampleRange, check_sample_range, found_range, to_unit, type_range, within_reach
from .samples import as_picture, check_shape, split_transparency, without_equal_channels

KINDS = ("none", "white", "signal-dependent", "correlated", "unknown")
"""What noise may be: too little to matter; the same everywhere and different from pixel to pixel; as white noise, but
stronger where the picture is brighter; shared by neighbouring pixels, as what JPEG leaves of it; of a picture too small
to tell."""

CLEAN = 1.5
"""White noise below this, on the 0-255 scale, is too little to tell from texture, and to gain anything by denoising."""

COMPRESSED = 1.12
"""Blockiness from which a picture was compressed to blocks."""

_TEXTURE = 0.25
"""Share of what stands out at half the size that the finest texture adds to the level; measured."""

_SMOOTH, _LIKE_TEXTURE = 0.009, 5.0
"""With a smaller share of smooth patches, noise weaker than this is texture: next to every picture with noise that was
measured has more of them, 1 % and above with stronger noise, and what has fewer gains little by denoising."""

_COMPRESSED_AWAY, _COARSE = 3.0, 0.3
"""In a compressed picture with less white noise than this, what is seen at half the size is noise, if so much is."""

_BEYOND_TEXTURE = 20.0
"""Without white noise, so much at half the size is noise that neighbours share: no clean picture measured has it."""

_COLOUR_DIRECTIONS = np.array([[1, 0, -1], [1, -2, 1]], np.float32) / np.sqrt(np.array([[2], [6]], np.float32))
"""Of what red, green and blue differ by; white noise keeps its level along them."""

_IN_COLOURS = 2.0, 5.0
"""In what the channels differ by, clean pictures have less than this at half and at a quarter of the size."""

_FEW_SHADES = 40
"""Colours of pictures with no more shades in a channel, as in a palette's, differ by what rounding to these left."""

_WHITE_IN_COLOURS = 0.6
"""Share of what the channels differ by at half the size that white noise has at least in full size."""

_LEAST_LEVEL = 4.0
"""From this level it can be told whether white noise depends on the signal."""

_LOOKED_AT = 2**15

_TILE, _TILES = 256, 4
"""Large pictures are looked at in so many tiles each way, evenly spread, of such a side."""


@dataclass(frozen=True, kw_only=True)
class NoiseEstimate:
    """The noise in a picture, on the scale from black 0 to white 255 whatever its sample type.

    Parameters
    ----------
    kind : str
        One of KINDS: "none", "white", "signal-dependent", "correlated" or "unknown".
    sigma : tuple of float
        Standard deviation of the white noise by colour channel: what is as strong in the finest detail as elsewhere.
    coarse : float
        The same measured on the picture at half its size, times two: equal to `sigma` for white noise in a smooth
        picture, larger for correlated noise and for coarse texture, which it does not tell apart.
    slope, intercept : float
        The variance of the noise is slope * sample + intercept, both on the 0-255 scale; 0 and 0 where it is not known.
    blockiness : float
        How much larger steps between blocks of 8x8 pixels are than others, about 1 without JPEG's blocks.
    in_colours : tuple of float
        Noise in what the colour channels differ by, at half and at a quarter of the size, times two and four: next to
        none in clean pictures, whose texture the channels share; 0 and 0 for gray ones.
    """

    kind: str
    sigma: tuple[float, ...]
    coarse: float
    slope: float
    intercept: float
    blockiness: float
    in_colours: tuple[float, float] = (0.0, 0.0)

    @property
    def level(self) -> float:
        """Root of the mean square of `sigma`."""
        return _together(self.sigma)

    @property
    def correlated(self) -> bool:
        """Whether neighbouring pixels have noise in common."""
        return self.kind == "correlated"

    @property
    def in_colours_alone(self) -> bool:
        """Whether nothing but the colours tells that there is noise, which neighbouring pixels share."""
        return _shared_in_colours(self.level, self.in_colours)

    @property
    def text(self) -> str:
        """The estimate in a few words."""
        shared = self.in_colours[0] if self.in_colours_alone else self.coarse
        level = f"sigma {self.level:.1f} of 255"
        blocks = " and JPEG blocks" if self.blockiness >= COMPRESSED else ""
        return {
            "none": "no noise to speak of",
            "white": f"white noise, {level}",
            "signal-dependent": f"noise that grows with the signal, {level} on average",
            "correlated": f"noise that neighbouring pixels share{blocks}, sigma {shared:.1f} at half the size",
            "unknown": "too small a picture to tell its noise",
        }[self.kind]


def estimate_noise(picture: ArrayLike, sample_range: SampleRange | None = None) -> NoiseEstimate:
    """Estimate how noisy a picture is, and of what kind the noise is.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        As `denoise` takes it; transparency is not looked at.
    sample_range : (low, high), optional
        Samples of black and white; by default what `denoise` would take them for.

    Returns
    -------
    NoiseEstimate
        The same for the same picture, whatever the machine's number of processors.

    Raises
    ------
    PictureError, InputError
        As `denoise`.
    """
    samples = as_array(picture, "the picture", PictureError)
    check_shape(samples)
    colors, _ = split_transparency(samples)
    found = found_range(colors) if sample_range is None else None
    named = (0.0, 1.0) if sample_range is None else check_sample_range(sample_range)
    if found is None:
        as_picture(samples, named)
    limits = found or (type_range(colors.dtype) if sample_range is None else check_sample_range(named, colors.dtype))
    unit = to_unit(colors, limits, anywhere=found is not None)
    return estimate_unit_noise(without_equal_channels(unit if found is None else within_reach(unit)))


def estimate_unit_noise(unit: NDArray[Any]) -> NoiseEstimate:
    """As `estimate_noise`, of a picture (H, W) or (H, W, C) from black 0 to white 1."""
    if unit.ndim not in (2, 3) or not unit.size:
        raise InputError(
            f"a picture to estimate the noise of must have the shape (H, W) or (H, W, C) (got {unit.shape})"
        )
    colors = np.atleast_3d(unit)
    if min(unit.shape[:2]) >= LEAST_SIDE and _of_two_shades(colors):
        return NoiseEstimate(
            kind="none", sigma=(0.0,) * colors.shape[2], coarse=0.0, slope=0.0, intercept=0.0, blockiness=1.0
        )
    planes = [_looked_at(colors[..., channel]) * np.float32(255) for channel in range(colors.shape[2])]
    halves = [2 * _noise(np.stack([halved(tile) for tile in tiles])).level for tiles in planes]
    sigma = tuple(_without_texture(_noise(tiles), half) for tiles, half in zip(planes, halves, strict=True))
    coarse = _together(halves)
    blocks = float(np.median([blockiness(tile) for tile in np.mean(planes, axis=0)]))
    line = signal_dependence([tile for tiles in planes for tile in tiles])
    in_colours = _in_colours(planes)
    return NoiseEstimate(
        kind=_kind(sigma, coarse, blocks, line, in_colours),
        sigma=tuple(map(_number, sigma)),
        coarse=_number(coarse),
        slope=0.0 if line is None else line.slope,
        intercept=0.0 if line is None else line.intercept,
        blockiness=blocks,
        in_colours=in_colours,
    )


def _of_two_shades(colors: NDArray[Any]) -> bool:
    """Whether a picture (H, W, C) is black and white without gray, or so in each channel: there noise has no level."""
    planes = [colors[..., channel] for channel in range(colors.shape[2])]
    # Nearly all pictures are told by a few of their rows.
    return all(_are_two(plane[:: _TILE // 4]) for plane in planes) and all(map(_are_two, planes))


def _are_two(samples: NDArray[Any]) -> bool:
    return bool(((samples == samples.min()) | (samples == samples.max())).all())


def _kind(
    sigma: tuple[float, ...],
    coarse: float,
    blocks: float,
    line: SignalDependence | None,
    in_colours: tuple[float, float],
) -> str:
    level = _together(sigma)
    if math.isnan(level + coarse):
        return "unknown"
    if _shared_in_colours(level, in_colours):
        return "correlated"
    if blocks >= COMPRESSED and level < _COMPRESSED_AWAY:
        return "correlated" if coarse >= _COARSE else "none"
    if level < CLEAN:
        return "correlated" if coarse >= _BEYOND_TEXTURE else "none"
    return "signal-dependent" if level >= _LEAST_LEVEL and _depends(level, line) else "white"


def _shared_in_colours(level: float, in_colours: tuple[float, float]) -> bool:
    """Whether the colours have noise that neighbours share: coarser than white noise of the level that was found."""
    strong = all(found >= least for found, least in zip(in_colours, _IN_COLOURS, strict=True))
    return strong and level < _WHITE_IN_COLOURS * in_colours[0]


def _in_colours(planes: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """What the channels (n, H, W) differ by, at half and at a quarter of the size; 0 where it cannot be told."""
    if len(planes) != len(_COLOUR_DIRECTIONS[0]) or min(map(_shades, planes)) <= _FEW_SHADES:
        return 0.0, 0.0
    found = []
    for direction in _COLOUR_DIRECTIONS:
        # Plain sums, without BLAS, whose threads cost more than they save.
        tiles = sum(weight * plane for weight, plane in zip(direction, planes, strict=True))
        half = [halved(tile) for tile in np.asarray(tiles)]
        quarter = [halved(tile) for tile in half]
        found.append([2 * _noise(np.stack(half)).level, 4 * _noise(np.stack(quarter)).level])
    half_size, quarter_size = (round(_together(levels), 3) for levels in zip(*found, strict=True))
    return (0.0, 0.0) if math.isnan(half_size + quarter_size) else (half_size, quarter_size)


def _shades(plane: NDArray[np.float32]) -> int:
    """How many shades of 255 there are, among some thousand samples evenly spread."""
    return len(np.unique(np.rint(plane.ravel()[:: max(1, plane.size // _LOOKED_AT)])))


def _depends(level: float, line: SignalDependence | None) -> bool:
    """Whether noise is so much stronger in bright places that it is no chance: texture misleads where noise is weak."""
    return line is not None and line.slope > 0 and line.ratio >= 1.08 + 3 / level


def _looked_at(plane: NDArray[Any]) -> NDArray[np.float32]:
    """The tiles (n, H, W) of a plane that are looked at: all of it, unless it is large."""
    samples = np.asarray(plane, np.float32)
    whole = _TILE * _TILES
    if min(samples.shape) < whole:
        return samples[None, : 2 * whole, : 2 * whole] if max(samples.shape) > 2 * whole else samples[None]
    return np.stack(list(_tiles(samples)))


def _tiles(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for row in np.linspace(0, samples.shape[0] - _TILE, _TILES).astype(int):
        for column in np.linspace(0, samples.shape[1] - _TILE, _TILES).astype(int):
            yield samples[row : row + _TILE, column : column + _TILE]


def _noise(tiles: NDArray[np.float32]) -> WhiteNoise:
    """White noise of the tiles taken together, one below the other."""
    return white_noise(tiles.reshape(tiles.shape[0] * tiles.shape[1], tiles.shape[2]))


def _without_texture(noise: WhiteNoise, coarse: float) -> float:
    """The level without what texture adds, of which more is seen at half the size, where white noise is as strong.

    Rounded, so that what processors round differently does not decide what is done.
    """
    if math.isnan(noise.level + coarse):
        return math.nan
    texture = _TEXTURE**2 * max(coarse**2 - noise.level**2, 0.0)
    level = round(math.sqrt(max(noise.level**2 - texture, 0.0)), 3)
    return 0.0 if noise.smooth < _SMOOTH and level < _LIKE_TEXTURE else level


def _together(levels: Sequence[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(sum(each * each for each in levels) / len(levels))


def _number(level: float) -> float:
    return 0.0 if math.isnan(level) else level
