"""The viewer's script by itself in a real browser: maps of numbers over a picture, and a frame around a part of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.test_viewer_script import LABELS, SHOW, hand_over  # noqa: F401 (a fixture)
from ui.viewer import Heat, Layer, Picture
from ui.viewer.message import pack, ramp, with_settings

pytestmark = pytest.mark.browser

SIDE = 256


def message(key: str, **settings: Any) -> str:
    """A grey picture: nothing is sure on the left, all is on the right."""
    mask, sure = np.ones((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE))
    sure[:, SIDE // 2 :] = 1
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    packed = pack(Picture(key, image, [Layer("Prediction", mask)], LABELS, heats=[Heat("Confidence", sure)]))
    given = {"key": key, "link": None, "edits": None, "clicks": False, "tiles": None, "show": SHOW, **settings}
    return base64.b64encode(with_settings(packed, given)).decode()


def colour(viewer: Locator, x: float, y: float) -> str:
    """Of the canvas at a place of the picture, 0 to 1, which lies in its middle."""
    return viewer.locator("canvas").evaluate(
        """(canvas, [x, y]) => {
            const side = Math.min(canvas.width, canvas.height);
            const at = [(canvas.width - side) / 2 + x * side, (canvas.height - side) / 2 + y * side];
            const bytes = canvas.getContext("2d").getImageData(...at.map(Math.round), 1, 1).data;
            const digits = [...bytes.slice(0, 3)].map((byte) => byte.toString(16).padStart(2, "0"));
            return "#" + digits.join("").toUpperCase();
        }""",
        [x, y],
    )


def test_a_map_is_drawn_in_the_colours_of_its_ramp_and_read_out(hand_over: Callable, page: Page) -> None:  # noqa: F811
    viewer = hand_over(message("a"), shows="a")
    viewer.get_by_label("Show", exact=True).select_option(label="Confidence")
    page.wait_for_timeout(200)
    assert (colour(viewer, 0.25, 0.5), colour(viewer, 0.75, 0.5)) == (ramp()[0], ramp()[-1])
    expect(viewer.get_by_role("group", name="Legend of Confidence")).to_have_text("0 %100 %")
    viewer.get_by_role("button", name="Outline").click()
    page.wait_for_timeout(200)
    assert colour(viewer, 0.75, 0.5) == ramp()[-1], "numbers have no outlines"
    viewer.locator("canvas").hover()
    expect(viewer.locator(".readout")).to_contain_text("Confidence: 100 %")


def test_a_frame_is_gone_to_where_it_is_small_and_stays_where_it_is_seen(hand_over: Callable, page: Page) -> None:  # noqa: F811
    small = {"x": 100, "y": 160, "width": 2, "height": 2}
    viewer = hand_over(message("a", focus=None), shows="a")
    assert viewer.locator(".stage").get_attribute("data-zoomed") == "false"
    viewer = hand_over(message("a", focus=small), shows="a")
    expect(viewer.locator(".stage")).to_have_attribute("data-zoomed", "true")
    viewer.locator("canvas").hover()
    expect(viewer.locator(".readout")).to_contain_text("101, 161 · ")
    viewer.get_by_role("button", name="Fit").click()
    viewer = hand_over(message("a", focus=small), shows="a")
    assert viewer.locator(".stage").get_attribute("data-zoomed") == "false", "it is the same frame"
    large = {"x": 32, "y": 160, "width": 80, "height": 80}
    viewer = hand_over(message("a", focus=large), shows="a")
    assert viewer.locator(".stage").get_attribute("data-zoomed") == "false", "it is seen as it is"
    edge = viewer.locator("canvas").evaluate(
        "(canvas) => Array.from({ length: 40 }, (_, i) => canvas.getContext('2d').getImageData("
        "Math.round((canvas.width - canvas.height) / 2 + (72 / 256) * canvas.height),"
        "Math.round((160 / 256) * canvas.height) - i, 1, 1).data.slice(0, 3).join())"
    )
    assert "240,228,66" in edge, "its upper side is yellow"
