"""The Models page in a browser: a private model is pulled, looked at, used and pushed; its token is left nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from segmodels.training.runs import Run
from tests.hub_server import Hub, hub_in_environment, travelling
from tests.served import Server, no_traceback

pytestmark = pytest.mark.browser

TOKEN = "hf_secretSECRETsecret"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Before the server, which finds it by its environment."""
    with hub_in_environment(monkeypatch, tmp_path) as hub:
        yield hub


def give_token(page: Page) -> None:
    field = page.get_by_label("Token", exact=True)
    expect(field).to_have_attribute("type", "password")
    field.fill(TOKEN)
    field.press("Tab")


def token_is_gone(page: Page) -> None:
    expect(page.get_by_label("Token", exact=True)).to_have_value("")
    assert TOKEN not in page.content()
    assert TOKEN not in page.url


@pytest.mark.slow
def test_a_private_model_comes_and_goes_by_the_hub(
    hub: Hub, server: Server, tiny_run: Run, page: Page, browser: Browser, tmp_path: Path
) -> None:
    files = travelling(tiny_run.best)
    card = b"# Hello\n<script>document.title = 'taken'</script>\n![t](%s/track.png)\n" % hub.url.encode()
    commit = hub.commit("someone/cells", {**files, "README.md": card}, kind="model")
    hub.tokens, hub.private = {TOKEN: "write"}, {"models/someone/cells"}

    page.goto(f"{server.url}/Models")
    page.get_by_role("button", name="Pull one").click()
    page.get_by_label("Name", exact=True).fill("someone/cells")
    give_token(page)
    page.get_by_role("button", name="Pull", exact=True).click()
    expect(page.get_by_text(f"hf://someone/cells is here, at commit {commit[:12]}")).to_be_visible()
    token_is_gone(page)
    no_traceback(page)

    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("heading", name="hf://someone/cells")).to_be_visible()
    expect(page).to_have_url(re.compile(r"model=hf%3A%2F%2Fsomeone%2Fcells"))
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.get_by_text("Its card, as text").click()
    expect(page.get_by_text("document.title = 'taken'")).to_be_visible()
    assert page.title() != "taken"
    assert not hub.asked("track.png"), "no picture of a stranger's is asked for"
    assert page.evaluate("[...document.images].every(image => image.src.startsWith(location.origin))")
    link = page.url

    page.get_by_role("link", name="Predict with it").click()
    expect(page.get_by_role("heading", name="Predict")).to_be_visible()
    expect(page.get_by_test_id("stMultiSelect").first).to_contain_text("hf://someone/cells")
    page.goto(link)
    expect(page.get_by_role("heading", name="hf://someone/cells")).to_be_visible()

    page.get_by_role("button", name="Push", exact=True).click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("hf://someone/cells")
    page.get_by_label("Repository", exact=True).fill("someone/copy")
    give_token(page)
    page.get_by_role("button", name="Push", exact=True).click()
    there = page.get_by_role("link", name="The repository at the Hub")
    expect(there).to_have_attribute("href", f"{hub.url}/someone/copy")
    token_is_gone(page)
    no_traceback(page)
    assert hub.files("someone/copy")["model.weights.h5"] == files["model.weights.h5"]
    assert hub.files("someone/copy")["segmodels.json"] == files["segmodels.json"]

    assert not server.has_loaded("tensorflow"), "the server loads an engine only to predict"
    read = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "server.log" for path in read)
    assert not [path for path in read if TOKEN.encode() in path.read_bytes()]

    phone = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.set_default_timeout(60_000)
    for address, word in ((link, "How good it is"), (f"{server.url}/Models", "1 of 1 models")):
        phone.goto(address)
        expect(phone.get_by_text(word)).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the phone"
        no_traceback(phone)
    phone.close()
