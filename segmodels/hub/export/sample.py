"""The short program that lies beside an export and uses it: with the runtime, NumPy and Pillow alone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from segmodels.hub.checkpoint import InputSpec

#: How such a program begins.
_MARK = '"""Written by segmodels'

_HEAD = (
    _MARK
    + ''': the mask of a picture, in the colours of its classes.

    pip install numpy pillow {packages}
    python THIS_FILE.py PICTURE.jpg MASK.png
"""

import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

'''
)

#: What is imported, and what loads a file whose name is `{name}`: each gives `about`, the file's metadata, and
#: `network`, from uint8 pictures to logits.
ONNX = """onnxruntime
import onnxruntime

session = onnxruntime.InferenceSession(Path(__file__).with_name({name}))
about = json.loads(session.get_modelmeta().custom_metadata_map["segmodels"])


def network(pictures):
    return session.run(None, {{session.get_inputs()[0].name: pictures}})[0]
"""
SAVED_MODEL = """tensorflow
import tensorflow as tf

folder = Path(__file__).parent
about = json.loads((folder / "assets.extra" / "segmodels.json").read_text(encoding="utf-8"))
model = tf.saved_model.load(str(folder))


def network(pictures):
    return model.signatures["serving_default"](images=tf.constant(pictures))["logits"].numpy()
"""
LITERT = """ai-edge-litert
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import Model

file = Path(__file__).with_name({name})
content = Model.GetRootAs(file.read_bytes())
entries = {{each.Name(): each.Buffer() for each in map(content.Metadata, range(content.MetadataLength()))}}
about = json.loads(bytes(content.Buffers(entries[b"segmodels"]).DataAsNumpy()))
runner = Interpreter(str(file)).get_signature_runner()


def network(pictures):
    return runner(images=pictures)["logits"]
"""

_PICTURE = """

picture = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
"""
#: The whole picture at one size, and the logits back at its own.
_RESIZE = """seen = picture.resize(({size}, {size}), Image.Resampling.BILINEAR)
logits = network(np.asarray(seen)[None])[0].transpose(2, 0, 1)
logits = [Image.fromarray(each).resize(picture.size, Image.Resampling.BILINEAR) for each in logits]
mask = np.argmax(logits, axis=0)
"""
#: The picture as it is, its sides filled up by reflection to what the network computes in multiples of.
_WHOLE = """height, width = picture.height, picture.width
pixels = np.pad(picture, ((0, -height % {multiple}), (0, -width % {multiple}), (0, 0)), "reflect")
mask = network(pixels[None])[0, :height, :width].argmax(-1)
"""
#: The picture in tiles, whose middles count the most where they meet.
_TILES = """height, width, size, step = picture.height, picture.width, {size}, {step}
pixels = np.pad(picture, ((0, max(0, size - height)), (0, max(0, size - width)), (0, 0)), "reflect")
weight = np.exp(-32 * ((np.arange(size) + 0.5) / size - 0.5) ** 2)
logits = np.zeros((*pixels.shape[:2], len(about["classes"])), np.float32)
for top in [*range(0, len(pixels) - size, step), len(pixels) - size]:
    for left in [*range(0, pixels.shape[1] - size, step), pixels.shape[1] - size]:
        tile = np.s_[top : top + size, left : left + size]
        logits[tile] += network(np.ascontiguousarray(pixels[tile])[None])[0] * np.outer(weight, weight)[..., None]
mask = logits[:height, :width].argmax(-1)
"""
_END = """colours = np.array([tuple(bytes.fromhex(each["colour"][1:])) for each in about["classes"]], np.uint8)
Image.fromarray(colours[mask]).save(sys.argv[2])
"""


def sample(loads: str, contract: InputSpec, side: int | None, name: str, multiple: int) -> str:
    """The text of the program.

    Args:
        loads: `ONNX`, `SAVED_MODEL` or `LITERT`.
        contract: how the file is to be shown pictures.
        side: of what it takes; None where that is free.
        name: of the file, which lies beside the program.
        multiple: pixels that the network fills sides up to a multiple of.
    """
    packages, rest = loads.split("\n", 1)
    imports, load = rest.split("\n\n", 1)
    seen = _RESIZE if contract.mode == "resize" else _WHOLE if side is None else _TILES
    return (
        _HEAD.format(packages=packages, imports=imports)
        + load.format(name=repr(name))
        + _PICTURE
        + seen.format(size=contract.size, step=contract.size - (contract.overlap or 0), multiple=multiple)
        + _END
    )


def is_sample(path: Path) -> bool:
    """Whether a file is such a program."""
    with suppress(OSError, ValueError), path.open(encoding="utf-8") as file:
        return file.read(len(_MARK)) == _MARK
    return False
