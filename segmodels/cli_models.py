"""The verbs of trained models: `speed`, `export`, `release`, `average`, `ensemble` and `import`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segmodels.cli_predict import add_tta
from segmodels.data.disk import megabytes
from segmodels.errors import UserError, choose
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add these verbs; `add(group, name, verb, text)` makes one."""
    speed = add(verbs, "speed", _speed, "what a model costs to use here: time a picture, memory and disk")
    speed.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")

    export = add(verbs, "export", _export, "a model for another runtime, with a program that uses it")
    export.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    export.add_argument("--format", required=True, metavar="FORMAT", help="onnx, saved_model (a folder) or litert")
    export.add_argument("--out", required=True, metavar="PATH", help="what is written, such as model.onnx")
    export.add_argument("--size", metavar="S", help="side of the pictures it takes, or any (default: the model's own)")
    export.add_argument("--int8", action="store_true", help="of litert: compute in whole numbers of eight bits")
    export.add_argument("--data", metavar="DATA", help="what int8 is measured on (default: what it was trained on)")
    export.add_argument("--root", metavar="DIR", help="the folder of that data set")

    released = add(verbs, "release", _release, "a model to give away: small, measured on the test split, with its card")
    released.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    released.add_argument("--out", required=True, metavar="DIR", help="the folder that is written")
    released.add_argument(
        "--bits", type=int, choices=(8, 16, 32), default=16, help="of the weights' numbers: a quarter, half or all of "
        "the bytes (default: 16)",
    )  # fmt: skip
    released.add_argument(
        "--size", type=int, metavar="S", help="side at which it is to see pictures (default: its own)"
    )
    add_tta(released)
    released.add_argument("--split", default="test", help="what the figures are of (default: test)")
    released.add_argument("--root", metavar="DIR", help="the folder of the data set")

    mean = add(verbs, "average", _average, "the mean of the weights of several checkpoints of one network")
    mean.add_argument("models", metavar="MODEL", nargs="+", help="a run, RUN@EPOCH, a checkpoint directory, or hf://…")
    mean.add_argument("--out", required=True, metavar="DIR", help="the folder that is written")

    joined = add(verbs, "ensemble", _ensemble, "several models as one, whose answer is the mean of theirs")
    joined.add_argument(
        "models", metavar="MODEL", nargs="+", help="a run, RUN@EPOCH, a checkpoint directory, or hf://…"
    )
    joined.add_argument("--out", required=True, metavar="DIR", help="the folder that is written")

    imported = add(verbs, "import", _import, "a model that Keras 3 saved, without running anything that is in it")
    imported.add_argument("source", metavar="SOURCE", help="a .keras file, a folder with its parts, or hf://owner/name")
    imported.add_argument("--out", metavar="DIR", help="a new folder (default: one in the home, by the model's name)")
    imported.add_argument(
        "--classes", metavar="NAMES", help="names with commas between, in the order of its channels, or a label file"
    )
    imported.add_argument("--scale", metavar="SCALE", help="pixels it was trained on: 0..255, 0..1, -1..1 or imagenet")
    imported.add_argument("--size", type=int, metavar="S", help="side at which one of any size is to see pictures")


