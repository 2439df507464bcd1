"""Augmentation: each operation against an oracle, masks never mixed, the same from one seed, texts read or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segmodels.data.augment import OPERATIONS, opencv, parse_augmentation
from segmodels.data.augment.colour import LUMA, STAINS
from segmodels.data.augment.mixing import mixed_masks, ring
from segmodels.data.augment.operation import Batch

VALUES = np.array([0, 1, 2, 7, 255], np.uint8)
Pair = tuple[np.ndarray, np.ndarray]


def pictures(count: int = 4, height: int = 32, width: int = 32, seed: int = 0) -> Pair:
    """Noise, which shows every pixel that is out of place."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, height, width, 3), np.uint8)
    return images, generator.choice(VALUES, (count, height, width))


def smooth(count: int = 1, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    """Coloured clouds, uint8, which survive being interpolated."""
    noise = np.random.default_rng(seed).normal(size=(count, height, width, 3))
    clouds = ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    clouds = (clouds - clouds.min()) / (clouds.max() - clouds.min())
    return np.round(40 + 180 * clouds).astype(np.uint8)


def run(text: str, images: np.ndarray, masks: np.ndarray, seed: int = 0, *, any_orientation: bool = True) -> Pair:
    return parse_augmentation(text)(images, masks, np.random.default_rng(seed), any_orientation=any_orientation)


def coloured(text: str, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """The images alone; what changes colours must leave masks alone."""
    masks = pictures(*images.shape[:3])[1]
    found, moved = run(text, images, masks, seed)
    np.testing.assert_array_equal(moved, masks)
    return found


def drawn(text: str, count: int, height: int, width: int, seed: int = 0) -> Any:
    """What the only operation of a text draws."""
    (operation,) = parse_augmentation(text).operations
    return operation.draw(Batch(count, height, width, True), np.random.default_rng(seed))  # type: ignore[attr-defined]


def ramp() -> np.ndarray:
    """Every grey level once: uint8 `(1, 16, 16, 3)`."""
    return np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=-1)


# --- Geometry


@pytest.mark.parametrize("shape", [(32, 32), (24, 37)])
def test_flips_are_array_flips(shape: tuple[int, int]) -> None:
    images, masks = pictures(3, *shape)
    for text, axis in (("flip", 2), ("flip_vertical", 1)):
        found = run(f"{text}(probability=1)", images, masks)
        np.testing.assert_array_equal(found[0], np.flip(images, axis))
        np.testing.assert_array_equal(found[1], np.flip(masks, axis))


def test_quarter_turns_are_array_turns() -> None:
    images, masks = pictures(60, 17, 17)
    turned = run("quarter_turn", images, masks)
    turns = []
    for image, mask, got_image, got_mask in zip(images, masks, *turned, strict=True):
        ways = [k for k in range(4) if np.array_equal(np.rot90(image, k), got_image)]
        assert len(ways) == 1
        np.testing.assert_array_equal(np.rot90(mask, ways[0]), got_mask)
        turns += ways
    assert min(np.bincount(turns, minlength=4)) >= 6, "of sixty, about fifteen each"


def test_up_stays_up_unless_it_is_asked_for() -> None:
    images, masks = pictures()
    upright = run("flip_vertical(probability=1)+quarter_turn(probability=1)", images, masks, any_orientation=False)
    np.testing.assert_array_equal(upright[0], images)
    asked = run("flip_vertical(probability=1,always=true)", images, masks, any_orientation=False)
    np.testing.assert_array_equal(asked[1], masks[:, ::-1])
    oblong = pictures(4, 20, 30)
    np.testing.assert_array_equal(run("quarter_turn(probability=1)", *oblong)[0], oblong[0])


@pytest.mark.parametrize(("right", "down"), [(5, 3), (-4, 0), (0, -7), (40, 0)])
def test_a_whole_translation_is_a_shift_with_nothing_known_outside(right: int, down: int) -> None:
    images, masks = pictures(1, 30, 40)
    matrix = np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1]], float)
    image, mask = opencv.warp(images[0], masks[0], matrix)
    expected = np.full((30, 40), 255, np.uint8)
    y, x = np.mgrid[max(0, down) : min(30, 30 + down), max(0, right) : min(40, 40 + right)]
    expected[y, x] = masks[0][y - down, x - right]
    np.testing.assert_array_equal(mask, expected)
    wide = np.pad(images[0], ((40, 40), (40, 40), (0, 0)), mode="reflect")  # what is outside is a reflection
    np.testing.assert_array_equal(image, wide[40 - down : 70 - down, 40 - right : 80 - right])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(5, 40), width=st.integers(5, 40))
