"""A checkpoint's network as an ONNX file, for ONNX Runtime: on a processor it can answer in half the time of Keras.

The file is made once, which takes some seconds, and kept. It needs TensorFlow and tf2onnx to be made, and only ONNX
Runtime to be used.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.data.ahead import cores
from segmodels.data.disk import locked, make_folder
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, replacing, state_of, sweep, whole
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC, WEIGHTS, load_checkpoint, read_spec
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint

if TYPE_CHECKING:
    from segmodels.backend import keras
    from segmodels.prediction.predictor import Predictor

#: What the file is called in a checkpoint directory.
ONNX = "model.onnx"
#: What a file is made and used with, beside TensorFlow.
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
#: How far the file's logits may be from Keras', as a share of their range.
TOLERANCE = 1e-3
#: Of a network that puts features back where its pooling took them from, this share of the logits must be as near.
#: Where two of four neighbours are equal but for rounding the engines choose otherwise, and what is unpooled there
#: moves by a pixel: that befalls every other picture of 256 x 256, and up to 1.5 % of its logits.
UNPOOLED = 0.95
#: The entry of a file's metadata that names the weights it was made of.
_MADE_OF = "segmodels.made_of"
#: Changes when the file is made otherwise.
VERSION = 1


def onnx_file(model: str | Path | Predictor, *, reporter: Reporter | None = None) -> Path:
    """The network of a checkpoint as an ONNX file, made where there is none that fits its weights.

    Its one input is uint8 RGB `(batch, size, size, 3)` of the size of the checkpoint's input contract, or of any height
    and width where that says tiles; its one output float32 logits `(batch, height, width, classes)`. The batch is of
    any size. A `model.onnx` in the checkpoint directory is taken where it names these weights; else the file is kept in
    the home's `cache/onnx/`, by the checkpoint's place and the state of its files. What is made says in its metadata
    what it was made of, so that a copy of it may be put into the checkpoint directory.

    A new file is compared with Keras on random pictures before it is kept.

    Args:
        model: a checkpoint directory, a run or its id; of a `Predictor` its checkpoint, as that lies on the disk.
        reporter: told that a file is made.

    Raises:
        UserError: no such model, or a damaged one; a package or TensorFlow is missing; a network that has no form in
            ONNX, or whose file answers otherwise than Keras.
    """
    folder = whole(find_checkpoint(model, reporter) if isinstance(model, str | Path) else model.path)
    if found := kept_onnx_file(folder):
        return found
    kept = _kept(folder)
    _check_packages()
    reporter = reporter or Reporter()
    make_folder(kept.parent)
    with locked(kept.parent / "lock", lambda: None):
        kept = _kept(folder)
        if kept.is_file():  # another process has made it meanwhile
            return kept
        sweep(kept.parent)
        reporter.note(f"making an ONNX file of {folder}, which is kept")
        with replacing(kept) as file:
            _make(folder, file)
            if _kept(folder) != kept:
                raise UserError(f"{folder} was written anew while its ONNX file was made: try again")
        for earlier in kept.parent.glob("*.onnx"):
            if earlier != kept:
                with suppress(OSError):
                    earlier.unlink()
    return kept


def kept_onnx_file(folder: Path) -> Path | None:
    """The file of a checkpoint directory, where one is there that was made of its weights."""
    folder = whole(folder)
    beside, kept = folder / ONNX, _kept(folder)
    if beside.is_file() and _fits(beside, folder, state_of([beside, folder / WEIGHTS, folder / SPEC], VERSION)):
        return beside
    return kept if kept.is_file() else None


@lru_cache(maxsize=64)
def _fits(beside: Path, folder: Path, state: str) -> bool:
    """Whether a file was made of a checkpoint's weights; found out anew when one of them was written since."""
    return _named_weights(beside) == _weights_name(folder)


def onnx_session(path: Path, threads: int | None = None) -> Any:
    """An ONNX file in ONNX Runtime on the processor: an `onnxruntime.InferenceSession`, see `onnx_logits`.

    Args:
        threads: that compute a picture; as many as there are cores where None.

    Raises:
        UserError: ONNX Runtime is not installed, or the file is damaged.
    """
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores() if threads is None else threads
    options.log_severity_level = 3  # errors
    # Within a picture its threads wait for work by keeping their cores busy, 4 % faster; after it they would else
    # go on so, and slow down whatever runs then.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class of its own for each
        raise UserError(f"{path} is no ONNX file or damaged ({_reason(error)}): remove it") from None


