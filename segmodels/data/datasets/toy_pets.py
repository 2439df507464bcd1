"""Drawn cats and dogs with trimaps like those of the Oxford pets, so that everything can be tried without a download.

What is not a pet shares the pets' colours and patterns, so that only shape tells them apart.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from segmodels.data.dataset import ClassLabel, Sample
from segmodels.data.datasets.pet_figures import Limb, figure, limb_field
from segmodels.data.datasets.texture import (
    FUR,
    PATTERNS,
    GeneratedDataset,
    Shape,
    edges,
    fabric,
    grid,
    lay_over,
    natural_colour,
    pattern,
    smoothstep,
    value_noise,
)

SEED = 20_240_601
PET, BACKGROUND, BORDER = 0, 1, 2
SPECIES = ("cat", "dog")
#: Heights and widths, all of about 16,400 pixels.
SHAPES: tuple[Shape, ...] = ((128, 128), (112, 144), (104, 160), (144, 112))
#: Pixels nearer than this to a silhouette's edge, on either side, are border.
BORDER_REACH = 1.7


class ToyPets(GeneratedDataset):
    name = "toy-pets"
    title = "Toy pets"
    description = (
        "320 small drawn scenes with cats and dogs: many poses, furs and places, among cushions, balls and plants "
        "in the same colours. Labelled like the Oxford pets: pet, background and the border between them. No download."
    )
    classes = (ClassLabel("pet", "#E69F00"), ClassLabel("background", "#56606B"), ClassLabel("border", "#F0E442"))
    version = 1
    groups = SPECIES

    def read_image(self, sample: Sample) -> np.ndarray:
        return _drawn(*self.place_of(sample))[0].copy()

    def read_mask(self, sample: Sample) -> np.ndarray:
        return _drawn(*self.place_of(sample))[1].copy()


# All 320 pictures are 21 MB, so a training run draws each of them once.
@functools.lru_cache(maxsize=512)
def _drawn(split: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask of one sample. Callers copy them: the cache's own arrays stay as they are."""
    rng = np.random.default_rng([SEED, split, index])
    shape = SHAPES[rng.integers(len(SHAPES))]
    canvas, ground = _scene(rng, shape)
    owner = np.zeros(shape, np.uint8)  # which pet a pixel shows, 0 for none
    spots = [(0.0, 1.0)] if rng.random() < 0.87 else [(-0.23, 0.8), (0.2, 0.72)]
    for number, (shift, size) in enumerate(spots, start=1):
        kind = SPECIES[index % 2 if number == 1 else rng.integers(2)]
        _draw_pet(rng, canvas, owner, number, kind, shift, size, ground)
    if rng.random() < 0.3:  # something in front of the pet
        alpha, colour = _thing(rng, shape, bottom=shape[0] * rng.uniform(0.95, 1.15))
        hidden = (alpha > 0.5) & (owner > 0)
        if hidden.sum() < 0.3 * (owner > 0).sum():
            lay_over(canvas, alpha, colour)
            owner[alpha > 0.5] = 0
    mask = np.where(owner > 0, PET, BACKGROUND).astype(np.uint8)
    mask[ndimage.distance_transform_edt(~edges(owner)) < BORDER_REACH] = BORDER
    return _photographed(rng, canvas), mask


