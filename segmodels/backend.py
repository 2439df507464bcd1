"""Keras, loaded once, on the backend that the user chose or that is installed.

Every module that needs Keras imports it from here, and nothing imports those modules before they are needed: so
`import segmodels` stays light, and the settings below are in place before TensorFlow or JAX start.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segmodels.device import known_devices
from segmodels.engines import chosen_engine
from segmodels.errors import UserError
from segmodels.home import home

#: The most that compiled programs of JAX may take on the disk.
COMPILED_BYTES = 4 << 30
#: Seconds after which a kept program of which one file is missing is no longer being written.
HALF_SECONDS = 600
#: What TensorFlow writes at every start, at no log level and in spite of its own settings.
_CHATTER = (b"oneDNN custom operations are on", b"absl::InitializeLog()", b"oneDNN supports DT_")


def _choose_backend() -> None:
    if (engine := chosen_engine()) is None:
        raise UserError("neither TensorFlow nor JAX is installed: pip install 'segmodels[tensorflow]'")
    os.environ["KERAS_BACKEND"] = engine


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what C++ code writes to standard error meanwhile, and pass on all but the chatter."""
    try:
        real = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held:
                if not any(part in line for part in _CHATTER):
                    os.write(2, line)


def _keep_compiled_programs() -> None:
    """On a GPU, JAX keeps the programs that it compiles, hundreds of them before the first step of a training, for the
    next one of the same network. On a CPU compiling is quick, and a program of one CPU may not run on another."""
    if os.environ["KERAS_BACKEND"] == "jax" and known_devices()[0].kind == "gpu":
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(home() / "cache" / "jax"))
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(COMPILED_BYTES))  # the oldest go
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        _forget_halves(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]))


def _forget_halves(folder: Path) -> None:
    """Remove programs whose writing was cut off, which JAX knows by a second file that is missing: while there is one
    it keeps no other."""
    with suppress(OSError):
        for program in folder.glob("*-cache"):
            there = program.with_name(program.name.removesuffix("-cache") + "-atime").exists()
            if not there and time.time() - program.stat().st_mtime > HALF_SECONDS:
                program.unlink()


_choose_backend()
_keep_compiled_programs()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what is below a warning only buries our own lines
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # leave the rest of the GPU's memory to others
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the same on JAX

with _without_chatter():
    import keras
    from keras import ops

__all__ = ["backend_name", "clear", "keras", "ops"]


def backend_name() -> str:
    """`tensorflow` or `jax` (or another Keras backend that the user set)."""
    return keras.backend.backend()


def clear() -> None:
    """Forget layer names and global state, so that the next model is named and seeded as in a fresh process."""
    keras.backend.clear_session()
