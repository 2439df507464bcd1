"""The Compare page as a person uses it: three architectures started, reloaded, seen through; a confusion looked at."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from segmodels.evaluation.compare.comparison import Comparison
from tests.served import Server, no_traceback
from tests.test_train import wait

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def typed(page: Page, label: str, value: int) -> None:
    field = page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(str(value))
    field.press("Enter")
    expect(page.get_by_test_id("stCode").first).to_contain_text(f"--{label.lower().replace(' ', '-')} {value}")


@pytest.mark.timeout(1500)
def test_three_architectures_are_compared_and_looked_at(server: Server, page: Page, browser: Browser) -> None:
    page.goto(f"{server.url}/Compare?compare-part=New+comparison&compare-data=toy-pets")
    page.get_by_text("Begin with pretrained encoders").click()
    for label, value in (("Image size", 64), ("Limit", 32), ("Epochs", 1)):
        typed(page, label, value)
    page.get_by_role("button", name="Start the comparison").click()
    page.wait_for_url(re.compile("comparison="))
    found = [Comparison(path) for path in (server.home / "comparisons").iterdir() if path.name[0] != "."]
    assert len(found) == 1
    comparison = found[0]
    wait(lambda: comparison.state == "running")
    expect(page.get_by_text(re.compile("training")).first).to_be_visible()

    page.reload()
    expect(page.get_by_text(comparison.id).first).to_be_visible()
    server.kill()  # who conducts it does not end with the server
    server.start()
    page.goto(f"{server.url}/Compare?comparison={comparison.id}")
    wait(lambda: comparison.state == "finished", seconds=1200)
    assert [entry.state for entry in comparison.entries()] == ["evaluated"] * 3
    expect(page.locator(".stMarkdownBadge").first).to_contain_text("finished")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    no_traceback(page)

    page.get_by_role("tab", name="Pictures").click()
    expect(page.locator("[data-viewer][data-ready]")).to_have_count(4)  # the truth, and three models
    page.get_by_role("tab", name="Differences").click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()

    page.get_by_role("tab", name="Reports").click()
    a_cell_leads_to_its_pictures(page)
    no_traceback(page)

    phone = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    for view in ("Table", "Differences", "Pictures", "Cost", "Classes", "Reports", "Recipes"):
        phone.goto(f"{server.url}/Compare?comparison={comparison.id}&view={view}")
        expect(phone.get_by_role("tab", name=view)).to_have_attribute("aria-selected", "true")
        no_traceback(phone)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, view
    phone.close()


def a_cell_leads_to_its_pictures(page: Page) -> None:
    """A click on the figure in the middle of a cell: pets that were called background."""
    cells = page.get_by_test_id("stVegaLiteChart").first.locator("path[aria-roledescription='rect mark']")
    expect(cells.first).to_be_visible()
    page.get_by_role("combobox", name="Called").scroll_into_view_if_needed()
    chosen = re.compile("compare-report-truth=pet.*compare-report-called=background")
    for _ in range(10):  # while pictures arrive the chart moves away below the pointer
        box = cells.nth(1).bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(3000)
        if chosen.search(page.url):
            break
    expect(page).to_have_url(chosen)
    expect(page.get_by_text("most such pixels first")).to_be_visible()
    page.locator("[data-grid] button.tile").first.click()
    expect(page.locator("[data-viewer][data-ready]").first).to_be_visible()