def _scene(rng: np.random.Generator, shape: Shape) -> tuple[np.ndarray, float]:
    """A room or a meadow without pets: the canvas, and the row at which things stand."""
    height = shape[0]
    ground = height * rng.uniform(0.8, 0.97)
    canvas = fabric(rng, shape, str(rng.choice(PATTERNS)))
    if rng.random() < 0.65:  # a floor below a wall
        rows = grid(shape)[0]
        horizon = height * rng.uniform(0.4, 0.8) + rng.uniform(-0.1, 0.1) * (grid(shape)[1] - shape[1] / 2)
        floor = fabric(rng, shape, str(rng.choice(PATTERNS)))
        lay_over(canvas, np.clip(rows - horizon, 0, 1), floor)
        if rng.random() < 0.4:
            lay_over(canvas, np.clip(2.5 - np.abs(rows - horizon), 0, 1) * 0.8, natural_colour(rng))
    for _ in range(rng.integers(0, 4)):
        alpha, colour = _thing(rng, shape, bottom=ground + rng.uniform(-0.3, 0.05) * height)
        lay_over(canvas, alpha, colour)
    if rng.random() < 0.4:  # the camera looks at the pet, and what is behind it is out of focus
        canvas = ndimage.gaussian_filter(canvas, (rng.uniform(0.8, 2.5),) * 2 + (0,), truncate=2.0)
    return canvas, ground


def _thing(rng: np.random.Generator, shape: Shape, bottom: float) -> tuple[np.ndarray, np.ndarray]:
    """A ball, cushion, box or plant standing on row `bottom`: its opacity and its colours."""
    rows, columns = grid(shape)
    size = min(shape) * rng.uniform(0.1, 0.26)
    x = (columns - shape[1] * rng.uniform(0, 1)) / size
    y = (bottom - rows) / size
    kind = rng.choice(["ball", "cushion", "box", "plant"])
    shade: np.ndarray | float
    if kind == "ball":
        distance, facing = limb_field(x, y, Limb((0, 1), (0, 1), 1, 1))
        shade = 0.85 + 0.3 * facing
    elif kind == "cushion":
        wide = rng.uniform(1.0, 1.8)
        turn = rng.normal(0, 0.2)
        u, v = x + turn * (y - 0.8), y - 0.8 - turn * x
        distance = (np.abs(u / wide) ** 3 + np.abs(v / 0.8) ** 3) ** (1 / 3) - 1
        shade = 1.1 - 0.35 * smoothstep(-0.9, 0, distance)
    elif kind == "box":
        wide, tall = rng.uniform(0.5, 1.6), rng.uniform(0.5, 1.8)
        distance = np.maximum(np.abs(x) - wide, np.abs(y - tall) - tall)
        shade = np.where(y > 1.6 * tall, 1.15, np.where(x > wide * rng.uniform(-0.6, 0.9), 0.7, 0.95))
    else:
        fronds = rng.integers(4, 9)
        distance = np.full(shape, 9, np.float32)
        for _ in range(fronds):
            tip = (rng.uniform(-1.3, 1.3), rng.uniform(1.2, 3.0))
            distance = np.minimum(distance, limb_field(x, y, Limb((tip[0] * 0.25, 0.5), tip, 0.2, 0.02))[0])
        pot = np.maximum(np.abs(x) - 0.35 - 0.2 * y, np.abs(y - 0.45) - 0.45)
        shade = np.where(pot < 0, 0.6, 0.9 + 0.5 * np.clip(-distance / 0.2, 0, 1))
        distance = np.minimum(distance, pot)
    colour = fabric(rng, shape, str(rng.choice(PATTERNS))) * np.asarray(shade, np.float32)[..., None]
    return np.clip(0.5 - distance * size, 0, 1).astype(np.float32), colour