def test_any_affine_is_its_definition(seed: int, height: int, width: int) -> None:
    """Masks by the nearest pixel, images by linear interpolation over a mirrored plane: SciPy's, in 64 bits."""
    generator = np.random.default_rng(seed)
    matrix = np.eye(3)
    matrix[:2] += generator.normal(0, 0.3, (2, 3)) * [1, 1, 10]
    image, mask = smooth(1, height, width, seed)[0], pictures(1, height, width, seed)[1][0]
    found = opencv.warp(image, mask, matrix)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    y, x = np.mgrid[:height, :width]
    at = np.stack([x - middle[0], y - middle[1], np.ones_like(x)]).reshape(3, -1)
    x, y = (matrix[:2] @ at + middle[:, None]).reshape(2, height, width)
    near_x, near_y = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    inside = (near_x >= 0) & (near_x < width) & (near_y >= 0) & (near_y < height)
    nearest = np.where(inside, mask[near_y.clip(0, height - 1), near_x.clip(0, width - 1)], 255)
    assert (found[1] != nearest).mean() < 0.005, "but for ties"
    for channel in range(3):
        linear = ndimage.map_coordinates(image[..., channel].astype(float), [y, x], order=1, mode="mirror")
        assert np.abs(found[0][..., channel] - linear).max() <= 1.01


GEOMETRY = "rotate(degrees=25)+translate(share=0.1)+shear(degrees=10)+zoom(smallest=0.8)+scale(amount=0.2)+flip"


def test_composed_operations_move_landmarks_as_one_after_the_other() -> None:
    """A bright spot goes where its coordinates go when each operation's matrix is applied to them in turn."""
    spots, side, count = [(30, 34), (64, 62), (80, 50)], 96, 20
    y, x = np.mgrid[:side, :side]
    images = np.zeros((count, side, side, 3), np.uint8)
    for channel, (across, down) in enumerate(spots):
        images[..., channel] = np.round(255 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 18))
    masks = np.zeros((count, side, side), np.uint8)
    moved, _ = run(GEOMETRY, images, masks, seed=3)
    generator, batch = np.random.default_rng(3), Batch(count, side, side, True)
    steps = [operation.draw(batch, generator) for operation in parse_augmentation(GEOMETRY).operations]  # type: ignore[attr-defined]
    middle, checked = (side - 1) / 2, 0
    for index in range(count):
        for channel, spot in enumerate(spots):
            place = np.array([spot[0] - middle, spot[1] - middle, 1])
            for step in steps:
                place = np.linalg.solve(step[index], place)
            expected = place[:2] + middle
            if not (expected.min() > 12 and expected.max() < side - 13):
                continue
            checked += 1
            weights = np.where(np.hypot(x - expected[0], y - expected[1]) < 12, moved[index, ..., channel], 0.0)
            centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
            assert np.abs(centre - expected).max() < 0.3
    assert checked > 30


def test_zooms_stay_inside() -> None:
    images, masks = pictures(200, 20, 30)
    _, moved = run("zoom(smallest=0.3)", images, np.where(masks == 255, 0, masks).astype(np.uint8))
    assert not (moved == 255).any()
    matrices = drawn("zoom(smallest=0.3)", 2000, 20, 30)
    share = matrices[:, 0, 0]
    assert share.min() < 0.31
    assert share.max() > 0.99
    assert abs(share.mean() - 0.65) < 0.02
    reach = np.abs(matrices[:, :2, 2]) / (np.array([30, 20]) / 2 * (1 - share[:, None]))
    assert reach.max() <= 1 + 1e-9
    assert reach.max() > 0.99, "every part may be cut out, up to the edges"


