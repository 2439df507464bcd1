"""What lies in a LiteRT file, a FlatBuffer: an entry of its metadata, and what its operators are called."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.hub.export.about import KEY, LONGEST

#: The four bytes by which such a file is known.
IDENTIFIER = b"TFL3"
#: Operators that bring pixels to the scale that the network was trained with, at its very beginning.
_SCALING = {"CAST", "MUL", "ADD", "SUB", "PAD", "PADV2", "GATHER", "RESHAPE"}


def with_entry(model: bytes, document: dict[str, Any]) -> bytes:
    """The same file with a JSON document in its metadata, under `KEY`, in a buffer of its own."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(document).encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = KEY, len(content.buffers)
    content.buffers.append(buffer)
    content.metadata = [*(content.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + buffer.data.size + 1024)
    builder.Finish(content.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def read_entry(path: Path) -> dict[str, Any] | None:
    """The document of a file's metadata; None where it has none, or is no such file."""
    with suppress(Exception):  # of whatever is no LiteRT file
        from ai_edge_litert.schema_py_generated import Model

        content = path.read_bytes()
        if content[4:8] != IDENTIFIER:
            return None
        model = Model.GetRootAs(content)
        for entry in map(model.Metadata, range(model.MetadataLength())):
            if entry.Name() == KEY.encode():
                text = model.Buffers(entry.Buffer()).DataAsNumpy()
                return json.loads(bytes(text)) if text.size <= LONGEST else None
    return None


def operator_outputs(model: bytes) -> tuple[list[str], list[str]]:
    """What the outputs of the operators are called, in order: of those that scale the pixels, and of those behind."""
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = content.subgraphs[0]
    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    names, scaling = [], None
    for place, operator in enumerate(graph.operators):
        code = content.operatorCodes[operator.opcodeIndex]
        if scaling is None and kinds[max(code.builtinCode, code.deprecatedBuiltinCode)] not in _SCALING:
            scaling = place
        names.append(graph.tensors[operator.outputs[0]].name.decode())
    return names[:scaling], names[scaling:]
