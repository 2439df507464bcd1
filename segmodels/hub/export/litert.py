"""LiteRT (TensorFlow Lite): a file of one size with built-in operators alone, in float or in int8."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.ahead import cores
from segmodels.errors import UserError
from segmodels.hub.export.agreement import Agreement, compare
from segmodels.hub.export.format import Forward, Network
from segmodels.hub.export.litert_file import operator_outputs, read_entry, with_entry
from segmodels.hub.export.pictures import Pictures
from segmodels.hub.export.saved_model import quiet, save_graph
from segmodels.training.reporter import Reporter

#: How many of an int8 file's first operators are left in float, one after the other, until it agrees well enough: they
#: see the most pixels and hold the fewest weights, and what is rounded there all others have to go by. MobileNetV2
#: loses most of what it loses in its first two blocks.
IN_FLOAT = (0, 3, 6, 12, 24)
#: The agreement at which no more are tried; a file that reaches less than this on all tries is the best of them.
ENOUGH = 0.985


def write_litert(
    network: Network, path: Path, compared: Pictures, calibrated: Pictures | None, reporter: Reporter
) -> int | None:
    """Write the file.

    In int8 all is computed in whole numbers of eight bits but the scaling of the pixels and, where that alone agrees
    too little with Keras, the first few operators; see `IN_FLOAT`.

    Returns:
        of int8 how many operators behind the scaling of the pixels were left in float.

    Raises:
        UserError: the network needs operators that LiteRT does not have built in.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        save_graph(network.model, Path(folder), batch=1, side=network.side)
        model = _converted(network, Path(folder), calibrated, reporter)
    if calibrated is None:
        path.write_bytes(with_entry(model, network.about))
        return None
    return _quantised(network, model, path, compared, reporter)


def _converted(network: Network, graph: Path, calibrated: Pictures | None, reporter: Reporter) -> bytes:
    """The network in float; with pictures to measure on the range of each feature is noted in it."""
    import tensorflow as tf

    def examples() -> Iterator[list[np.ndarray]]:
        assert calibrated is not None
        for done, picture in enumerate(calibrated, start=1):
            reporter.progress(done, len(calibrated), f"measuring ranges on {calibrated.source}")
            yield [picture[None]]

    with quiet(), warnings.catch_warnings(action="ignore"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(graph))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if calibrated is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = examples
            # As TensorFlow's own selective quantisation does: measure once, quantise in several ways.
            converter._experimental_calibrate_only = True
        try:
            return converter.convert()
        except OSError:
            raise  # of the disk
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{network.model.name} has no form in LiteRT's built-in operators ({reason}): use another format"
            ) from None


def _quantised(network: Network, measured: bytes, path: Path, compared: Pictures, reporter: Reporter) -> int:
    """Write the int8 file with the fewest operators in float that agrees well enough, else the best."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    scaling, behind = operator_outputs(measured)
    best: tuple[Agreement, int, bytes] | None = None
    for count in IN_FLOAT:
        kept = [*scaling, *behind[:count]]
        reporter.note("quantising" + (f", the first {count} operators in float" if count else ""))
        model = mlir_quantize(
            measured, input_data_type=tf.float32, output_data_type=tf.float32, denylisted_nodes=kept or None
        )
        path.write_bytes(with_entry(model, network.about))
        found = compare(open_litert(path), network, compared, reporter)
        if best is None or found.same_pixels > best[0].same_pixels:
            best = found, count, path.read_bytes()
        if found.same_pixels >= ENOUGH:
            break
    assert best is not None
    path.write_bytes(best[2])
    return best[1]


def open_litert(path: Path) -> Forward:
    """The forward pass in LiteRT's interpreter, one picture at a time."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        runner = Interpreter(str(path), num_threads=cores()).get_signature_runner()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not run in LiteRT ({reason}): use another format") from None

    def forward(images: np.ndarray) -> np.ndarray:
        return np.concatenate([runner(images=image[None])["logits"] for image in images])

    return forward


def described_litert(path: Path) -> dict[str, Any] | None:
    """What a file says of itself; None where it is no export."""
    return read_entry(path)
