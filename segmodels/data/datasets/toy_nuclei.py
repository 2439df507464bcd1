"""Painted H&E-stained tissue with every nucleus labelled, so that instances and tiles can be tried without a download.

Pictures are made the way a stained slide is: each pixel holds an amount of haematoxylin (blue, in nuclei) and of eosin
(pink, everywhere else), and light is absorbed by both. Amounts are float32 planes `(256, 256)`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from segmodels.data.dataset import ClassLabel, Sample
from segmodels.data.datasets.texture import GeneratedDataset, edges, grid, smoothstep, value_noise

SEED = 20_240_602
SIZE = 256
BACKGROUND, NUCLEUS, BORDER = 0, 1, 2
TISSUES = ("stroma", "gland", "sheet")
#: The optical density (red, green, blue) of haematoxylin, eosin and brown pigment.
STAINS = np.array([[0.56, 0.72, 0.41], [0.22, 0.80, 0.56], [0.35, 0.60, 0.72]], np.float32)
#: A nucleus that would show fewer pixels than this is left out.
LEAST_PIXELS = 30


class ToyNuclei(GeneratedDataset):
    name = "toy-nuclei"
    title = "Toy nuclei"
    description = (
        "320 painted microscope pictures of stained tissue: cell nuclei that touch and overlap, among fibres, gaps, "
        "blood cells and pigment. Labelled as nucleus, border and background, with every nucleus numbered. No download."
    )
    classes = (ClassLabel("background", "#56606B"), ClassLabel("nucleus", "#56B4E9"), ClassLabel("border", "#F0E442"))
    has_instances = True
    any_orientation = True
    version = 1
    groups = TISSUES

    def read_image(self, sample: Sample) -> np.ndarray:
        return _painted(*self.place_of(sample))[0].copy()

    def read_mask(self, sample: Sample) -> np.ndarray:
        labels = _painted(*self.place_of(sample))[1]
        mask = np.where(labels > 0, NUCLEUS, BACKGROUND).astype(np.uint8)
        rim = edges(labels)
        mask[ndimage.binary_dilation(rim) & (labels > 0)] = BORDER
        return mask

    def read_instances(self, sample: Sample) -> np.ndarray:
        """The nuclei, numbered from 1 without gaps: int32 `(256, 256)`, 0 where there is none."""
        return _painted(*self.place_of(sample))[1].astype(np.int32)


@dataclass(frozen=True)
class Nucleus:
    """Where a nucleus is wished to be, in pixels, and how it looks.

    `angle` is that of its long axis, `stretch` long over short axis, `stain` how much haematoxylin it took, and `pale`
    from 0 (evenly dark) to 1 (a clear middle within a dark membrane).
    """

    y: float
    x: float
    radius: float
    angle: float
    stretch: float
    stain: float
    pale: float


# A picture takes 320 kB, so only those being read right now are kept.
@functools.lru_cache(maxsize=32)
def _painted(split: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and nuclei of one sample. Callers copy them: the cache's own arrays stay as they are."""
    rng = np.random.default_rng([SEED, split, index])
    tissue = TISSUES[index % len(TISSUES)]
    grain = rng.uniform(0, np.pi)  # the direction of the fibres
    gaps, lumens = _gaps(rng, tissue)
    labels, depth, overlap, placed = _place(rng, _wishes(rng, tissue, grain, lumens), gaps)

    haematoxylin, eosin = _ground(rng, grain, gaps)
    _stain_nuclei(rng, labels, depth, overlap, placed, haematoxylin, eosin)
    brown = _debris(rng, (labels == 0) * (1 - gaps), haematoxylin, eosin)
    return _photographed(rng, haematoxylin, eosin, brown), labels.astype(np.int16)


def _gaps(rng: np.random.Generator, tissue: str) -> tuple[np.ndarray, list[tuple[float, float, float]]]:
    """Where there is no tissue (a plane from 0 to 1), and the lumens of glands as (row, column, radius)."""
    threshold = rng.uniform(0.45, 0.95)
    gaps = smoothstep(threshold, threshold + 0.06, value_noise(rng, (SIZE, SIZE), rng.uniform(30, 60), octaves=2))
    lumens: list[tuple[float, float, float]] = []
    if tissue == "gland":
        rows, columns = grid((SIZE, SIZE))
        wobble = 5 * value_noise(rng, (SIZE, SIZE), 25)
        for _ in range(rng.integers(2, 5)):
            y, x, radius = rng.uniform(20, SIZE - 20), rng.uniform(20, SIZE - 20), rng.uniform(10, 30)
            if all(np.hypot(y - v, x - u) > radius + r + 45 for v, u, r in lumens):
                lumens.append((y, x, radius))
                far = np.hypot(rows - np.float32(y), columns - np.float32(x))
                gaps = np.maximum(gaps, smoothstep(-1, 1, radius + wobble - far))
    return gaps, lumens