def _draw_pet(
    rng: np.random.Generator,
    canvas: np.ndarray,
    owner: np.ndarray,
    number: int,
    species: str,
    shift: float,
    size: float,
    ground: float,
) -> None:
    """Paint a pet onto `canvas` and write `number` into `owner` where it shows. `shift` is a share of the width."""
    shape = (height, width) = owner.shape
    limbs = figure(rng, species)
    low_x, high_x = (
        f(f(p[0] + s * r for p, r in ((k.a, k.ra), (k.b, k.rb))) for k in limbs) for f, s in ((min, -1), (max, 1))
    )
    top = max(max(k.a[1] + k.ra, k.b[1] + k.rb) for k in limbs)
    scale = size * rng.uniform(0.88, 1.2) * min(0.95 * width / (high_x - low_x), 0.92 * height / top)
    rows, columns = grid(shape)
    x = (columns - width * (0.5 + shift + rng.normal(0, 0.07))) / np.float32(scale * rng.choice([-1, 1]))
    x = x + np.float32((low_x + high_x) / 2)
    y = (np.float32(min(ground, height * 0.55 + scale * top / 2)) - rows) / np.float32(scale)

    shadow = np.exp(-((((x - (low_x + high_x) / 2) / (0.5 * (high_x - low_x))) ** 2) + ((y - 0.02) / 0.09) ** 2))
    canvas *= (1 - rng.uniform(0.2, 0.6) * shadow)[..., None]

    lean = np.float32(np.clip(rng.normal(0, 0.06), -0.15, 0.15))
    hairs = 0.012 * value_noise(rng, shape, 2.5) + 0.02 * value_noise(rng, shape, 12)
    x, y = x + lean * y + hairs, y - lean * x + 0.03 * value_noise(rng, shape, 40)

    fur = fabric(rng, shape, str(rng.choice(FUR)))
    hair = value_noise(rng, shape, (2.6, 1.2) if rng.random() < 0.5 else (1.2, 2.6))
    fur *= (1 + rng.uniform(0.03, 0.14) * hair)[..., None]
    pale = np.clip(fur * 0.5 + 0.5 * natural_colour(rng) + rng.uniform(0, 0.25), 0, 1)
    iris = np.array([0.75, 0.75, 0.2] if species == "cat" else [0.3, 0.17, 0.08], np.float32) * np.float32(
        rng.uniform(0.7, 1.2)
    )
    tones = {
        "fur": fur,
        "pale": fur if rng.random() < 0.4 else pale,
        "inner": fur * 0.6 + np.array([0.25, 0.12, 0.12], np.float32),
        "iris": iris,
        "dark": np.array([0.07, 0.06, 0.06], np.float32),
        "pink": np.array([0.8, 0.45, 0.45], np.float32),
        "glint": np.array([1, 1, 1], np.float32),
    }
    shown = np.zeros(shape, bool)
    for limb in limbs:
        part = _window(x, y, limb)
        distance, facing = limb_field(x[part], y[part], limb)
        alpha = np.clip(0.5 - distance * np.float32(scale), 0, 1)
        if limb.tone == "pale":  # a marking in the fur, without an outline of its own
            alpha *= np.clip(-distance * np.float32(3 / max(limb.ra, limb.rb)), 0, 1)
        shade = np.float32(limb.dim) * (0.88 + 0.22 * facing - 0.2 * smoothstep(-0.05, 0.0, distance))
        colour = tones[limb.tone]
        lay_over(canvas[part], alpha, (colour[part] if colour.ndim == 3 else colour) * shade[..., None])
        shown[part] |= alpha > 0.5
    owner[shown] = number


def _window(x: np.ndarray, y: np.ndarray, limb: Limb) -> tuple[slice, slice]:
    """The rows and columns in which a limb can show, with a margin for how far `x` and `y` are bent."""
    reach = max(limb.ra, limb.rb) + 0.15
    across, up = x[len(x) // 2], y[:, y.shape[1] // 2]
    spans = []
    for axis, line in ((1, up), (0, across)):
        low, high = sorted((limb.a[axis], limb.b[axis]))
        near = np.flatnonzero((line > low - reach) & (line < high + reach))
        spans.append(slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0))
    return spans[0], spans[1]


def _photographed(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Light that falls off across the frame, exposure, a soft lens and sensor noise: uint8 RGB."""
    shape = canvas.shape[:2]
    light = pattern(rng, shape, "gradient") * rng.uniform(0, 0.45)
    canvas = canvas * (rng.uniform(0.95, 1.3) - light)[..., None] * rng.normal(1, 0.04, 3)
    sharp = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9))), np.float32)
    noise = rng.standard_normal(soft.shape, np.float32) * np.float32(rng.uniform(1.5, 8))
    return np.clip(soft + noise + 0.5, 0, 255).astype(np.uint8)
