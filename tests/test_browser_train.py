"""The Train page as a person steers with it: pause, reload, kill, resume, stop, order, change, fork, delete."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from segmodels.files import read_json
from segmodels.recipe import Recipe
from segmodels.training.changes import changes_of
from segmodels.training.launch import launch
from segmodels.training.queue import waiting_runs
from segmodels.training.runs import Run
from segmodels.training.trash import deleted
from tests.served import Server, badge, no_traceback
from tests.test_browser import start_run
from tests.test_train import wait

pytestmark = pytest.mark.browser


def pressed(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


@pytest.mark.slow  # its parts are tested without a browser, and a newcomer's whole way is walked in test_browser
def test_a_run_is_paused_killed_resumed_and_stopped(server: Server, page: Page, browser: Browser) -> None:
    run = start_run(page, server, epochs=60, limit=64)
    wait(lambda: len(run.history()) >= 2)
    expect(page.get_by_role("figure", name=re.compile("Mean IoU of training and validation"))).to_be_visible()

    pressed(page, "Pause")
    expect(badge(page)).to_contain_text("paused")
    rows = len(run.steps())
    page.reload()
    expect(badge(page)).to_contain_text("paused")
    pressed(page, "Resume")
    expect(badge(page)).to_contain_text("running")
    wait(lambda: len(run.steps()) > rows)

    other = browser.new_page()  # two look at one run
    other.goto(f"{server.url}/Train?run={run.id}")
    expect(badge(other)).to_contain_text("running")

    server.kill()
    rows = len(run.steps())
    wait(lambda: len(run.steps()) > rows + 5)  # the trainer does not end with its server
    server.start()
    os.kill(run.status()["pid"], signal.SIGKILL)
    page.goto(f"{server.url}/Train?run={run.id}")
    expect(badge(page)).to_contain_text("interrupted")
    expect(page.get_by_text("its process ended")).to_be_visible()
    pressed(page, "Resume")
    expect(badge(page)).to_contain_text("running")
    page.get_by_role("button", name="Change").click()
    field = page.get_by_role("spinbutton", name="Highest learning rate")
    field.fill("0.0005")
    field.press("Enter")
    pressed(page, "Change it")
    wait(lambda: changes_of(run.path))
    assert changes_of(run.path)[0].learning_rate == 0.0005
    page.keyboard.press("Escape")
    pressed(page, "Stop")
    expect(badge(page)).to_contain_text("stopped")
    other.goto(f"{server.url}/Train?run={run.id}")
    expect(badge(other)).to_contain_text("stopped")
    other.close()
    no_traceback(page)
    assert run.has_best

    page.get_by_role("button", name="Fork").click()
    pressed(page, "Fork it")
    expect(page.get_by_text("with its weights")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    command = page.get_by_text("The same as a command")
    expect(command).to_have_count(1)  # the form before it may still be there
    command.click()
    best = read_json(run.best / "metrics.json")["epoch"]  # the status follows it later, or not where it was stopped
    expect(page.get_by_test_id("stCode").first).to_contain_text(f"--start-from {run.id}@{best}")

    page.goto(f"{server.url}/Train?run={run.id}")
    page.get_by_role("button", name="Delete").click()
    pressed(page, "Yes, delete it")
    expect(page.get_by_text("is deleted")).to_be_visible()
    assert [entry.id for entry in deleted_at(server)] == [run.id]
    pressed(page, "Undo")
    expect(page.get_by_text("is deleted")).to_have_count(0)
    assert run.state == "stopped"
    no_traceback(page)


def deleted_at(server: Server) -> list:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(server.home))
        return deleted()


@pytest.mark.slow
def test_three_runs_wait_in_an_order_that_can_be_changed(
    server: Server, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(server.home))
    fields = {"data": "toy-pets", "options": {"width": 4, "depth": 3}, "image_size": 32, "limit": 32}
    first, second, third = (launch(Recipe(**fields, epochs=300, seed=seed)) for seed in range(3))
    wait(lambda: first.state == "running" and len(waiting_runs()) == 2)
    page.goto(f"{server.url}/Train?run={first.id}")
    expect(page.get_by_text("2 waiting")).to_be_visible()
    page.get_by_test_id("stColumn").get_by_role("button").nth(2).scroll_into_view_if_needed()
    earlier(page, third).click()
    wait(lambda: waiting_runs() == [third.id, second.id])
    server.kill()
    server.start()
    page.goto(f"{server.url}/Train?run={first.id}")
    expect(page.get_by_text(f"1. {third.id}")).to_be_visible()
    pressed(page, "Stop")
    wait(lambda: third.state == "running")
    assert waiting_runs() == [second.id]
    page.goto(f"{server.url}/Train?run={third.id}")
    expect(badge(page)).to_contain_text("running")
    expect(page.get_by_text("1 waiting")).to_be_visible()
    for run in (second, third):
        run.request("stop")
        wait(lambda run=run: run.state == "stopped")
    no_traceback(page)


def earlier(page: Page, run: Run):
    row = page.get_by_test_id("stHorizontalBlock").filter(has_text=run.id).last
    return row.get_by_role("button").first


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(1400, "dark", marks=pytest.mark.slow), (390, "light")])
def test_every_part_of_the_page_fits_the_window(
    server: Server, browser: Browser, tiny_run: Run, width: int, scheme: str
) -> None:
    (server.home / "runs").mkdir()
    (server.home / "runs" / "shown").symlink_to(tiny_run.path)
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    for part in ("New run", "Watch", "All runs"):
        opened.goto(f"{server.url}/Train?part={part}")
        expect(opened.get_by_role("tabpanel").first).to_be_visible()
        opened.wait_for_timeout(2000)
        no_traceback(opened)
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, part
    context.close()


def test_a_recipe_that_is_no_good_is_told_in_a_line(server: Server, page: Page, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: toy-pets\nepochs: 3\nlerning_rate: 0.1\n")
    page.goto(f"{server.url}/Train")
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(tmp_path / "mine.yaml")
    expect(page.get_by_role("alert")).to_contain_text("did you mean 'learning_rate'?")
    (tmp_path / "better.yaml").write_text("data: toy-pets\nepochs: 3\nlearning_rate: 0.1\noptions: {depth: 2}\n")
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(tmp_path / "better.yaml")
    expect(page.get_by_text("From the file better.yaml")).to_be_visible()
    command = page.get_by_text("The same as a command")
    expect(command).to_have_count(1)  # the form before it may still be there
    command.click()
    expect(page.get_by_test_id("stCode").first).to_contain_text("--option depth=2 --epochs 3 --learning-rate 0.1")
    no_traceback(page)