def _wishes(
    rng: np.random.Generator, tissue: str, grain: float, lumens: list[tuple[float, float, float]]
) -> list[Nucleus]:
    """The nuclei that a tissue would have if none were in another's way, those that matter most first."""
    stain, pale = rng.uniform(0.9, 1.3), rng.uniform(0, 0.9)
    size = rng.uniform(1.0, 1.4)

    def nucleus(y: float, x: float, radius: float, angle: float, stretch: float, dark: float = 1.0) -> Nucleus:
        paleness = float(np.clip(rng.normal(pale, 0.25), 0, 1)) if dark <= 1 else 0.0
        return Nucleus(
            y,
            x,
            radius * size * rng.lognormal(0, 0.15),
            angle,
            stretch,
            stain * dark * rng.lognormal(0, 0.15),
            paleness,
        )

    def anywhere() -> tuple[float, float]:
        return rng.uniform(0, SIZE), rng.uniform(0, SIZE)

    def cluster(count: int, radius: float, stretch: float, dark: float) -> list[Nucleus]:
        """Each next nucleus is set against one that is there, so that they touch."""
        found = [nucleus(*anywhere(), radius, rng.uniform(0, np.pi), stretch, dark)]
        for _ in range(count - 1):
            beside = found[rng.integers(len(found))]
            step, way = 1.8 * radius * size * rng.uniform(0.9, 1.15), rng.uniform(0, 2 * np.pi)
            y, x = beside.y + step * np.sin(way), beside.x + step * np.cos(way)
            found.append(nucleus(y, x, radius, rng.uniform(0, np.pi), rng.uniform(1, stretch), dark))
        return found

    wishes: list[Nucleus] = []
    if tissue == "gland":
        for y, x, radius in lumens:
            for ring in range(rng.integers(1, 3)):
                out = radius + 13 + 15 * ring
                for way in np.arange(0, 2 * np.pi, 10.5 * size / out) + rng.uniform(0, 6):
                    far = out + rng.normal(0, 2.5)
                    wishes.append(
                        nucleus(y + far * np.sin(way), x + far * np.cos(way), 6.5, way, rng.uniform(1.2, 1.8))
                    )
    if tissue == "sheet":
        for _ in range(rng.integers(10, 19)):
            wishes += cluster(int(rng.integers(3, 10)), rng.uniform(7.5, 10), 1.5, 1.0)
    for _ in range(rng.integers(2, 6)):  # lymphocytes: small, round and dark
        wishes += cluster(int(rng.integers(2, 9)), rng.uniform(4.6, 5.8), 1.15, 1.25)
    if tissue == "stroma":
        for _ in range(rng.integers(4, 9)):
            wishes += cluster(int(rng.integers(2, 7)), rng.uniform(6, 9), 1.6, 1.0)
    for _ in range(rng.integers(15, 45) if tissue != "sheet" else 8):  # spindle cells along the fibres
        wishes.append(nucleus(*anywhere(), rng.uniform(4.5, 6), grain + rng.normal(0, 0.25), rng.uniform(1.8, 3.2)))
    return wishes