def onnx_logits(session: Any, images: np.ndarray) -> np.ndarray:
    """Logits of a batch: uint8 `(batch, height, width, 3)` to float32 `(batch, height, width, classes)`."""
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def _kept(folder: Path) -> Path:
    """Where the file of a checkpoint as it is now is kept."""
    folder = folder.absolute()
    place = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return home() / "cache" / "onnx" / place / f"{state_of([folder / WEIGHTS, folder / SPEC], VERSION)}.onnx"


def _weights_name(folder: Path) -> str:
    """A name for the weights of a checkpoint and for the network that they belong to, the same of every copy."""
    spec = read_spec(folder)
    about = f"{VERSION} {spec.architecture.model_dump_json()} {spec.input.model_dump_json()}"
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    with suppress(OSError), (folder / WEIGHTS).open("rb") as file:  # without weights no file fits
        hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _named_weights(path: Path) -> str | None:
    """The weights that a file says it was made of; None where it does not say, or cannot be read."""
    with suppress(Exception):  # whatever is wrong with it: then it is not used
        runtime = _package("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # silent
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.get_modelmeta().custom_metadata_map.get(_MADE_OF)
    return None


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"an ONNX file needs {name}: pip install {' '.join(PACKAGES)}") from None


def _check_packages() -> None:
    """Raise `UserError` where something that a file is made with is missing."""
    from segmodels.backend import backend_name

    if (engine := backend_name()) != "tensorflow":
        raise UserError(
            f"an ONNX file is made with TensorFlow, not with {engine}: pip install tensorflow {' '.join(PACKAGES)}, "
            "and unset KERAS_BACKEND"
        )
    for name in PACKAGES:
        _package(name)


def _make(folder: Path, path: Path) -> None:
    """Write the file of a checkpoint, with what it was made of, and compare it with Keras."""
    import onnx
    import tensorflow as tf

    from segmodels.prediction.engines.keras_engine import compiled

    name = _weights_name(folder)
    # On the processor: a GPU rounds more coarsely than the comparison allows, and may be busy.
    with tf.device("CPU:0"):
        model, spec = load_checkpoint(folder)
        contract = spec.input
        side = contract.size if contract.mode == "resize" else None
        write_onnx(model, side, path)
        with explain_disk_errors(path):
            document = onnx.load(str(path))
            onnx.helper.set_model_props(document, {_MADE_OF: name})
            onnx.save(document, str(path))
        # Two pictures, and of tiles no square: what should be free in the file is not what it was made with.
        width = contract.size - (5 if side is None else 0)
        images = np.random.default_rng(0).integers(0, 256, (2, contract.size, width, 3), dtype=np.uint8)
        _compare(onnx_logits(onnx_session(path), images), compiled(model)(images), model, folder)


def write_onnx(model: keras.Model, side: int | None, path: Path) -> None:
    """Write a network that takes pictures of `side` pixels, or of any height and width; `UserError` where ONNX has no
    form for it."""
    import tensorflow as tf

    from segmodels.models.batch_norm_tensorflow import fused_batch_norm

    # With a signature of its own: Keras' would be float32, of any size, and only of a model that was called before.
    signature = [tf.TensorSpec((None, side, side, 3), tf.uint8, name="images")]
    try:
        with fused_batch_norm(), warnings.catch_warnings(action="ignore"):  # Keras mends tf2onnx for NumPy 2 on the go
            model.export(str(path), format="onnx", verbose=False, input_signature=signature)
    except OSError:
        raise  # of the disk
    except Exception as error:
        raise UserError(f"{model.name} cannot be written as ONNX ({_reason(error)}): use it with Keras") from None


def _compare(found: np.ndarray, expected: np.ndarray, model: keras.Model, folder: Path) -> None:
    """Raise `UserError` where two engines' logits of the same pictures differ by more than rounding."""
    from segmodels.models.unpooling import Unpooling

    if found.shape != expected.shape:
        raise UserError(f"the ONNX file of {folder} answers {found.shape} where Keras has {expected.shape}: use Keras")
    unpools = any(isinstance(layer, Unpooling) for layer in model._flatten_layers())
    away = np.abs(found - expected) / max(float(np.ptp(expected)), 1e-6)
    farthest = float(np.quantile(away, UNPOOLED if unpools else 1.0))
    if not farthest <= TOLERANCE:  # NaN is neither
        raise UserError(
            f"the ONNX file of {folder} answers otherwise than Keras, by {farthest:.2g} of the logits' range: "
            "use it with Keras"
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