def test_draws_keep_to_their_ranges() -> None:
    angles = np.degrees(np.arctan2(*drawn("rotate(degrees=30)", 2000, 32, 32)[:, [1, 0], 0].T))
    assert 29 < np.abs(angles).max() <= 30
    assert abs(angles.mean()) < 1.5
    steps = drawn("translate(share=0.25)", 2000, 40, 80)[:, :2, 2]
    assert (np.abs(steps).max(axis=0) <= [20, 10]).all()
    assert (np.abs(steps).max(axis=0) > [19.8, 9.9]).all()
    scales = drawn("scale(amount=0.5)", 2000, 32, 32)[:, 0, 0]
    assert 1 / 1.5 <= scales.min() < 0.68
    assert 1.48 < scales.max() <= 1.5
    assert 0.45 < (scales > 1).mean() < 0.55
    shears = drawn("shear(degrees=20)", 2000, 32, 32)
    np.testing.assert_allclose(np.linalg.det(shears), 1, err_msg="areas stay")
    assert np.abs(shears[:, 0, 1]).max() <= np.tan(np.radians(20))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_probability_is_the_share_of_changed_pictures(name: str) -> None:
    images, masks = pictures(400, 12, 12)
    for share in (0, 0.3, 1):
        # A weak blur, or a pasted rectangle of no pixel, changes nothing.
        strong = {"blur": ",sigma=20", "cutmix": ",largest=1"}.get(name, "")
        found = run(f"{name}(probability={share}{strong})", images, masks)
        changed = np.any(found[0] != images, axis=(1, 2, 3)).mean()
        assert abs(changed - share) < 0.1


