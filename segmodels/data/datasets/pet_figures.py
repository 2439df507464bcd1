"""The figures of the toy pets: cats and dogs in many poses, each a list of limbs.

A limb is a rounded cone between two points, in units of about the pet's height, with x to the right and y upwards from
the ground.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]


@dataclass(frozen=True)
class Limb:
    """A rounded cone from `a` with radius `ra` to `b` with radius `rb`. `dim` darkens what is on the far side."""

    a: Point
    b: Point
    ra: float
    rb: float
    tone: str = "fur"
    dim: float = 1.0


def limb_field(x: np.ndarray, y: np.ndarray, limb: Limb) -> tuple[np.ndarray, np.ndarray]:
    """How far each point is outside of a limb, and how far its surface faces the light from above left (-1 to 1)."""
    (ax, ay), (bx, by) = limb.a, limb.b
    dx, dy = bx - ax, by - ay
    px, py = x - np.float32(ax), y - np.float32(ay)
    t = np.clip((px * np.float32(dx) + py * np.float32(dy)) * np.float32(1 / (dx * dx + dy * dy + 1e-9)), 0, 1)
    px -= t * np.float32(dx)
    py -= t * np.float32(dy)
    radius = np.float32(limb.ra) + t * np.float32(limb.rb - limb.ra)
    return np.sqrt(px * px + py * py) - radius, (py * 0.8 - px * 0.6) / radius


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