def _speed(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.prediction.speed import measure_speed

    terminal = Terminal()
    try:
        document = measure_speed(parsed.model, reporter=terminal)
    finally:
        terminal.close()
    return document, speed_text(document)


def _export(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.export import ANY, FORMATS, export

    choose("format", parsed.format, list(FORMATS))  # a mistake is said before anything is looked for
    size = parsed.size
    if size not in (None, ANY):
        if not size.isascii() or not size.isdigit() or len(size) > 6:
            raise UserError(f"--size {size!r}: give a number of pixels, such as 256, or {ANY}")
        size = int(size)
    terminal = Terminal()
    try:
        done = export(
            parsed.model, parsed.format, parsed.out, size=size, int8=parsed.int8, data=parsed.data, root=parsed.root,
            reporter=terminal,
        )  # fmt: skip
    finally:
        terminal.close()
    sides = "any size" if done.size is None else f"{done.size} x {done.size} pixels"
    how = "" if not done.int8 else f", in int8, measured on {done.calibrated_on}"
    if done.float_operators:
        how += f" (the first {done.float_operators} operators in float)"
    return done.document(), (
        f"{done.path}: {megabytes(done.bytes)}, takes {sides}{how}\n"
        f"the same class as Keras on {done.same_pixels:.2%} of the pixels of {done.pictures} pictures "
        f"({done.compared_on}), logits at most {done.difference:.1g} of their range away\n"
        f"a program that uses it: {done.sample}"
    )


def _release(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.files import read_json
    from segmodels.hub.release import release

    terminal = Terminal()
    try:
        path = release(
            parsed.model,
            parsed.out,
            bits=parsed.bits,
            size=parsed.size,
            tta=parsed.tta,
            split=parsed.split,
            root=parsed.root,
            reporter=terminal,
        )
    finally:
        terminal.close()
    figures = read_json(path / "metrics.json")[parsed.split]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    found = f"pixel accuracy {figures['pixel_accuracy']:.4f}, mean IoU {figures['mean_iou']:.4f}"
    text = f"{path}: {megabytes(size)}\n{found} on {figures['images']} pictures of the {parsed.split} split"
    return {"path": str(path), "bytes": size, "figures": figures}, text


def _average(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.average import average

    return _of_several(parsed, average, "the mean of {} checkpoints")


def _ensemble(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.ensemble import ensemble

    return _of_several(parsed, ensemble, "{} models together")


def _of_several(parsed: argparse.Namespace, make: Callable[..., Path], what: str) -> tuple[Any, str]:
    terminal = Terminal()
    try:
        path = make(parsed.models, parsed.out, reporter=terminal)
    finally:
        terminal.close()
    following = f"python -m segmodels evaluate {path} --split validation"
    text = f"{path}: {what.format(len(parsed.models))}\nnext: {following}"
    return {"path": str(path), "models": parsed.models}, text


def _import(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.checkpoint import read_spec
    from segmodels.hub.keras_file import default_folder, import_keras, named_classes

    terminal = Terminal()
    try:
        out = import_keras(
            parsed.source,
            parsed.out or default_folder(parsed.source),
            classes=named_classes(parsed.classes),
            scale=parsed.scale,
            size=parsed.size,
            progress=terminal.progress,
            note=terminal.note,
        )
    finally:
        terminal.close()
    spec = read_spec(out)
    names = [label.name for label in spec.labels]
    document = {
        "model": str(out),
        "source": parsed.source,
        "classes": names,
        "scale": spec.architecture.options["scale"],
        "size": spec.input.size,
    }
    seen = f"it sees pictures at {spec.input.size} x {spec.input.size} pixels of {document['scale']}"
    return document, f"{parsed.source} is now {out}: {len(names)} classes ({', '.join(names)}); {seen}"


def speed_text(document: dict[str, Any]) -> str:
    """The document of `measure_speed` as a table."""
    on = "" if document["backbone"] == "none" else f" on {document['backbone']}"
    size, peak = document["image_size"], document["peak_bytes"]
    figures = {
        "views": f"{document['views']}, each as long as is said here" if document["views"] > 1 else "1",
        "parameters": f"{document['parameters']:,}",
        "operations": f"{document['gflops']:.3g} GFLOPs",
        "Keras": _time(document["keras_milliseconds"]),
        "ONNX Runtime": _onnx(document),
        "most memory": "not known" if peak is None else f"{megabytes(peak)} in use while Keras predicts",
        "weights": megabytes(document["checkpoint_bytes"]),
        "ONNX file": "-" if document["onnx_bytes"] is None else megabytes(document["onnx_bytes"]),
        "measured on": f"{document['device']}; {document['engine']}, {document['threads']} threads",
    }
    rows = [{"one picture": name, "takes": value} for name, value in figures.items()]
    return f"{document['model']}: {document['architecture']}{on}, {size} x {size} pixels\n\n" + table(
        rows, ["one picture", "takes"]
    )


def _onnx(document: dict[str, Any]) -> str:
    if document["onnx_error"]:
        return f"not measured: {document['onnx_error']}"
    times = document["keras_milliseconds"] / document["onnx_milliseconds"]
    return f"{_time(document['onnx_milliseconds'])} on the CPU, {times:.2g} times as fast"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"