def test_bending_is_smooth_and_moves_picture_and_mask_alike() -> None:
    """Red and green tell where each pixel comes from; the mask says it too, in stripes."""
    y, x = np.mgrid[:256, :256].astype(np.uint8)
    images = np.stack([np.dstack([x, y, x])] * 6)
    masks = np.stack([x // 16] * 6)
    bent, classes = run("elastic(displacement=0.03,probability=1)", images, masks)
    inside = np.s_[:, 40:-40, 40:-40]
    known = classes[inside] != 255
    off = classes[inside].astype(float) * 16 + 7.5 - bent[..., 0][inside]
    assert (np.abs(off)[known] <= 9).all(), "to a pixel where a stripe begins"
    shift = np.stack([bent[..., 0] - 1.0 * x, bent[..., 1] - 1.0 * y])[:, *inside]
    assert 0.4 * 0.03 * 256 < shift.std() < 1.2 * 0.03 * 256
    assert np.abs(np.diff(shift, axis=-1)).max() <= 2, "no tear: neighbours stay neighbours"
    assert len(np.unique(bent[:, 100, 100], axis=0)) == 6, "each picture in its own way"
    weak, _ = run("elastic(displacement=0,probability=1)", images, masks)
    np.testing.assert_array_equal(weak, images)


def test_bending_adds_to_the_matrices() -> None:
    images, masks = smooth(2, 64, 64), pictures(2, 64, 64)[1]
    both, _ = run("flip(probability=1)+elastic(displacement=0.02,probability=1)", images, masks)
    one, _ = run("flip(probability=1)", images, masks)
    generator = np.random.default_rng(0)
    generator.random(2)  # for the flip
    alone, _ = parse_augmentation("elastic(displacement=0.02,probability=1)")(
        one, masks, generator, any_orientation=True
    )
    assert np.abs(both.astype(int) - alone).max() <= 3


# --- Colours


def test_brightness_and_contrast_are_their_formulas() -> None:
    images = np.repeat(ramp(), 30, axis=0)
    added = drawn("brightness(amount=0.2)", 30, 16, 16)[:, 0, 3]
    assert np.abs(added).max() <= 0.2 * 255
    found = coloured("brightness(amount=0.2)", images)
    np.testing.assert_array_equal(found, np.clip(np.round(images + added[:, None, None, None]), 0, 255))
    factor = drawn("contrast(amount=0.5)", 30, 16, 16)[:, 0, 0]
    assert 0.5 <= factor.min() < 0.7
    assert 1.3 < factor.max() <= 1.5
    found = coloured("contrast(amount=0.5)", images)
    expected = np.clip(np.round((images - 127.5) * factor[:, None, None, None] + 127.5), 0, 255)
    np.testing.assert_array_equal(found, expected)


def test_colours_compose_in_the_order_given_and_are_rounded_once() -> None:
    text = "brightness(amount=0.1)+saturation(amount=0.3)+contrast(amount=0.3)+hue(degrees=20)"
    images = smooth(8)
    generator, batch = np.random.default_rng(0), Batch(8, 32, 32, True)
    values = images.astype(float)
    for operation in parse_augmentation(text).operations:
        matrices = operation.draw(batch, generator)  # type: ignore[attr-defined]
        values = np.einsum("bij,bhwj->bhwi", matrices[:, :3, :3], values) + matrices[:, None, None, :3, 3]
    assert np.abs(coloured(text, images) - np.clip(values, 0, 255)).max() <= 1.5


def test_hue_and_saturation_keep_grey_and_brightness() -> None:
    greys, colours = np.repeat(ramp(), 20, axis=0), np.repeat(smooth(1) // 2 + 64, 20, axis=0)
    for text in ("hue(degrees=180)", "saturation(amount=1)"):
        assert np.abs(coloured(text, greys).astype(int) - greys).max() <= 1
        matrices = drawn(text, 20, 32, 32)
        values = np.einsum("bij,bhwj->bhwi", matrices[:, :3, :3], colours.astype(float))
        np.testing.assert_allclose(values @ LUMA, colours @ LUMA, atol=0.01)
        assert np.ptp(coloured(text, colours).astype(int), axis=0).max() > 20
    back = drawn("hue(degrees=40)", 5, 8, 8)[:, :3, :3]
    np.testing.assert_allclose(np.linalg.det(back), 1, atol=1e-6)
    assert np.abs(np.linalg.eigvals(back)).max() < 1 + 1e-6, "a turn in a plane about grey"


def test_no_stain_jitter_is_no_change() -> None:
    images, _ = pictures(3, 48, 48)
    np.testing.assert_array_equal(coloured("stain(strength=0,offset=0)", images), images)


def test_stain_jitter_scales_each_stain_on_its_own() -> None:
    """A slide of known densities: taken apart, each stain is denser by one factor, and the rest is as it was."""
    generator = np.random.default_rng(1)
    densities = generator.uniform([0.2, 0.2, 0], [1.0, 0.8, 0.1], (1, 40, 40, 3))
    slide = np.round(256 * np.exp(-densities @ STAINS) - 1).astype(np.uint8)
    images = np.repeat(slide, 40, axis=0)

    def taken_apart(image: np.ndarray) -> np.ndarray:
        return -np.log((image + 1.0) / 256) @ np.linalg.inv(STAINS)

    found = coloured("stain(strength=0.4,offset=0)", images)
    slopes = []
    for image in found:
        before, after = taken_apart(images[0]), taken_apart(image)
        slopes.append([np.polyfit(before[..., s].ravel(), after[..., s].ravel(), 1)[0] for s in range(3)])
        for stain in range(2):
            assert np.abs(after[..., stain] - slopes[-1][stain] * before[..., stain]).mean() < 0.03
    haematoxylin, eosin, rest = np.array(slopes).T
    for factor in (haematoxylin, eosin):
        assert 1 / 1.4 - 0.02 <= factor.min() < 0.85
        assert 1.2 < factor.max() <= 1.42
    assert abs(np.corrcoef(haematoxylin, eosin)[0, 1]) < 0.5
    assert np.abs(rest - 1).max() < 0.15
    np.testing.assert_allclose(STAINS @ STAINS[2], [0, 0, 1], atol=1e-12)


def test_stain_jitter_is_its_definition() -> None:
    images, _ = pictures(6, 16, 16)
    matrices = drawn("stain(strength=0.5,offset=0.1)", 6, 16, 16)
    light = np.log((images + 1.0) / 256)
    expected = (
        256 * np.exp(np.einsum("bij,bhwj->bhwi", matrices[:, :3, :3], light) + matrices[:, None, None, :3, 3]) - 1
    )
    found = coloured("stain(strength=0.5,offset=0.1)", images)
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 0.51


# --- Blur, noise, holes


def test_blur_is_a_gaussian() -> None:
    images = pictures(5, 40, 50)[0]
    sigmas = drawn("blur(sigma=3,probability=1)", 5, 40, 50)
    assert sigmas.max() <= 3
    found = coloured("blur(sigma=3,probability=1)", images)
    for image, sigma, got in zip(images, sigmas, found, strict=True):
        expected = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror", truncate=3)
        assert np.abs(got - expected).mean() < 1


def test_noise_has_its_spread_and_no_drift() -> None:
    images = np.full((12, 64, 64, 3), 128, np.uint8)
    sigmas = drawn("noise(sigma=20,probability=1)", 12, 64, 64)
    found = coloured("noise(sigma=20,probability=1)", images).astype(float) - 128
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), np.sqrt(sigmas**2 + 1 / 12), rtol=0.05)
    assert np.abs(found.mean(axis=(1, 2, 3))).max() < 1
    black = coloured("noise(sigma=20,probability=1)", np.zeros_like(images))
    assert black.max() < 120, "clipped, not wrapped around"


@pytest.mark.parametrize("shape", [(40, 40), (30, 50)])
def test_holes_have_their_area_and_count_for_nothing(shape: tuple[int, int]) -> None:
    images, masks = pictures(50, *shape)
    masks[masks == 255] = 0
    found, classes = run("cutout(side=0.3,probability=1)", images, masks)
    hole = classes == 255
    assert (hole.sum(axis=(1, 2)) == round(0.3 * min(shape)) ** 2).all()
    for image, before, where in zip(found, images, hole, strict=True):
        np.testing.assert_array_equal(image[~where], before[~where])
        assert (image[where] == before.mean(axis=(0, 1)).round()).all()
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
        assert len(rows) == len(columns) == rows[-1] - rows[0] + 1 == round(0.3 * min(shape))
    several = run("cutout(side=0.3,holes=5,probability=1)", images, masks)[1] == 255
    assert several.mean() > 2 * hole.mean()
    everything = run("cutout(side=1,probability=1)", *pictures(2))[1]
    assert (everything == 255).all()


# --- Mixing


def test_partners_are_others_in_one_ring() -> None:
    for count in (2, 3, 8):
        for seed in range(20):
            partners = ring(count, np.random.default_rng(seed))
            seen, at = [], 0
            for _ in range(count):
                seen.append(at)
                at = partners[at]
            assert sorted(seen) == list(range(count))


def test_mixup_blends_pictures_and_keeps_what_is_clear() -> None:
    images, masks = pictures(60, 8, 8)
    partners, weights = drawn("mixup(alpha=1,probability=1)", 60, 8, 8)
    found, classes = run("mixup(alpha=1,probability=1)", images, masks)
    assert weights.min() >= 0.5
    assert (weights < 2 / 3).any()
    assert (weights > 2 / 3).any()
    for index, (partner, weight) in enumerate(zip(partners, weights, strict=True)):
        expected = weight * images[index] + (1 - weight) * images[partner]
        assert np.abs(found[index] - expected).max() <= 0.51
        for own, other, got in zip(*(m.ravel() for m in (masks[index], masks[partner], classes[index])), strict=True):
            assert got == (own if own == other or weight >= 2 / 3 else 255)


def test_mixed_masks_at_the_border_of_the_rule() -> None:
    own, other = np.array([0, 1, 2, 255, 1], np.uint8), np.array([0, 2, 255, 1, 1], np.uint8)
    np.testing.assert_array_equal(mixed_masks(own, other, 2 / 3), own)
    np.testing.assert_array_equal(mixed_masks(own, other, 0.66), [0, 255, 255, 255, 1])


def test_cutmix_pastes_picture_and_mask_of_the_same_other() -> None:
    """Every picture is of one colour and one class, its number."""
    numbers = np.arange(40, dtype=np.uint8)
    masks = np.broadcast_to(numbers[:, None, None], (40, 30, 50))
    images = np.repeat(masks[..., None], 3, axis=-1)
    found, classes = run("cutmix(largest=0.4,probability=1)", images, masks)
    np.testing.assert_array_equal(found, np.repeat(classes[..., None], 3, axis=-1))
    areas = []
    for number, mask in enumerate(classes):
        foreign = mask != number
        areas.append(foreign.mean())
        if foreign.any():
            assert len(np.unique(mask[foreign])) == 1
            rows, columns = np.flatnonzero(foreign.any(1)), np.flatnonzero(foreign.any(0))
            assert foreign.sum() == len(rows) * len(columns), "one rectangle"
    assert 0.3 < max(areas) < 0.42
    assert 0.12 < np.mean(areas) < 0.28


@pytest.mark.parametrize("text", ["mixup(probability=1)", "cutmix(probability=1)"])
def test_alone_in_a_batch_nothing_is_mixed(text: str) -> None:
    images, masks = pictures(1)
    found = run(text, images, masks)
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], masks)
