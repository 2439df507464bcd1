"""What speaks against a prediction: each doubt where it belongs, and none elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from segmodels.prediction.doubts import Colours, colours_of, doubts, is_grey


def picture(mean: tuple[float, float, float], deviation: float = 40, side: int = 100) -> np.ndarray:
    noise = np.random.default_rng(0).normal(mean, deviation, (side, side, 3))
    return noise.clip(0, 255).astype(np.uint8)


PHOTOS = [picture((140, 120, 90)), picture((120, 110, 100))]
LEARNED = colours_of(PHOTOS)
SURE = np.full((100, 100), 0.9)


def test_colours_are_those_of_all_pixels() -> None:
    assert LEARNED is not None
    pixels = np.concatenate([each.reshape(-1, 3) for each in PHOTOS]).astype(np.float64)
    np.testing.assert_allclose(LEARNED.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(LEARNED.deviation, pixels.std(axis=0))
    assert LEARNED.chroma == pytest.approx(np.mean(pixels.max(axis=1) - pixels.min(axis=1)))
    assert colours_of([]) is None


def test_a_large_picture_has_the_colours_of_its_rows_and_columns() -> None:
    large = picture((140, 120, 90), side=1500)
    found = colours_of([large])
    assert found is not None
    np.testing.assert_allclose(found.mean, large[::3, ::3].reshape(-1, 3).mean(axis=0))
    np.testing.assert_allclose(found.mean, large.reshape(-1, 3).mean(axis=0), atol=1)


def test_a_picture_like_the_training_data_raises_no_doubt() -> None:
    assert doubts(PHOTOS[0], SURE, tile=64, learned=LEARNED) == []
    assert doubts(picture((130, 115, 95), 50), SURE, learned=LEARNED) == []


def test_nothing_is_said_of_colours_where_those_of_the_training_are_not_known() -> None:
    grey = np.repeat(picture((10, 10, 10))[..., :1], 3, axis=2)
    assert is_grey(grey)
    assert doubts(grey, SURE) == []


def test_a_grey_picture_is_a_doubt_for_a_model_of_colours_alone() -> None:
    grey = np.repeat(PHOTOS[0][..., :1], 3, axis=2)
    (said,) = doubts(grey, SURE, learned=LEARNED)
    assert said == "The picture is grey, but the model was trained on colours."
    assert doubts(grey, SURE, learned=colours_of([grey])) == []
    speckled = grey.copy()
    speckled[0, :50] = 255, 0, 0  # a half per cent of it
    assert is_grey(speckled)
    speckled[0:2] = 255, 0, 0
    assert not is_grey(speckled)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (picture((230, 120, 90)), "red is "),
        (picture((130, 10, 95)), "green is "),
        (np.full((100, 100, 3), (130, 115, 95), np.uint8), "varies by 0, not "),
    ],
)
def test_other_colours_are_named_by_their_channel(image: np.ndarray, said: str) -> None:
    (told,) = doubts(image, SURE, learned=LEARNED)
    assert told.startswith("Its colours are unlike those that the model was trained on: ")
    assert said in told


def test_a_mean_just_within_the_bound_is_none_and_just_beyond_is_one() -> None:
    learned = Colours(np.full(3, 100.0), np.full(3, 20.0), 30.0)
    image = np.full((10, 10, 3), 100, np.uint8)
    image[::2] += 30
    image[1::2] -= 10  # mean 110, deviation 20
    image[..., 0] += 8
    assert doubts(image, SURE, learned=learned) == []  # 118: 0.9 deviations away
    image[..., 0] += 4
    (told,) = doubts(image, SURE, learned=learned)
    assert told.endswith("red is 122 in the mean, not 100.")


@pytest.mark.parametrize(
    ("height", "width", "said"),
    [(31, 200, "larger than here"), (32, 200, ""), (200, 1024, ""), (200, 1025, "smaller things")],
)
def test_a_size_far_from_the_tiles_is_a_doubt(height: int, width: int, said: str) -> None:
    found = doubts(np.zeros((height, width, 3), np.uint8), np.ones((height, width)), tile=64)
    assert len(found) == bool(said)
    assert all(said in told and f"{width} x {height} pixels" in told for told in found)
    assert doubts(np.zeros((height, width, 3), np.uint8), np.ones((height, width))) == []


def test_little_confidence_in_more_than_half_of_the_picture_is_a_doubt() -> None:
    confidence = np.full((10, 10), 0.6)
    confidence[:5] = 0.59
    assert doubts(np.zeros((10, 10, 3), np.uint8), confidence) == []
    confidence[5, 0] = 0.59
    (told,) = doubts(np.zeros((10, 10, 3), np.uint8), confidence)
    assert "51 % of the pixels the confidence is below 60 %" in told
