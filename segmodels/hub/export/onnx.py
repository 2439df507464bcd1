"""ONNX: the file that the engine `onnx` keeps, with its metadata, or one of another size."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from segmodels.hub.export.about import KEY
from segmodels.hub.export.format import Forward, Network
from segmodels.hub.export.pictures import Pictures
from segmodels.hub.onnx_model import onnx_file, onnx_logits, onnx_session, write_onnx
from segmodels.training.reporter import Reporter


def write_onnx_export(
    network: Network, path: Path, compared: Pictures, calibrated: Pictures | None, reporter: Reporter
) -> None:
    """Write the file; `UserError` where the network has no form in ONNX."""
    import onnx

    contract = network.spec.input
    if network.side == (contract.size if contract.mode == "resize" else None):
        source = onnx_file(network.folder, reporter=reporter)
    else:
        write_onnx(network.model, network.side, path)
        source = path
    document = onnx.load(str(source))
    kept = {entry.key: entry.value for entry in document.metadata_props}
    onnx.helper.set_model_props(document, {**kept, KEY: json.dumps(network.about)})
    onnx.save(document, str(path))


def open_onnx(path: Path) -> Forward:
    return partial(onnx_logits, onnx_session(path))


def described_onnx(path: Path) -> dict[str, Any] | None:
    """What a file says of itself; None where it is no export."""
    with suppress(Exception):  # of whatever is no ONNX file
        import onnx

        for entry in onnx.load(str(path), load_external_data=False).metadata_props:
            if entry.key == KEY:
                return json.loads(entry.value)
    return None
