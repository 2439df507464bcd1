"""The viewer's script by itself in a real browser: messages that come while others are decoded, what outlives them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from segmodels.data.dataset import ClassLabel
from ui.viewer import PARTS, Layer, Picture
from ui.viewer.message import pack, with_settings
from ui.viewer.parts import script

pytestmark = pytest.mark.browser

LABELS = (ClassLabel("background", "#000000"), ClassLabel("cell", "#FF0000"), ClassLabel("gland", "#0000FF"))
SHOW = {"opacity": 1.0, "mode": "one", "first": 0, "second": 1}
#: Hands messages to the script all at once, as reruns do that follow each other quickly.
HAND_OVER = """([messages]) => {
    for (const message of messages) {
        const data = Uint8Array.from(atob(message), (letter) => letter.charCodeAt(0));
        const parentElement = document.getElementById("host");
        window.viewer({
            data, parentElement, setStateValue() {},
            setTriggerValue: (name, value) => (window.reported = [name, value]),
        });
    }
}"""


def message(
    key: str, *, side: int = 60, classes: int = 3, models: tuple[str, ...] = ("U-Net",), **settings: Any
) -> str:
    """A picture whose left half is a cell, which every model finds."""
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 1
    layers = [Layer("Truth", mask, truth=True), *(Layer(name, mask) for name in models)]
    packed = pack(Picture(key, np.full((side, side, 3), 200, np.uint8), layers, LABELS[:classes]))
    given = {"key": key, "link": None, "edits": None, "clicks": False, "tiles": None, "show": SHOW, **settings}
    return base64.b64encode(with_settings(packed, given)).decode()


@pytest.fixture
def hand_over(page: Page) -> Callable[..., Locator]:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content('<div id="host"><div data-viewer></div></div>')
    page.evaluate(
        """async (text) => {
            const module = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
            window.viewer = module.default;
        }""",
        script(*PARTS),
    )

    def hand(*messages: str, shows: str) -> Locator:
        page.evaluate(HAND_OVER, [list(messages)])
        viewer = page.locator(f'[data-viewer][data-ready="{shows}"]')
        expect(viewer).to_be_visible()
        page.wait_for_timeout(300)  # what is still decoded would come now
        expect(viewer).to_have_attribute("data-ready", shows)
        expect(viewer.locator(".trouble")).to_be_hidden()
        assert not errors
        return viewer

    return hand


def chosen(viewer: Locator) -> str:
    return viewer.get_by_label("Show", exact=True).locator("option:checked").inner_text()


def test_the_last_message_is_shown_whatever_is_decoded_last(hand_over: Callable) -> None:
    hand_over(message("large", side=1500), message("a"), shows="a")  # nothing was shown before
    hand_over(message("large", side=1500), message("a"), shows="a")  # what is shown already comes back
    viewer = hand_over(message("a"), message("large", side=1500), message("b"), shows="b")
    expect(viewer.locator(".spoken").first).to_contain_text("b, 60 by 60 pixels")


def test_tiles_come_while_their_picture_is_decoded(hand_over: Callable) -> None:
    tiles = {"size": 40, "lefts": [0, 20], "tops": [0, 20]}
    viewer = hand_over(message("a"), message("a", tiles=tiles), shows="a")
    viewer.locator("canvas").hover()
    expect(viewer.locator(".readout")).to_contain_text("in 4 tiles")
    viewer = hand_over(message("a"), shows="a")
    viewer.locator("canvas").hover(position={"x": 5, "y": 5})
    expect(viewer.locator(".readout")).not_to_contain_text("tile")


def test_thousands_of_tiles_under_the_pointer_are_counted_and_not_drawn(hand_over: Callable, page: Page) -> None:
    starts = list(range(1000))
    tiles = {"size": 500, "lefts": starts, "tops": starts}
    viewer = hand_over(message("a", side=1500, tiles=tiles), shows="a")
    began = page.evaluate("performance.now()")
    viewer.locator("canvas").hover()
    expect(viewer.locator(".readout")).to_contain_text(re.compile(r"in 2[45]\d{4} tiles"))
    assert page.evaluate("performance.now()") - began < 1000


def test_a_class_that_the_next_picture_does_not_have_is_forgotten(hand_over: Callable) -> None:
    viewer = hand_over(message("a"), shows="a")
    viewer.get_by_label("Show", exact=True).select_option(label="Errors of U-Net")
    viewer.get_by_label("Errors of", exact=True).select_option(label="gland")
    viewer = hand_over(message("b", classes=2), shows="b")
    expect(viewer.get_by_label("Errors of", exact=True).locator("option:checked")).to_have_text("any class")


def test_what_is_shown_stays_chosen_over_pictures_without_it(hand_over: Callable) -> None:
    viewer = hand_over(message("a"), shows="a")
    viewer.get_by_label("Show", exact=True).select_option(label="Errors of U-Net")
    assert chosen(hand_over(message("b", models=()), shows="b")) == "Truth"
    assert chosen(hand_over(message("c", models=("FCN", "U-Net")), shows="c")) == "Errors of U-Net"


def test_what_was_painted_stays_while_it_is_the_same_mask(hand_over: Callable, page: Page) -> None:
    viewer = hand_over(message("a", edits="mask"), shows="a")
    viewer.get_by_role("button", name="Fill", exact=True).last.click()
    viewer.get_by_label("Class", exact=True).select_option(label="gland")
    box = viewer.locator("canvas").bounding_box()
    assert box
    # The square picture lies in the middle of the canvas.
    viewer.locator("canvas").click(position={"x": (box["width"] - box["height"] / 2) / 2, "y": box["height"] / 2})
    legend = page.get_by_role("group", name="Legend of Truth")
    expect(legend).to_contain_text(re.compile(r"gland\s*50 %"))
    viewer = hand_over(
        message("a with a better model", models=("U-Net", "FCN"), edits="mask"), shows="a with a better model"
    )
    expect(legend).to_contain_text(re.compile(r"gland\s*50 %"))
    viewer.get_by_role("button", name="Undo").click()
    expect(legend).to_contain_text(re.compile(r"cell\s*50 %"))
    viewer.get_by_role("button", name="Redo").click()
    viewer.get_by_role("button", name="Save the mask").click()
    page.wait_for_function("window.reported")
    name, value = page.evaluate("window.reported")
    assert (name, value["key"], value["width"]) == ("saved", "mask", 60)

    expect(viewer.locator(".stage")).to_have_attribute("data-tool", "fill")
    viewer = hand_over(message("b"), shows="b")
    assert viewer.locator(".stage").get_attribute("data-tool") is None, "fingers scroll again"
    viewer = hand_over(message("c", edits="another mask"), shows="c")
    expect(viewer.get_by_role("group", name="Legend of Truth")).to_contain_text(re.compile(r"cell\s*50 %"))
