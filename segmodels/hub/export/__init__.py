"""`export`: a trained model as a file for another runtime, with the preprocessing inside and the classes in its
metadata.

`FORMATS` is the table of them. Each file takes uint8 RGB `(batch, height, width, 3)` and answers float32 logits
`(batch, height, width, classes)`; it is compared with Keras on real pictures before it is kept, and a short program
that uses it lies beside it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from segmodels.engines import chosen_engine
from segmodels.errors import UserError, choose
from segmodels.files import replacing, user_path, whole
from segmodels.hub.checkpoint import LARGEST, SMALLEST, Spec, read_spec
from segmodels.hub.export.about import about, contract_at
from segmodels.hub.export.agreement import check, compare
from segmodels.hub.export.format import Exported, Format, Network
from segmodels.hub.export.litert import described_litert, open_litert, write_litert
from segmodels.hub.export.onnx import described_onnx, open_onnx, write_onnx_export
from segmodels.hub.export.pictures import calibration_pictures, check_pictures
from segmodels.hub.export.sample import LITERT, ONNX, SAVED_MODEL, is_sample, sample
from segmodels.hub.export.saved_model import described_saved_model, open_saved_model, write_saved_model
from segmodels.hub.onnx_model import PACKAGES
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint

__all__ = ["ANY", "FORMATS", "Exported", "Format", "export"]

#: By the name that the command line uses. Adding a format is one file and an entry here.
FORMATS: dict[str, Format] = {
    "onnx": Format(
        "ONNX, for ONNX Runtime, OpenVINO, TensorRT and browsers", ".onnx",
        write_onnx_export, open_onnx, described_onnx, ONNX, packages=PACKAGES,
    ),
    "saved_model": Format(
        "TensorFlow's SavedModel, a folder, for TensorFlow Serving and TensorFlow itself", "",
        write_saved_model, open_saved_model, described_saved_model, SAVED_MODEL,
    ),
    "litert": Format(
        "LiteRT (TensorFlow Lite), for telephones and small devices, in float or int8", ".tflite",
        write_litert, open_litert, described_litert, LITERT, fixed=True, int8=True, packages=("ai_edge_litert",),
    ),
}  # fmt: skip

#: What `size` may be for a file whose height and width are free.
ANY: Literal["any"] = "any"


def export(
    model: str | Path,
    format: str,
    out: str | Path,
    *,
    size: int | Literal["any"] | None = None,
    int8: bool = False,
    data: str | None = None,
    root: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Exported:
    """Write a model for another runtime, compare it with Keras on real pictures, and put a program that uses it beside.

    What was exported to the same place before is replaced; anything else there is left alone. Where something goes
    wrong, or what was written answers otherwise than Keras, nothing is left.

    Args:
        model: a checkpoint directory, a run or its id, or `hf://owner/name@revision`.
        format: a name of `FORMATS`.
        out: the file, or of a SavedModel the folder.
        size: the side in pixels of what the file takes, in place of the input contract's: a model of whole pictures
            then sees them at that size, one of tiles in such tiles. "any" leaves height and width free. Where None a
            file for a model of whole pictures takes its own size, and one for a model of tiles any, where the format
            can.
        int8: compute in whole numbers of eight bits: a quarter of the size, and faster on small devices. The ranges of
            its features are measured on some hundred pictures, and it must agree with Keras on 98 % of the pixels of
            others.
        data: the data set that it is measured on and compared on, by its training and its validation split; that of the
            recipe where None.
        root: its folder, where it has files.
        reporter: told how it goes; by default nobody.

    Raises:
        UserError: an unknown format, a size that the format or the network cannot take, a missing package, no pictures
            to measure int8 on, a place that is taken, a network that has no form in the format, or a file that answers
            otherwise than Keras.
    """
    began = time.perf_counter()
    row = FORMATS[choose("format", format, list(FORMATS))]
    reporter = reporter or Reporter()
    if int8 and not row.int8:
        formats = " or ".join(name for name, each in FORMATS.items() if each.int8)
        raise UserError(f"{format} is not written in int8: leave int8 out, or choose the format {formats}")
    out = user_path(out)
    _check_place(row, format, out)
    _check_packages(row, format)
    folder = whole(find_checkpoint(model, reporter))
    spec = read_spec(folder)
    side = _side(row, format, spec, size)
    contract = contract_at(spec.input, side)
    network = Network(folder, spec, side, contract, about(spec, contract, side, int8))
    calibrated = calibration_pictures(network, data, root) if int8 else None
    compared = check_pictures(network, data, root)
    with ExitStack() as stack:  # what is written last is renamed first
        program = None if row.is_folder else stack.enter_context(replacing(row.sample_place(out)))
        path = stack.enter_context(replacing(out))
        reporter.note(f"writing {folder} for {format}" + (" in int8" if int8 else ""))
        in_float = row.write(network, path, compared, calibrated, reporter)
        found = compare(row.open(path), network, compared, reporter)
        check(found, network, format, int8)
        written = _bytes(path)
        program = program or row.sample_place(path)
        text = sample(row.sample, contract, side, out.name, spec.architecture.multiple)
        program.write_text(text, encoding="utf-8")
    return Exported(
        model=str(folder),
        format=format,
        path=out,
        sample=row.sample_place(out),
        bytes=written,
        size=side,
        int8=int8,
        float_operators=in_float,
        difference=found.difference,
        same_pixels=found.same_pixels,
        pictures=found.pictures,
        compared_on=compared.source,
        calibrated_on=None if calibrated is None else calibrated.source,
        seconds=time.perf_counter() - began,
    )


def _side(row: Format, format: str, spec: Spec, size: int | str | None) -> int | None:
    """The side of what the file takes, None where it is free; `UserError` where the format or the network cannot."""
    own = spec.input.size
    if size is None:
        return own if row.fixed or spec.input.mode == "resize" else None
    if size == ANY:
        if row.fixed:
            raise UserError(f"{format} files are of a fixed size: give it in pixels, such as {own}, or leave it out")
        return None
    if isinstance(size, str) or not SMALLEST <= size <= LARGEST:
        raise UserError(f"size {size}: give {SMALLEST} to {LARGEST} pixels" + ("" if row.fixed else f", or {ANY}"))
    multiple = spec.architecture.multiple
    if size % multiple and size != own:
        near = max(multiple, size // multiple * multiple)
        raise UserError(
            f"size {size}: {spec.architecture.name} computes in multiples of {multiple} pixels: "
            f"give {near} or {near + multiple}"
        )
    return size


def _check_place(row: Format, format: str, out: Path) -> None:
    """`UserError` where the export would replace what is none, or does not end as such files do."""
    if row.ending and out.suffix.lower() != row.ending:
        raise UserError(f"{out}: a file for {format} ends in {row.ending}: name it {out.stem or 'model'}{row.ending}")
    other = f"{out} is there already and is no {format} export: name another place, or remove it"
    if out.exists():
        if out.is_dir() != row.is_folder:
            raise UserError(other)
        empty = row.is_folder and not any(out.iterdir())
        if not empty and row.described(out) is None:
            raise UserError(other)
    beside = row.sample_place(out)
    if beside.exists() and not is_sample(beside):
        raise UserError(f"{beside} is there already and is no program of an export: name another place, or remove it")


def _check_packages(row: Format, format: str) -> None:
    """`UserError` where something that the format is made or checked with is missing."""
    names = " ".join(("tensorflow", *(name.replace("_", "-") for name in row.packages)))
    if (engine := chosen_engine()) != "tensorflow":
        raise UserError(
            f"exports are made with TensorFlow, not with {engine}: pip install {names}, and unset KERAS_BACKEND"
        )
    if missing := [name for name in row.packages if find_spec(name) is None]:
        raise UserError(f"an export for {format} needs {missing[0].replace('_', '-')}: pip install {names}")


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
