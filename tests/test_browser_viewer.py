"""The mask viewer in a real browser: what it draws, what it reports, what can be painted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from tests.served import PATIENCE, Server, no_traceback

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("server", ["tests/viewer_page.py"], indirect=True)]


def opened(page: Page, server: Server, query: str = "") -> Locator:
    page.goto(f"{server.url}/{query}")
    first = page.locator("[data-viewer][data-ready]").first
    expect(first).to_be_visible()
    expect(page.locator("[data-viewer][data-ready]")).to_have_count(2)
    return first


def plain_canvas(page: Page, server: Server) -> tuple[Locator, Locator, FloatRect]:
    """The first viewer without outlines of objects, its canvas, and where that is on the screen."""
    viewer = opened(page, server)
    viewer.get_by_role("button", name="Objects").click()
    canvas = viewer.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    return viewer, canvas, box


def colour(viewer: Locator, x: float, y: float, pane: int = 0) -> tuple[int, int, int]:
    """What is drawn at a place of a pane, given as shares of its sides."""
    read = """(canvas, [x, y]) => {
        const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
        return Array.from(canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3));
    }"""
    viewer.page.wait_for_timeout(150)  # a frame
    return tuple(viewer.locator("canvas").nth(pane).evaluate(read, [x, y]))


def near(seen: tuple[int, int, int], wanted: tuple[int, int, int], by: int = 12) -> bool:
    return all(abs(one - other) <= by for one, other in zip(seen, wanted, strict=True))


def slide(viewer: Locator, label: str, value: int) -> None:
    viewer.get_by_label(label, exact=True).fill(str(value))


CELL, GLAND, BETWEEN = (0.25, 0.5), (0.75, 0.5), (0.5, 0.5)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_opacity_classes_outlines_and_names(server: Server, page: Page) -> None:
    viewer = opened(page, server)
    viewer.get_by_role("button", name="Objects").click()  # no outlines of objects in what follows
    paper = colour(viewer, *BETWEEN)
    assert near(colour(viewer, *CELL), RED)
    assert near(colour(viewer, *GLAND), BLUE)
    slide(viewer, "Opacity", 50)
    half = tuple((one + other) // 2 for one, other in zip(paper, RED, strict=True))
    assert near(colour(viewer, *CELL), half)  # type: ignore[arg-type]
    slide(viewer, "Opacity", 0)
    assert near(colour(viewer, *CELL), paper, 30)
    slide(viewer, "Opacity", 100)

    legend = viewer.get_by_role("group", name="Legend of Truth")
    expect(legend).to_contain_text("<b>cell</b>")  # as text
    expect(legend).to_contain_text("18 %")
    legend.get_by_role("checkbox", name=re.compile("cell")).uncheck()
    assert near(colour(viewer, *CELL), paper, 30)
    assert near(colour(viewer, *GLAND), BLUE)
    legend.get_by_role("checkbox", name=re.compile("cell")).check()
    viewer.get_by_role("button", name="Outline").click()
    assert near(colour(viewer, *CELL), paper, 30), "the middle is free"
    edge = [colour(viewer, 0.1 + offset / 1000, 0.5) for offset in range(-4, 8, 2)]
    assert any(near(seen, RED) for seen in edge)
    expect(viewer.locator(".spoken").first).to_contain_text("scene, 200 by 100 pixels. Truth: background 64 %")
    no_traceback(page)


def test_errors_disagreement_swipe_and_side_by_side(server: Server, page: Page) -> None:
    viewer = opened(page, server)
    viewer.get_by_role("button", name="Objects").click()
    paper = colour(viewer, *BETWEEN)
    viewer.get_by_label("Show", exact=True).select_option(label="Errors of U-Net")
    assert near(colour(viewer, *CELL), paper, 30), "right"
    assert near(colour(viewer, *GLAND), (0xD5, 0x5E, 0)), "wrong"
    viewer.get_by_label("Errors of", exact=True).select_option(label="gland")
    assert near(colour(viewer, *GLAND), (0, 0x72, 0xB2)), "missed"
    expect(viewer.get_by_role("group", name="Legend of Errors of U-Net")).to_contain_text("gland, missed")
    viewer.get_by_label("Show", exact=True).select_option(label="Disagreement")
    assert near(colour(viewer, *CELL), (0xCC, 0x79, 0xA7))
    viewer.get_by_label("Show", exact=True).select_option(label="FCN")
    expect(viewer.get_by_role("group", name="Legend of FCN")).to_contain_text("unknown (77)")

    viewer.get_by_role("button", name="Swipe").click()
    viewer.get_by_label("Left", exact=True).select_option(label="U-Net")
    viewer.get_by_label("Right", exact=True).select_option(label="FCN")
    assert near(colour(viewer, *CELL), RED)
    assert near(colour(viewer, *GLAND), BLUE)
    slide(viewer, "Where the overlays part", 100)
    assert near(colour(viewer, *CELL), paper, 30), "the line has passed it"
    viewer.get_by_role("button", name="Side by side").click()
    assert near(colour(viewer, *CELL, pane=0), RED)
    assert near(colour(viewer, *CELL, pane=1), paper, 30)
    assert near(colour(viewer, *GLAND, pane=1), BLUE)


def test_linked_viewers_zoom_together_and_say_what_is_under_the_pointer(server: Server, page: Page) -> None:
    viewer, other = opened(page, server), page.locator("[data-viewer]").nth(1)
    slide(other, "Opacity", 100)
    viewer.get_by_role("button", name="Objects").click()
    canvas = viewer.locator("canvas").first
    box = canvas.bounding_box()
    assert box
    canvas.hover(position={"x": CELL[0] * box["width"], "y": CELL[1] * box["height"]})
    expect(viewer.locator(".readout")).to_have_text(
        re.compile(r"^\d+, \d+ · Truth: <b>cell</b>, object 300 · U-Net: <b>cell</b> 90 % · FCN: background$")
    )
    expect(viewer.locator(".scale")).to_contain_text("20 µm")
    viewer.locator(".stage").focus()
    page.mouse.wheel(0, -900)  # the pointer stays over the cell, which grows over the panes of both
    expect(viewer.locator(".stage")).to_have_attribute("data-zoomed", "true")
    expect(other.locator(".stage")).to_have_attribute("data-zoomed", "true")
    assert near(colour(viewer, 0.45, 0.5), RED)
    assert near(colour(other, 0.45, 0.5), RED)
    page.keyboard.press("0")
    assert not near(colour(other, 0.45, 0.5), RED)
    page.keyboard.press("2")  # the cell's class
    assert not near(colour(viewer, *CELL), RED)


def test_two_fingers_zoom(server: Server, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    expect.set_options(timeout=PATIENCE)
    viewer, _, box = plain_canvas(page, server)
    x, y = box["x"] + CELL[0] * box["width"], box["y"] + CELL[1] * box["height"]
    touch = context.new_cdp_session(page)

    def fingers(kind: str, *places: float) -> None:
        points = [{"x": x + place, "y": y, "id": number} for number, place in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", -10)
    fingers("touchStart", -10, 10)
    for apart in (15, 20, 30, 40):
        fingers("touchMove", -apart, apart)
    fingers("touchEnd")
    expect(viewer.locator(".stage")).to_have_attribute("data-zoomed", "true")
    expect(page.locator(".stage").nth(1)).to_have_attribute("data-zoomed", "true")
    # Four times as large around the cell's middle: what was 0.07 of the width beside it is 0.28 beside it.
    assert near(colour(viewer, 0.45, 0.5), RED)
    no_traceback(page)
    context.close()


def test_tiles_lie_over_the_picture(server: Server, page: Page) -> None:
    viewer = opened(page, server, "?tiles")
    viewer.get_by_role("button", name="Objects").click()
    viewer.get_by_label("Show", exact=True).select_option(label="Picture alone")
    canvas = viewer.locator("canvas").first
    box = canvas.bounding_box()
    assert box
    for (x, y), said in {(70, 40): "in 4 tiles", (10, 10): "in 1 tile", (196, 40): "in no tile"}.items():
        canvas.hover(position={"x": x / 200 * box["width"], "y": y / 100 * box["height"]})
        expect(viewer.locator(".readout")).to_contain_text(said)
    page.mouse.move(0, 0)
    light, dark = colour(viewer, 0.25, 0.5), colour(viewer, 0.98, 0.5)
    assert max(dark) < 0.5 * min(light), "what is in no tile is dark"
    beside = [sum(colour(viewer, 64 / 200 + offset / 1000, 0.45)) for offset in range(-6, 7)]
    assert min(beside) < 0.75 * max(beside), "a line where a tile begins"


def reported(page: Page, word: str) -> str:
    text = page.get_by_test_id("stCode").filter(has_text=word).inner_text(timeout=PATIENCE)
    return text.strip().removeprefix(word).strip()


def test_a_click_is_reported(server: Server, page: Page) -> None:
    viewer = opened(page, server)
    canvas = viewer.locator("canvas").first
    box = canvas.bounding_box()
    assert box
    canvas.click(position={"x": GLAND[0] * box["width"], "y": GLAND[1] * box["height"]})
    found: dict[str, Any] = json.loads(reported(page, "clicked"))
    assert found.pop("x") == pytest.approx(150, abs=1)
    assert found.pop("y") == pytest.approx(50, abs=1)
    assert found == {"classes": {"Truth": 2, "U-Net": 0, "FCN": 2}, "instance": 600}
    no_traceback(page)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_a_mask_is_painted_undone_and_saved(server: Server, browser: Browser, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    expect.set_options(timeout=PATIENCE)
    viewer, canvas, _ = plain_canvas(page, server)

    def at(x: float, y: float) -> tuple[float, float]:
        now = canvas.bounding_box()
        assert now
        return now["x"] + x * now["width"], now["y"] + y * now["height"]

    assert viewer.get_by_role("button", name="Save the mask").is_disabled()
    viewer.get_by_role("button", name="Fill", exact=True).last.click()
    viewer.get_by_label("Class", exact=True).select_option(label="gland")
    page.mouse.click(*at(*CELL))
    assert near(colour(viewer, *CELL), BLUE), "filled"
    viewer.get_by_role("button", name="Undo").click()
    assert near(colour(viewer, *CELL), RED)
    viewer.get_by_role("button", name="Redo").click()
    assert near(colour(viewer, *CELL), BLUE)

    viewer.get_by_role("button", name="Polygon").click()
    for corner in ((0.4, 0.2), (0.6, 0.2), (0.6, 0.8), (0.4, 0.8)):
        page.mouse.click(*at(*corner))
    page.keyboard.press("Enter")
    assert near(colour(viewer, *BETWEEN), BLUE)
    viewer.get_by_role("button", name="Eraser").click()
    page.mouse.move(*at(0.62, 0.5))
    page.mouse.down()
    page.mouse.move(*at(0.9, 0.5), steps=5)
    page.mouse.up()
    assert not near(colour(viewer, *GLAND), BLUE)
    viewer.get_by_role("button", name="Save the mask").click()
    saved = reported(page, "saved")
    shape, counts = saved.split(") ")
    assert shape == "(100, 200"
    background, cell, gland = json.loads(counts)
    assert cell == 0
    assert background + gland == 200 * 100
    # Two squares of 60 x 60 and a polygon of 40 x 60, less a stroke of 16 pixels across the right square.
    assert gland == pytest.approx(2 * 3600 + 40 * 60 - 60 * 16, rel=0.04)
    assert near(colour(viewer, *CELL), BLUE), "what was painted is still there"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    no_traceback(page)
    context.close()


def test_a_large_picture_comes_reduced_and_then_close_up(server: Server, page: Page) -> None:
    viewer = opened(page, server, "?large")
    viewer.get_by_label("Show", exact=True).select_option(label="Picture alone")
    lines = """(canvas) => {
        const row = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
        let least = 255, most = 0;
        for (let i = 0; i < row.length; i += 4) { least = Math.min(least, row[i]); most = Math.max(most, row[i]); }
        return most - least;
    }"""
    assert viewer.locator("canvas").first.evaluate(lines) < 25, "the lines of one pixel run into each other"
    viewer.locator(".stage").focus()
    for _ in range(5):
        page.keyboard.press("+")
    for _ in range(100):
        if viewer.locator("canvas").first.evaluate(lines) > 35:
            break
        page.wait_for_timeout(100)
    assert viewer.locator("canvas").first.evaluate(lines) > 35, "and are seen close up"
    no_traceback(page)
