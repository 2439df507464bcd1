"""Drawn cats and dogs with trimaps like those of the Oxford pets, so that everything can be tried without a download.

A pet is a list of limbs: rounded cones between two points, in units of about the pet's height, with x to the right and
y upwards from the ground. What is not a pet shares the pets' colours and patterns, so that only shape tells them apart.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from segmodels.data.dataset import ClassLabel, Sample
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

Point = tuple[float, float]


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
        distance, facing = _limb_field(x, y, Limb((0, 1), (0, 1), 1, 1))
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
            distance = np.minimum(distance, _limb_field(x, y, Limb((tip[0] * 0.25, 0.5), tip, 0.2, 0.02))[0])
        pot = np.maximum(np.abs(x) - 0.35 - 0.2 * y, np.abs(y - 0.45) - 0.45)
        shade = np.where(pot < 0, 0.6, 0.9 + 0.5 * np.clip(-distance / 0.2, 0, 1))
        distance = np.minimum(distance, pot)
    colour = fabric(rng, shape, str(rng.choice(PATTERNS))) * np.asarray(shade, np.float32)[..., None]
    return np.clip(0.5 - distance * size, 0, 1).astype(np.float32), colour


def _photographed(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Light that falls off across the frame, exposure, a soft lens and sensor noise: uint8 RGB."""
    shape = canvas.shape[:2]
    light = pattern(rng, shape, "gradient") * rng.uniform(0, 0.45)
    canvas = canvas * (rng.uniform(0.95, 1.3) - light)[..., None] * rng.normal(1, 0.04, 3)
    sharp = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9))), np.float32)
    noise = rng.standard_normal(soft.shape, np.float32) * np.float32(rng.uniform(1.5, 8))
    return np.clip(soft + noise + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Limb:
    """A rounded cone from `a` with radius `ra` to `b` with radius `rb`. `dim` darkens what is on the far side."""

    a: Point
    b: Point
    ra: float
    rb: float
    tone: str = "fur"
    dim: float = 1.0


def _limb_field(x: np.ndarray, y: np.ndarray, limb: Limb) -> tuple[np.ndarray, np.ndarray]:
    """How far each point is outside of a limb, and how far its surface faces the light from above left (-1 to 1)."""
    (ax, ay), (bx, by) = limb.a, limb.b
    dx, dy = bx - ax, by - ay
    px, py = x - np.float32(ax), y - np.float32(ay)
    t = np.clip((px * np.float32(dx) + py * np.float32(dy)) * np.float32(1 / (dx * dx + dy * dy + 1e-9)), 0, 1)
    px -= t * np.float32(dx)
    py -= t * np.float32(dy)
    radius = np.float32(limb.ra) + t * np.float32(limb.rb - limb.ra)
    return np.sqrt(px * px + py * py) - radius, (py * 0.8 - px * 0.6) / radius


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
        distance, facing = _limb_field(x[part], y[part], limb)
        alpha = np.clip(0.5 - distance * np.float32(scale), 0, 1)
        if limb.tone == "pale":  # a marking in the fur, without an outline of its own
            alpha *= np.clip(-distance * np.float32(3 / max(limb.ra, limb.rb)), 0, 1)
        shade = np.float32(limb.dim) * (0.88 + 0.22 * facing - 0.2 * smoothstep(-0.05, 0.0, distance))
        colour = tones[limb.tone]
        lay_over(canvas[part], alpha, (colour[part] if colour.ndim == 3 else colour) * shade[..., None])
        shown[part] |= alpha > 0.5
    owner[shown] = number


def figure(rng: np.random.Generator, species: str) -> list[Limb]:
    """A pet in one of five poses, from the farthest limb to the nearest."""
    cat = species == "cat"
    fat = rng.uniform(0.85, 1.2)
    skull = rng.uniform(0.17, 0.22)
    pose = rng.choice(["front", "side", "standing", "lying", "face"], p=[0.22, 0.18, 0.25, 0.2, 0.15])
    limbs: list[Limb] = []
    match pose:
        case "front":  # sitting, towards the camera
            w = 0.2 * fat
            limbs += _tail(rng, (0.15, 0.1), (0.45, 0.05), (0.5, rng.uniform(0.1, 0.5)), cat)
            limbs += [Limb((s * w, 0.14), (s * w * 1.25, 0.1), 0.14 * fat, 0.12 * fat, dim=0.9) for s in (-1, 1)]
            limbs += [Limb((0, 0.22), (0, 0.52), 0.22 * fat, 0.15 * fat), Limb((0, 0.35), (0, 0.5), 0.09, 0.11, "pale")]
            limbs += [leg for s in (-1, 1) for leg in _leg((s * 0.09, 0.36), (s * 0.1, 0.05), 0.07 * fat)]
            return limbs + _head(rng, cat, (rng.normal(0, 0.03), 0.74), skull, rng.uniform(-0.5, 0.5))
        case "side":  # sitting, in profile
            limbs += _tail(rng, (-0.25, 0.1), (-0.5, 0.02), (-0.6, rng.uniform(0.0, 0.45)), cat)
            limbs += _leg((0.17, 0.35), (0.26, 0.05), 0.06 * fat, dim=0.75)
            limbs += [
                Limb((-0.14, 0.2), (0.1, 0.5), 0.2 * fat, 0.14 * fat),
                Limb((-0.14, 0.16), (-0.1, 0.18), 0.16 * fat, 0.14),
            ]
            limbs += [Limb((-0.1, 0.05), (0.08, 0.045), 0.05, 0.05, "pale")]
            limbs += _leg((0.12, 0.4), (0.17, 0.05), 0.07 * fat)
            return limbs + _head(rng, cat, (rng.uniform(0.12, 0.22), 0.74), skull, rng.uniform(0.0, 1.0))
        case "standing":  # or walking, in profile
            tall = rng.uniform(0.36, 0.46) if cat else rng.uniform(0.4, 0.62)
            stride = rng.uniform(0, 0.16, 4) * rng.choice([-1, 1], 4)
            hips = (-0.36, -0.3, 0.24, 0.3)
            feet = [(hip + step, 0.04) for hip, step in zip(hips, stride, strict=True)]
            limbs += _tail(rng, (-0.42, tall + 0.05), (-0.68, tall), (-0.7, tall + rng.uniform(-0.3, 0.45)), cat)
            limbs += _leg((hips[1], tall), feet[1], 0.075, dim=0.72) + _leg((hips[2], tall), feet[2], 0.065, dim=0.72)
            limbs += [Limb((-0.33, tall), (0.27, tall + 0.02), 0.16 * fat, 0.18 * fat)]
            limbs += [Limb((-0.25, tall - 0.07 * fat), (0.2, tall - 0.08 * fat), 0.08, 0.09, "pale", dim=0.85)]
            limbs += _leg((hips[0], tall), feet[0], 0.09) + _leg((hips[3], tall), feet[3], 0.07)
            head = (rng.uniform(0.46, 0.56), tall + rng.uniform(0.1, 0.32))
            limbs += [Limb((0.3, tall + 0.06), head, 0.15, 0.12)]
            return limbs + _head(rng, cat, head, skull * 0.95, rng.uniform(0.1, 1.0))
        case "lying":
            limbs += _tail(rng, (-0.5, 0.1), (-0.75, 0.02), (-0.6 + rng.uniform(-0.3, 0.3), 0.07), cat)
            limbs += [
                Limb((-0.36, 0.2), (0.2, 0.2), 0.2 * fat, 0.17 * fat),
                Limb((-0.36, 0.15), (-0.28, 0.15), 0.15, 0.14),
            ]
            limbs += [Limb((-0.3, 0.05), (-0.1, 0.045), 0.05, 0.045, "pale")]
            limbs += [
                Limb((0.1, 0.09), (rng.uniform(0.4, 0.62), h), 0.07, 0.05, "pale", d)
                for h, d in ((0.1, 0.8), (0.05, 1))
            ]
            return limbs + _head(rng, cat, (0.3, rng.uniform(0.3, 0.45)), skull, rng.uniform(-0.3, 1.0))
        case _:  # a face close up, with the chest below
            limbs += [Limb((-0.1, -0.35), (0.1, -0.35), 0.42, 0.42), Limb((0, -0.2), (0, -0.1), 0.2, 0.2, "pale")]
            return limbs + _head(rng, cat, (0, 0.35), 0.45, rng.uniform(-0.7, 0.7))


def _leg(hip: Point, foot: Point, thick: float, dim: float = 1.0) -> list[Limb]:
    toe = (foot[0] + 0.05, foot[1])
    return [Limb(hip, foot, thick, thick * 0.62, dim=dim), Limb(foot, toe, thick * 0.7, thick * 0.6, "pale", dim)]


def _tail(rng: np.random.Generator, root: Point, bend: Point, tip: Point, cat: bool) -> list[Limb]:
    """A tail along a curve; dogs' are shorter and sometimes bushy."""
    thick = 0.04 if cat else rng.uniform(0.035, 0.075)
    reach = 1.0 if cat else rng.uniform(0.35, 0.85)
    t = np.linspace(0, reach, 5)[:, None]
    curve = (1 - t) ** 2 * np.array(root) + 2 * t * (1 - t) * np.array(bend) + t**2 * np.array(tip)
    joints: list[Point] = [(float(px), float(py)) for px, py in curve]
    return [Limb(a, b, thick, thick * 0.9, dim=0.9) for a, b in itertools.pairwise(joints)]


def _head(rng: np.random.Generator, cat: bool, centre: Point, r: float, turn: float) -> list[Limb]:
    """A head of radius `r`, looking at the camera (`turn` 0) or sideways to the right (1)."""
    tilt = rng.normal(0, 0.12)

    def at(across: float, up: float) -> Point:
        return centre[0] + r * (across * np.cos(tilt) - up * np.sin(tilt)), centre[1] + r * (
            across * np.sin(tilt) + up * np.cos(tilt)
        )

    def limb(a: Point, b: Point, ra: float, rb: float, tone: str = "fur", dim: float = 1.0) -> Limb:
        return Limb(at(*a), at(*b), ra * r, rb * r, tone, dim)

    look = 0.45 * turn  # how far the face is off the middle of the skull
    ears, face = [], []
    floppy = not cat and rng.random() < 0.65
    spread = 0.62 - 0.15 * abs(turn)
    for side in (-1, 1):
        x = side * spread - 0.25 * turn
        if floppy:
            face.append(limb((x, 0.55), (x + side * 0.35, rng.uniform(-0.6, -0.2)), 0.22, 0.26, dim=0.75))
        else:
            tip = (x + side * rng.uniform(0.1, 0.3), rng.uniform(1.2, 1.5))
            ears.append(limb((x, 0.5), tip, 0.38, 0.04, dim=0.9))
            face.append(limb((x + look * 0.1, 0.72), (tip[0], tip[1] - 0.18), 0.16, 0.03, "inner"))
    skull = limb((-0.2, 0), (0.2, 0), 0.85, 0.85) if cat else limb((0, 0.08), (0, -0.1), 0.85, 0.75)
    if cat:
        nose = (look * 1.3, -0.27)
        face += [limb((nose[0] + s * 0.17, -0.42), (nose[0] + s * 0.17, -0.4), 0.25, 0.25, "pale") for s in (-1, 1)]
        face.append(limb((nose[0] - 0.05, -0.27), (nose[0] + 0.05, -0.27), 0.07, 0.07, "pink"))
    else:
        nose = (look * 1.2 + 0.75 * turn, -0.32)
        if rng.random() < 0.3:
            face.append(limb((nose[0], -0.6), (nose[0], -0.85), 0.14, 0.12, "pink"))
        face += [limb((look, -0.3), (nose[0], -0.45), 0.42, rng.uniform(0.3, 0.38), "pale")]
        face.append(limb((nose[0] - 0.06, -0.3), (nose[0] + 0.06, -0.3), 0.13, 0.13, "dark"))
    wide, open_eye = (0.36, 0.16) if cat else (0.36, 0.13)
    for side in (-1, 1):
        x = look + side * wide * (1 - 0.3 * abs(turn))
        face.append(limb((x, 0.1), (x, 0.1), open_eye, open_eye, "iris"))
        face.append(limb((x, 0.15), (x, 0.05), 0.06, 0.06, "dark"))
        face.append(limb((x - 0.04, 0.16), (x - 0.04, 0.16), 0.035, 0.035, "glint"))
    return [*ears, skull, *face]