def _place(
    rng: np.random.Generator, wishes: list[Nucleus], gaps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Nucleus]]:
    """Lay the nuclei out, each under those before it, and leave out what would be hidden, in a gap or in two pieces.

    Returns:
        The numbers from 1 (int32), the depth below the outline from 0 to 1, the count of nuclei hidden beneath, and the
        nuclei that were placed.
    """
    labels = np.zeros((SIZE, SIZE), np.int32)
    depth, overlap = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    placed: list[Nucleus] = []
    orders = np.arange(2, 6)
    for wish in wishes:
        middle = min(max(int(wish.y), 0), SIZE - 1), min(max(int(wish.x), 0), SIZE - 1)
        if labels[middle] or gaps[middle] > 0.3:
            continue
        waves = rng.normal(0, 0.18, 4) / orders * np.exp(1j * rng.uniform(0, 2 * np.pi, 4))
        reach = int(wish.radius * wish.stretch**0.5 * 1.3) + 2
        top, left = max(int(wish.y) - reach, 0), max(int(wish.x) - reach, 0)
        window = np.s_[top : max(int(wish.y) + reach, 0), left : max(int(wish.x) + reach, 0)]
        here = labels[window]
        if here.size < LEAST_PIXELS:
            continue
        below = _depth_in(wish, waves, here.shape[0], here.shape[1], top, left)
        inside = below > 0
        taken = inside & (here > 0)
        free = inside & (here == 0)
        visible, hidden = int(free.sum()), int(taken.sum())
        if visible < LEAST_PIXELS or hidden > 0.2 * (visible + hidden) or (hidden and ndimage.label(free)[1] > 1):
            continue
        placed.append(wish)
        here[free] = len(placed)
        depth[window][free] = below[free]
        overlap[window][taken] += 1
    return labels, depth, overlap, placed


def _depth_in(wish: Nucleus, waves: np.ndarray, height: int, width: int, top: int, left: int) -> np.ndarray:
    """The depth below a nucleus' outline, 1 in its middle and under 0 outside: float32 `(height, width)`.

    The outline's radius is 1 + the real part of a polynomial of the direction (a complex number of length 1), whose
    coefficients are `waves`: 2, 3, 4 and 5 of them a turn.
    """
    y = np.arange(top - wish.y, top - wish.y + height - 0.5, dtype=np.float32)[:, None] / np.float32(wish.radius)
    x = np.arange(left - wish.x, left - wish.x + width - 0.5, dtype=np.float32)[None] / np.float32(wish.radius)
    cos, sin, squeeze = np.float32(np.cos(wish.angle)), np.float32(np.sin(wish.angle)), np.float32(wish.stretch**0.5)
    unit = np.empty((height, width), np.complex64)
    unit.real = x * (cos / squeeze) + y * (sin / squeeze)
    unit.imag = y * (cos * squeeze) - x * (sin * squeeze)
    distance = np.abs(unit) + np.float32(1e-6)
    unit /= distance
    wave = unit * np.complex64(waves[3])
    for factor in (waves[2], waves[1], waves[0]):
        wave += np.complex64(factor)
        wave *= unit
    return 1 - distance / (1 + (wave * unit).real)


