"""Test-time augmentation against answers that are known, and how sure probabilities are against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.errors import UserError
from segmodels.prediction.postprocess.cleaning import clean_mask
from segmodels.prediction.result import Result
from segmodels.prediction.softmax import entropy, margin, softmax
from segmodels.prediction.views import View, averaged, views_of

LABELS = (ClassLabel("cell", "#E69F00"), ClassLabel("background", "#56606B"), ClassLabel("border", "#F0E442"))


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3), dtype=np.uint8)


def of_pixels(images: np.ndarray) -> np.ndarray:
    """A network that sees one pixel at a time: whatever the view, its answer moves with the picture."""
    return images.astype(np.float32) / 40


@pytest.mark.parametrize(("names", "count"), [("", 1), ("flips", 2), ("turns", 4), ("flips,turns", 8), ("scales", 3),
                                              ("flips, turns,scales", 24), (["turns", "flips"], 8)])  # fmt: skip
def test_the_views_are_all_combinations(names: str, count: int) -> None:
    views = views_of(names)
    assert len(set(views)) == count
    assert View() in views


@pytest.mark.parametrize("view", views_of("flips,turns"), ids=str)
def test_every_view_is_undone_to_the_pixel(view: View) -> None:
    images = pictures(2, 7, 11)
    seen = view.of(images)
    assert seen.shape[1:3] == ((7, 11) if view.turns % 2 == 0 else (11, 7))
    np.testing.assert_array_equal(view.back(seen.astype(np.float32), 7, 11), images)


def test_the_eight_views_are_eight_pictures() -> None:
    image = pictures(1, 5, 5)
    assert len({view.of(image).tobytes() for view in views_of("flips,turns")}) == 8


@pytest.mark.parametrize("names", ["flips", "turns", "flips,turns"])
def test_a_network_that_sees_pixels_alone_answers_the_same(names: str) -> None:
    images = pictures(2, 9, 6)
    found = averaged(of_pixels, views_of(names))(images)
    np.testing.assert_allclose(softmax(found), softmax(of_pixels(images)), atol=1e-6)


def test_the_answer_is_the_mean_of_the_probabilities() -> None:
    """Of a network that says how far to the right a pixel is: mirrored it says the opposite."""

    def rightness(images: np.ndarray) -> np.ndarray:
        _, height, width, _ = images.shape
        across = np.broadcast_to(np.linspace(-3, 3, width, dtype=np.float32), (len(images), height, width))
        return np.stack([across, -across], axis=-1)

    images = pictures(1, 4, 9)
    once = softmax(rightness(images))
    found = np.exp(averaged(rightness, views_of("flips"))(images))
    np.testing.assert_allclose(found, (once + once[:, :, ::-1]) / 2, atol=1e-6)
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_scales_come_back_to_the_size_of_the_picture() -> None:
    sizes = []

    def seen(images: np.ndarray) -> np.ndarray:
        sizes.append(images.shape[1:3])
        return of_pixels(images)

    smooth = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[None, None, :, None], 3, axis=-1)
    images = np.repeat(smooth, 20, axis=1)
    found = averaged(seen, views_of("scales"))(images)
    assert sizes == [(20, 40), (15, 30), (25, 50)]
    assert found.shape == (1, 20, 40, 3)
    np.testing.assert_allclose(softmax(found), 1 / 3, atol=1e-5)


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'flips'"):
        views_of("flip")


def test_entropy_and_margin_are_what_they_are_defined_to_be() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), (6, 7)).astype(np.float32)
    np.testing.assert_allclose(entropy(probabilities), stats.entropy(probabilities, axis=-1) / np.log(5), atol=1e-5)
    ordered = np.sort(probabilities, axis=-1)
    np.testing.assert_allclose(margin(probabilities), ordered[..., -1] - ordered[..., -2], atol=1e-6)
    assert entropy(np.array([[0, 1, 0], [1 / 3] * 3], np.float32)).tolist() == pytest.approx([0, 1])
    assert entropy(np.ones((2, 1), np.float32)).tolist() == [0, 0]


@pytest.fixture
def result() -> Result:
    logits = np.random.default_rng(3).normal(0, 2, (12, 16, 3)).astype(np.float32)
    return Result(pictures(48, 64), logits, LABELS)


def test_the_maps_of_a_result_are_of_its_probabilities(result: Result) -> None:
    np.testing.assert_allclose(result.entropy, entropy(result.probabilities), atol=1e-6)
    np.testing.assert_allclose(result.margin, margin(result.probabilities), atol=1e-6)
    np.testing.assert_allclose(result.confidence, result.probabilities.max(-1), atol=1e-6)


def test_what_is_no_number_is_below_every_threshold(result: Result) -> None:
    """As of a model whose training diverged."""
    scores = result.logits.copy()
    scores[:5] = np.nan
    found = Result(result.image, scores, result.labels).sure(0.01)
    assert (found[:5] == IGNORE).all()
    np.testing.assert_array_equal(found[5:], result.mask[5:])


def test_below_the_threshold_pixels_are_ignored(result: Result) -> None:
    threshold = float(np.median(result.confidence))
    mask = result.sure(threshold)
    np.testing.assert_array_equal(mask == IGNORE, result.confidence < threshold)
    np.testing.assert_array_equal(mask[mask != IGNORE], result.mask[mask != IGNORE])
    found = result.refined(threshold=threshold)
    assert sum(found.shares.values()) == pytest.approx(1)
    counted = [(mask == label).sum() / (mask != IGNORE).sum() for label in range(3)]
    assert list(found.shares.values()) == pytest.approx(counted)
    assert (result.mask != IGNORE).all(), "the result itself is as it was"


def test_small_regions_and_holes_go(result: Result) -> None:
    found = result.refined(smallest=20, largest_hole=9)
    expected = clean_mask(result.mask, [0, 2], background=1, smallest=20, largest_hole=9)
    np.testing.assert_array_equal(found.mask, expected)
    assert (expected != result.mask).any()
    np.testing.assert_array_equal(found.probabilities, result.probabilities)


@pytest.mark.parametrize(
    ("steps", "message"), [({"threshold": 1.5}, "from 0 to 1"), ({"smallest": -1}, "0 or more")], ids=str
)
def test_a_refinement_that_makes_no_sense_is_refused(steps: dict[str, float], message: str, result: Result) -> None:
    with pytest.raises(UserError, match=message):
        result.refined(**steps)


def test_without_a_background_nothing_can_become_it() -> None:
    labels = (ClassLabel("sky", "#E69F00"), ClassLabel("road", "#56606B"))
    bare = Result(pictures(4, 4), np.zeros((4, 4, 2), np.float32), labels)
    with pytest.raises(UserError, match="have no background"):
        bare.refined(smallest=3)
    assert (bare.refined(threshold=0.9).mask == IGNORE).all()
