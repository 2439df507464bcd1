"""Maps that losses need beside the masks: distances from borders, and U-Net's weights between objects."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from segmodels.data.datasets import open_dataset
from segmodels.training.losses import make_loss
from segmodels.training.losses.border import border_weights, instance_border_weights
from segmodels.training.losses.distance import signed_distances
from tests import loss_oracles


def blots(seed: int, size: int = 24, classes: int = 3, ignored: float = 0.1) -> np.ndarray:
    """Rectangles of classes upon each other, and some ignored pixels."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size + 3), np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, size - 4, 2)
        mask[top : top + rng.integers(1, 7), left : left + rng.integers(1, 7)] = rng.integers(0, classes)
    mask[rng.random(mask.shape) < ignored] = 255
    return mask


def test_signed_distances_are_those_to_the_nearest_pixel_beyond_the_border() -> None:
    masks = np.stack([blots(seed) for seed in range(3)])
    found = signed_distances(masks, 4)
    assert found.dtype == np.float32
    assert found.shape == (*masks.shape, 4)
    for mask, distances in zip(masks, found, strict=True):
        np.testing.assert_allclose(distances, loss_oracles.signed_distances(mask, 4), atol=1e-5)


def test_signed_distances_of_a_straight_border() -> None:
    mask = np.repeat(np.array([[[0, 0, 0, 1, 1, 255, 255, 1]]], np.uint8), 3, axis=1)
    found = signed_distances(mask, 3)
    np.testing.assert_allclose(found[0, 1, :, 1], [2.5, 1.5, 0.5, -0.5, -1.5, 0, 0, -4.5])
    np.testing.assert_array_equal(found[..., 0], -found[..., 1])
    assert not found[..., 2].any()  # a class without a border
    assert not signed_distances(np.ones_like(mask), 2).any()
    assert not signed_distances(np.full_like(mask, 255), 2).any()


def test_signed_distances_are_exact_on_a_large_picture() -> None:
    mask = np.zeros((400, 300), np.uint8)
    mask[np.hypot(*np.indices(mask.shape) - np.array([180, 130])[:, None, None]) < 70] = 1
    inside = mask == 1
    away, within = (distance_transform_edt(side).astype(np.float32) for side in (~inside, inside))
    half = np.float32(0.5)
    found = signed_distances(mask[None], 2)[0, ..., 1]
    np.testing.assert_array_equal(found, np.where(inside, half - within, away - half))


def test_boundary_differs_from_the_paper_by_what_no_network_changes() -> None:
    """Equation 5 sums distance times softmax; the rest of equation 4 is a constant of the truth."""
    rng = np.random.default_rng(0)
    masks = np.stack([blots(seed, classes=2, ignored=0) for seed in range(2)])
    distances, loss = signed_distances(masks, 2), make_loss("boundary")
    truth = masks[..., None] == np.arange(2)
    logits = rng.normal(0, 2, (2, *masks.shape, 2)).astype(np.float32)
    published = [(distances * loss_oracles.softmax(one)).sum(-1).mean() / 2 for one in logits]
    ours = [float(loss(masks, one)) for one in logits]
    constant = -(distances * truth).sum(-1).mean() / 2
    assert constant > 0
    np.testing.assert_allclose(np.array(ours) - published, constant, rtol=1e-5)


def test_border_weights_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    instances = np.zeros((30, 26), int)
    for number in (1, 2, 3, 5):  # 4 is missing
        top, left = rng.integers(0, 22, 2)
        instances[top : top + 5, left : left + 4] = number
    for w0, sigma in ((10, 5), (3, 1.5)):
        found = instance_border_weights(instances, w0=w0, sigma=sigma)
        assert found.dtype == np.float32
        present = np.unique(instances, return_inverse=True)[1].reshape(instances.shape)
        np.testing.assert_allclose(found, loss_oracles.border_weights(present, w0, sigma), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("background", [0, 1, None])
def test_objects_are_the_connected_parts_of_every_class_but_the_background(background: int | None) -> None:
    masks = np.stack([blots(seed, size=16) for seed in range(3)])
    found = border_weights(masks, 3, background=background, w0=7, sigma=2)
    for mask, weights in zip(masks, found, strict=True):
        objects = loss_oracles.components(mask, background)
        np.testing.assert_allclose(weights, loss_oracles.border_weights(objects, 7, 2), rtol=1e-5, atol=1e-5)


def test_weights_between_two_nuclei() -> None:
    """Worked by hand: nuclei of columns 2 to 4 and 7 to 9, two pixels of background between them."""
    mask = np.zeros((1, 5, 12), np.uint8)
    mask[0, :, 2:5] = mask[0, :, 7:10] = 1
    found = border_weights(mask, 2)[0, 2]
    near = [(2, 7), (1, 6), (0, 5), (0, 4), (0, 3), (1, 2), (2, 1), (3, 0), (4, 0), (5, 0), (6, 1), (7, 2)]
    np.testing.assert_allclose(found, [10 * math.exp(-((a + b) ** 2) / 50) for a, b in near], rtol=1e-5)


def test_nuclei_that_touch_are_told_apart_by_their_numbers_only() -> None:
    nuclei = np.zeros((9, 12), np.int32)
    nuclei[2:7, 1:6], nuclei[2:7, 6:11] = 1, 2
    weights = instance_border_weights(nuclei)
    assert weights[4, 5] == weights[4, 6] == pytest.approx(10 * math.exp(-1 / 50))
    assert weights[4, 5] > weights[4, 2]
    assert not border_weights((nuclei > 0).astype(np.uint8)[None], 2).any()  # one object to who knows classes only
    assert not instance_border_weights(np.minimum(nuclei, 1)).any()
    assert not instance_border_weights(np.zeros_like(nuclei)).any()


def test_weights_of_generated_nuclei() -> None:
    """On a real picture's many nuclei at once, with their own numbers: as by a whole distance map a nucleus."""
    dataset = open_dataset("toy-nuclei")
    sample = dataset.samples("train")[0]
    instances = np.asarray(dataset.read_instances(sample))
    maps = np.sort([distance_transform_edt(instances != number) for number in np.unique(instances)[1:]], axis=0)
    assert len(maps) > 20
    expected = 10 * np.exp(-((maps[0] + maps[1]) ** 2) / 50)
    np.testing.assert_allclose(instance_border_weights(instances), expected, rtol=1e-4, atol=1e-5)


def test_maps_of_threads_are_the_same_and_of_either_form_of_mask() -> None:
    masks = np.stack([blots(seed) for seed in range(8)])
    before = masks.copy()
    loss = make_loss("border_cross_entropy+boundary", background=1)
    expected = loss.maps(masks, 3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: loss.maps(masks, 3), range(8)))
    one_hot = (masks[..., None] == np.arange(3)).astype(np.float32)
    for maps in (*found, loss.maps(one_hot, 3), loss.maps(masks[..., None], 3)):
        for array, other in zip(maps, expected, strict=True):
            np.testing.assert_array_equal(array, other)
    np.testing.assert_array_equal(masks, before)
    np.testing.assert_array_equal(expected[0], border_weights(masks, 3, background=1))