def _ground(rng: np.random.Generator, grain: float, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The amounts of haematoxylin and eosin in cytoplasm and fibres, without nuclei."""
    shape = (SIZE, SIZE)
    rows, columns = grid(shape)
    across = columns * np.float32(-np.sin(grain)) + rows * np.float32(np.cos(grain))
    bend = 14 * value_noise(rng, shape, 60) + 3 * value_noise(rng, shape, 14)
    fibres = 1 - np.abs(np.sin((across + bend) * np.float32(2 * np.pi / rng.uniform(16, 34))))
    fibres *= np.clip(0.6 + 0.7 * value_noise(rng, shape, 35), 0, 1)
    clumps = value_noise(rng, shape, 22, octaves=3)
    fine = value_noise(rng, shape, 2.2)
    eosin = rng.uniform(0.4, 0.65) + rng.uniform(0.1, 0.45) * fibres + 0.14 * clumps + 0.05 * fine
    # Bluish cytoplasm and mucus: haematoxylin alone does not make a nucleus.
    bluish = smoothstep(0.0, 0.9, value_noise(rng, shape, rng.uniform(25, 60), octaves=2))
    haematoxylin = 0.1 + rng.uniform(0.05, 0.42) * bluish * (1 + 0.25 * fine) + 0.05 * clumps
    return haematoxylin * (1 - 0.95 * gaps), np.maximum(eosin, 0.1) * (1 - 0.95 * gaps)


def _stain_nuclei(
    rng: np.random.Generator,
    labels: np.ndarray,
    depth: np.ndarray,
    overlap: np.ndarray,
    placed: list[Nucleus],
    haematoxylin: np.ndarray,
    eosin: np.ndarray,
) -> None:
    """Add the nuclei's stain to the two planes in place: chromatin, membranes and nucleoli."""
    stain = np.array([0.0, *(n.stain for n in placed)], np.float32)[labels]
    pale = np.array([0.0, *(n.pale for n in placed)], np.float32)[labels]
    chromatin = value_noise(rng, labels.shape, 3.2) + 0.5 * value_noise(rng, labels.shape, 7)
    even = 0.85 + 0.3 * chromatin
    membrane = np.exp(-((depth / 0.16) ** 2))
    clear = 0.3 + 0.5 * membrane + 0.5 * smoothstep(0.25, 0.6, chromatin)
    inside = labels > 0
    amount = stain * np.maximum(even + (clear - even) * pale, 0.15) * (1 + 0.4 * overlap)
    haematoxylin[inside] = haematoxylin[inside] * 0.4 + amount[inside]
    eosin[inside] *= 0.6


def _debris(rng: np.random.Generator, free: np.ndarray, haematoxylin: np.ndarray, eosin: np.ndarray) -> np.ndarray:
    """Add what is no nucleus to the two planes in place: red blood cells and smears of stain, where `free` is near 1.

    Returns:
        The amount of brown pigment, which lies over everything.
    """
    brown = np.zeros_like(eosin)

    def blot(place: np.ndarray, radius: float) -> tuple[tuple[slice, slice], np.ndarray]:
        """A window around a place (row, column), and in it the distance from that place in radii."""
        y, x = float(place[0]), float(place[1])
        reach = int(2 * radius) + 1
        top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
        window = np.s_[top : int(y) + reach, left : int(x) + reach]
        rows, columns = np.ogrid[top : min(int(y) + reach, SIZE), left : min(int(x) + reach, SIZE)]
        return window, (np.hypot(rows - y, columns - x) / radius).astype(np.float32)

    for _ in range(rng.integers(0, 5)):  # red blood cells come in groups
        y, x = rng.uniform(0, SIZE, 2)
        for _ in range(rng.integers(2, 9)):
            cell, r = blot(np.clip((y + rng.normal(0, 12), x + rng.normal(0, 12)), 0, SIZE - 1), rng.uniform(4, 5.5))
            disc = smoothstep(1.1, 0.9, r) * free[cell]
            eosin[cell] += disc * (rng.uniform(0.7, 1.0) - 0.35 * np.exp(-((r / 0.5) ** 2)) - eosin[cell] * 0.5)
            haematoxylin[cell] *= 1 - 0.7 * disc
    for _ in range(rng.integers(0, 9)):  # pigment
        y, x = rng.uniform(0, SIZE, 2)
        for _ in range(rng.integers(1, 6)):
            cell, r = blot(np.clip((y + rng.normal(0, 4), x + rng.normal(0, 4)), 0, SIZE - 1), rng.uniform(1.2, 3))
            brown[cell] = np.maximum(brown[cell], smoothstep(1.2, 0.7, r) * rng.uniform(0.6, 1.6))
    for _ in range(
        rng.integers(0, 7)
    ):  # smears of stain out of focus, as dark as a pale nucleus but without an outline
        cell, r = blot(rng.uniform(0, SIZE - 1, 2), rng.uniform(6, 14))
        haematoxylin[cell] += np.exp(-((r / 0.8) ** 2)) * free[cell] * np.float32(rng.uniform(0.3, 0.8))
    return brown


def _photographed(
    rng: np.random.Generator, haematoxylin: np.ndarray, eosin: np.ndarray, brown: np.ndarray
) -> np.ndarray:
    """Let light through the stains, whose tints and strengths differ from laboratory to laboratory: uint8 RGB."""
    stains = np.clip(STAINS * rng.normal(1, 0.08, STAINS.shape), 0.02, None) * rng.normal(1, 0.12, (3, 1))
    blur = rng.uniform(0.5, 1.0)
    amounts = np.stack(
        [ndimage.gaussian_filter(plane, blur, truncate=2.0) for plane in (haematoxylin, eosin, brown)], -1
    )
    lamp = 248 * rng.normal(1, 0.012, 3).astype(np.float32)
    light = lamp * np.exp(-(amounts @ stains.astype(np.float32)))
    # Even noise: three times as fast as normal noise, and it looks the same.
    light += (rng.random(light.shape, np.float32) - np.float32(0.5)) * np.float32(rng.uniform(5, 17))
    return np.clip(light + 0.5, 0, 255).astype(np.uint8)
