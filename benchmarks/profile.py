"""Where a training step of U-Net on MobileNetV2 spends its time, by kind of operation, in TensorFlow's profiler.

Batches of 8 at 128 and 256 px, float32, the step that `benchmarks.training` times. Operations that run at the same time
share it by how long each takes; what is left is time in which none is at work: dispatch.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import STEPS, WARM_UP, run_json, training_step

#: The kind of an operation by how its name begins; the first that fits.
KINDS = {
    "depthwise convolutions, gradients": ("DepthwiseConv2dNativeBackprop",),
    "depthwise convolutions": ("DepthwiseConv2dNative", "_FusedDepthwise"),
    "convolutions, gradients": ("Conv2DBackprop",),
    "convolutions": ("Conv2D", "FusedConv2D", "_FusedConv2D"),
    "batch normalisation, gradients": ("FusedBatchNormGrad",),
    "batch normalisation": ("FusedBatchNorm",),
    "activations": ("Relu",),
    "up-sampling": ("Resize",),
    "padding, joining, cutting": ("Pad", "MirrorPad", "Slice", "StridedSlice", "Concat", "Tile", "Transpose", "Pack"),
    "updates of the weights": ("ResourceApply", "Assign", "ReadVariable"),
    "sums and products": ("Add", "Mul", "Sum", "Mean", "Sub", "Square", "RealDiv", "Exp", "Log", "Einsum", "Batch"),
}  # fmt: skip
SIZES = (128, 256)


def main() -> None:
    found = {size: run_json([sys.executable, __file__, size]) for size in SIZES}
    print(f"| kind of operation | {' | '.join(f'{size} px' for size in SIZES)} |")
    print(f"|---|{'---|' * len(SIZES)}")
    for kind in [*KINDS, "others", "dispatch"]:
        print(f"| {kind} | {' | '.join(f'{found[size][kind]:.1%}' for size in SIZES)} |")


def shares(size: int) -> dict[str, float]:
    """In this process: the share of each kind, and of the rest."""
    import tensorflow as tf

    once = training_step(size)
    for _ in range(WARM_UP):
        once()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        began = time.perf_counter()
        for _ in range(2 * STEPS):
            once()
        whole = time.perf_counter() - began
        tf.profiler.experimental.stop()
        operations = _operations(next(Path(folder).rglob("*.xplane.pb")))
    kinds: dict[str, float] = dict.fromkeys([*KINDS, "others"], 0.0)
    busy, until = 0.0, 0.0
    for begin, end, operation in sorted(operations):
        kinds[next((kind for kind, starts in KINDS.items() if operation.startswith(starts)), "others")] += end - begin
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    every = sum(kinds.values())
    found = {kind: seconds / every * busy / whole for kind, seconds in kinds.items()}
    return {**found, "dispatch": 1 - busy / whole}


def _operations(path: Path) -> list[tuple[float, float, str]]:
    """Begin and end in seconds, and the type, of each operation that ran."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    found = []
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # "the/name/in/the/graph:_MklNativeConv2D"
                named = re.search(r"[^:]:(?:_MklNative|_Mkl)?(\w+)$", plane.event_metadata[event.metadata_id].name)
                if named:
                    begin = line.timestamp_ns / 1e9 + event.offset_ps / 1e12
                    found.append((begin, begin + event.duration_ps / 1e12, named.group(1)))
    return found


if __name__ == "__main__":
    print(json.dumps(shares(int(sys.argv[1]))))
