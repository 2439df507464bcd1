"""Several hosts train one run with JAX: here two processes that find each other on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.training.hosts import ADDRESS, COUNT, NUMBER, Hosts, hosts
from segmodels.training.runs import Run
from tests.conftest import ROOT

WORDS = [
    "train", "--data", "toy-pets", "--option", "width=4", "--option", "depth=2", "--option", "norm=batch",
    "--image-size", "32", "--batch-size", "8", "--limit", "32", "--learning-rate", "0.003", "--finished", "ignore",
    "--loss", "cross_entropy+dice", "--ema", "0.9",
]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, None),
        ({ADDRESS: "a:1"}, None),
        ({ADDRESS: "a:1", COUNT: "1", NUMBER: "0"}, None),
        ({ADDRESS: "a:1", COUNT: "3", NUMBER: "2"}, Hosts("a:1", 3, 2)),
        ({ADDRESS: "[::1]:80", COUNT: "2", NUMBER: "0"}, Hosts("[::1]:80", 2, 0)),
        ({COUNT: "2", NUMBER: "0"}, f"needs {ADDRESS} too"),
        ({ADDRESS: "a:1", COUNT: "2"}, f"needs {NUMBER} too"),
        ({ADDRESS: "a:1", COUNT: "two", NUMBER: "0"}, "must be a whole number"),
        ({ADDRESS: "a:1", COUNT: "2", NUMBER: "2"}, "of 2 processes the last is 1"),
        ({ADDRESS: "a", COUNT: "2", NUMBER: "1"}, "must be HOST:PORT"),
    ],
)
def test_the_environment_names_the_hosts(
    texts: dict[str, str], expected: Hosts | str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for name in (ADDRESS, COUNT, NUMBER):
        monkeypatch.delenv(name, raising=False)
    for name, text in texts.items():
        monkeypatch.setenv(name, text)
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            hosts()
        return
    assert hosts() == expected
    if expected:
        monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
        with pytest.raises(UserError, match="set KERAS_BACKEND=jax"):
            hosts()


class Pair:
    """Two processes, each with a home of its own."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        self.processes: list[subprocess.Popen[str]] = []
        self.run = Run(folder / "run")

    def start(self, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.processes = [
            subprocess.Popen(
                [str(self.python), "-m", "segmodels", *WORDS[:1], *words],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                env={
                    **os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax", ADDRESS: address, COUNT: "2",
                    NUMBER: str(number), "SEGMODELS_HOME": str(self.folder / f"home{number}"),
                },
            )
            for number in range(2)
        ]  # fmt: skip

    def begin(self, epochs: int) -> None:
        self.start(*WORDS[1:], "--epochs", str(epochs), "--json", "--run-dir", str(self.run.path))

    def end(self) -> list[tuple[int, str, str]]:
        """The exit code, output and messages of each."""
        ended = []
        for process in self.processes:
            output, messages = process.communicate(timeout=200)
            ended.append((process.returncode, output, messages))
        return ended

    def losses(self) -> list[float]:
        return [row["loss"] for row in self.run.steps()]

    def wait_for_epoch(self, number: int) -> None:
        end = time.monotonic() + 150
        while len(self.run.history()) < number:
            assert time.monotonic() < end
            assert all(process.poll() is None for process in self.processes), self.end()
            time.sleep(0.1)


@pytest.fixture
def pair(jax_python: Path, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(jax_python, tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_two_hosts_learn_what_one_learns(pair: Pair, python: Callable, jax_python: Path, tmp_path: Path) -> None:
    pair.begin(epochs=4)
    (code, output, messages), (other_code, other_output, other_messages) = pair.end()
    assert code == other_code == 0, messages + other_messages
    status: dict[str, Any] = json.loads(output)["status"]
    assert status["state"] == "finished"
    assert status["parallel"] == "2 devices on 2 hosts, data-parallel, 4 pictures each"
    assert json.loads(other_output) == {"run": "run", "state": "finished", "host": 1}
    assert not (tmp_path / "home1" / "runs").exists(), "the first alone has the run"

    alone = Run(tmp_path / "alone")
    done = python(
        "-m", "segmodels", *WORDS, "--epochs", 4, "--run-dir", alone.path,
        interpreter=jax_python, KERAS_BACKEND="jax", SEGMODELS_HOME=tmp_path / "home",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ours = [row["loss"] for row in alone.steps()]
    assert len(ours) == 16
    np.testing.assert_allclose(pair.losses(), ours, rtol=0, atol=1e-4)
    for name in ("val_loss", "val_pixel_accuracy"):
        np.testing.assert_allclose(
            [row[name] for row in pair.run.history()], [row[name] for row in alone.history()], rtol=0, atol=1e-3
        )


@pytest.mark.slow
def test_a_host_that_dies_ends_the_other_and_the_run_goes_on_later(pair: Pair) -> None:
    pair.begin(epochs=200)
    pair.wait_for_epoch(2)
    pair.processes[1].kill()
    code, _, messages = pair.end()[0]
    assert code == 1
    assert messages.splitlines()[-1].startswith("segmodels: another host is gone")
    assert "Traceback" not in messages
    assert pair.run.state == "interrupted"
    done = len(pair.run.history())

    pair.start("--resume", str(pair.run.path))
    pair.wait_for_epoch(done + 1)
    pair.processes[0].send_signal(signal.SIGINT)
    (code, _, messages), (other_code, other_output, other_messages) = pair.end()
    assert code == other_code == 0, messages + other_messages
    assert pair.run.state == "stopped"
    assert "stopped: run" in other_output
    places = [(row["epoch"] - 1) * 4 + row["step"] for row in pair.run.steps()]
    assert places == list(range(1, len(places) + 1)), "it went on where it was saved"


@pytest.mark.slow
def test_when_the_first_host_dies_the_others_say_so(pair: Pair) -> None:
    pair.begin(epochs=200)
    pair.wait_for_epoch(1)
    pair.processes[0].kill()
    code, _, messages = pair.end()[1]
    assert code == 1, messages
    assert "segmodels: another host is gone" in messages
    assert pair.run.state == "interrupted", "its lock is free"
