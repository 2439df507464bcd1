"""A verb of the command line in a process of its own, which finds this package wherever it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segmodels.errors import UserError

#: Not on a GPU: what computes nothing takes no memory from a training.
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
#: It ends when whoever started it is gone, however that ended.
WITH_PARENT = {"SEGMODELS_WITH_PARENT": "1"}


def end_with_parent() -> None:
    """In a process that was started `WITH_PARENT`: watch for the parent's end. A variable of its own children it is
    not."""
    if os.environ.pop(next(iter(WITH_PARENT)), None) is None:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def own_words(lines: Sequence[str]) -> list[str]:
    """Of what a verb wrote to standard error, the lines that explain a mistake, without the program's name."""
    return [line.removeprefix("segmodels: ") for line in lines if line.startswith("segmodels: ")]


def start(words: Sequence[str], *, variables: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen:
    """Start `python -m segmodels WORDS`, which reads nothing from standard input.

    Args:
        variables: of the environment, beside those of this process.
        **streams: further arguments of `subprocess.Popen`.
    """
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "segmodels", *words],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(variables or {}), "PYTHONPATH": path},
        **streams,
    )


def ask(
    words: Sequence[str], *, variables: dict[str, str] | None = None, look: Callable[[], None] = lambda: None
) -> Any:
    """The JSON document of a verb, from a process of its own that ends with this one.

    Args:
        variables: of the environment, beside those of this process.
        look: called ten times a second; what it raises ends the verb.

    Raises:
        UserError: the verb's own reason, where it fails.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(
            [*words, "--json"], variables={**(variables or {}), **WITH_PARENT}, stdout=output, stderr=errors
        )
        try:
            while process.poll() is None:
                look()
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
            own = own_words(lines)
            killed = "its process was killed, as where memory is short"
            raise UserError((own or ([killed] if process.returncode < 0 else lines) or ["its process failed"])[-1])
        try:
            return json.loads(output.read())
        except ValueError:
            raise UserError("its process gave no JSON document: try again") from None
