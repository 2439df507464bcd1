"""What the viewer is sent, and what it makes of what a browser sends back."""

from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.errors import UserError
from ui.viewer import Click, _click, _mask, _window
from ui.viewer.message import FIRST_SIDE, Heat, Layer, Picture, pack, pack_part, ramp, with_settings

LABELS = (ClassLabel("background", "#56606B"), ClassLabel("nucleus", "#56B4E9"))


def unpacked(message: bytes) -> tuple[dict[str, Any], Any]:
    length = int.from_bytes(message[:4], "little")
    document, rest = json.loads(message[4 : 4 + length]), message[4 + length :]

    def file(place: dict[str, Any]) -> np.ndarray:
        with Image.open(io.BytesIO(rest[place["offset"] : place["offset"] + place["length"]])) as picture:
            return np.asarray(picture)

    return document, file


def scene(height: int = 30, width: int = 40) -> Picture:
    generator = np.random.default_rng(0)
    mask = generator.integers(0, 2, (height, width), dtype=np.uint8)
    mask[0, :3] = 77, 255, 1
    instances = generator.integers(0, 70_000, (height, width))
    confidence = generator.random((height, width))
    image = np.full((height, width, 3), 120, np.uint8)
    return Picture("<b>one</b>", image, [Layer("Truth", mask, True, confidence, instances)], LABELS, 0.25)


def test_masks_objects_and_confidence_arrive_to_the_value() -> None:
    picture = scene()
    message = with_settings(pack(picture), {"key": "k", "link": None})
    assert unpacked(message)[0] == {"key": "k", "link": None}
    document, file = unpacked(message[4 + int.from_bytes(message[:4], "little") :])
    assert (document["width"], document["height"], document["reduced"]) == (40, 30, False)
    assert document["classes"] == [{"name": label.name, "colour": label.colour} for label in LABELS]
    assert (document["eraser"], document["micrometres"], document["name"]) == (0, 0.25, "<b>one</b>")
    (layer,), (sent,) = picture.layers, document["layers"]
    assert (sent["name"], sent["truth"]) == ("Truth", True)
    np.testing.assert_array_equal(file(sent["mask"]), layer.mask)
    assert layer.instances is not None
    np.testing.assert_array_equal(file(sent["instances"]), np.minimum(layer.instances, 65_535))
    np.testing.assert_allclose(file(sent["confidence"]) / 255, layer.confidence, atol=0.5 / 255)
    assert file(document["image"]).shape == (30, 40, 3)


def test_heats_arrive_in_255ths_with_the_colours_of_their_values() -> None:
    picture = scene()
    values = np.random.default_rng(1).random((30, 40)) * 1.2 - 0.1  # what is outside of 0 to 1 is at its ends
    document, file = unpacked(pack(replace(picture, heats=[Heat("Entropy", values)])))
    (heat,) = document["heats"]
    assert heat["name"] == "Entropy"
    np.testing.assert_allclose(file(heat["values"]) / 255, values.clip(0, 1), atol=0.5 / 255)
    assert document["ramp"] == ramp()
    without = unpacked(pack(picture))[0]
    assert (without["heats"], without["ramp"]) == ([], [])
    with pytest.raises(UserError, match="its map Entropy is 40 x 29 pixels, the picture 40 x 30"):
        pack(replace(picture, heats=[Heat("Entropy", values[1:])]))


def test_the_colours_of_a_heat_go_from_dark_to_light_in_even_steps() -> None:
    colours = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in ramp()], np.uint8)
    assert colours.shape == (256, 3)
    assert ramp()[0] == "#440154"  # viridis (van der Walt and Smith 2015)
    assert ramp()[-1] == "#FDE725"
    lightness = cv2.cvtColor(colours[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(float)
    assert (np.diff(lightness) >= -1).all()
    np.testing.assert_allclose(lightness, np.linspace(lightness[0], lightness[-1], 256), atol=8)


def test_a_large_picture_is_sent_small_with_its_whole_mask() -> None:
    picture = scene(300, 5000)
    document, file = unpacked(pack(picture))
    assert document["reduced"]
    assert file(document["image"]).shape == (round(300 * FIRST_SIDE / 5000), FIRST_SIDE, 3)
    assert file(document["layers"][0]["mask"]).shape == (300, 5000)


@pytest.mark.parametrize(
    ("window", "place"),
    [
        ((1000, 50, 400, 100), (1000, 50, 400, 100)),
        ((-500, -5, 1000, 100), (0, 0, 500, 95)),
        ((4990, 290, 1e7, 1e7), (4990, 290, 10, 10)),
        ((1e7, 1e7, 5, 5), (4999, 299, 1, 1)),
        ((-1e7, -1e7, 1, 1), (0, 0, 1, 1)),
        ((10, 10, -50, 0), (10, 10, 1, 1)),
    ],
)
def test_a_part_lies_within_the_picture(window: tuple, place: tuple) -> None:
    document, file = unpacked(pack_part(scene(300, 5000), window))
    detail = document["detail"]
    assert (detail["x"], detail["y"], detail["width"], detail["height"]) == place
    assert file(detail["image"]).shape == (place[3], place[2], 3)


def test_a_mask_of_another_size_is_named() -> None:
    wrong = Picture("one", np.zeros((30, 40, 3), np.uint8), [Layer("Truth", np.zeros((30, 41), np.uint8))], LABELS)
    with pytest.raises(UserError, match="its mask Truth is 41 x 30 pixels, the picture 40 x 30"):
        pack(wrong)


def sent(mask: np.ndarray) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(mask.tobytes())).decode()
    return {"mask": packed, "height": mask.shape[0], "width": mask.shape[1], "key": "k"}


def test_a_corrected_mask_comes_back() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (20, 30), dtype=np.uint8)
    found = _mask(sent(mask), "k")
    assert found is not None
    np.testing.assert_array_equal(found, mask)
    assert _mask(None, "k") is None
    assert _mask(sent(mask), None) is None, "nothing can be corrected here"
    with pytest.raises(UserError, match="of another picture"):
        _mask(sent(mask), "j")


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 21}, {"height": 19}, {"height": 0}, {"height": -20, "width": -30}, {"height": 2**20, "width": 2**20},
        {"height": "many"}, {"height": None}, {"mask": "no base64!"}, {"mask": "AAAA"}, {"mask": 5},
        {"mask": base64.b64encode(zlib.compress(b"0" * 10**8)).decode()},
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="did not arrive whole"):
        _mask({**sent(np.zeros((20, 30), np.uint8)), **changes}, "k")


def test_clicks_and_parts_that_make_no_sense_count_for_nothing() -> None:
    click = {"key": "k", "x": 3, "y": 4, "classes": {"Truth": 1}, "instance": None}
    assert _click(click, "k") == Click(3, 4, {"Truth": 1}, None)
    for wrong in (None, 5, {}, {**click, "key": "j"}, {**click, "x": "here"}, {**click, "classes": [1]}):
        assert _click(wrong, "k") is None
    window = {"key": "k", "x": 1, "y": 2, "width": 3, "height": 4.5}
    assert _window({"window": window}, "k") == (1, 2, 3, 4.5)
    for state in (None, {}, {"window": None}, {"window": {**window, "key": "j"}}, {"window": {**window, "x": "nan"}}):
        assert _window(state, "k") is None
