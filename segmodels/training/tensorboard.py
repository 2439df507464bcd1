"""The figures of a run as an event file, which TensorBoard reads. Needs neither TensorFlow nor TensorBoard.

The file is a row of records, each an `Event` of tensorflow/core/util/event.proto as protobuf writes it, framed by its
length and checksums. That is little enough to write here: the packages that do it bring protobuf along.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from segmodels.errors import UserError
from segmodels.files import replacing
from segmodels.report.text import clean, count, number
from segmodels.training.rows import read_rows
from segmodels.training.run_files import file_of, status_of
from segmodels.training.runs import Run

#: No training has more epochs, or steps in one: such a row is damaged.
_MOST = 10**9
#: Columns that say where a row stands, not how good it is.
_PLACE = ("epoch", "step")
#: Columns of an epoch that are neither of the training pictures nor of the validation.
_OF_THE_RUN = ("learning_rate", "images_per_second", "seconds")


def write_events(run: Run, folder: Path) -> Path:
    """Write `metrics.csv` (an event an epoch, at its last step) and `steps.csv` (one a step) of a run.

    Tags are `epoch/train/loss`, `epoch/validation/mean_iou`, `epoch/validation/iou/CLASS`, `epoch/learning_rate`,
    `step/loss` and so on; steps count through all epochs. TensorBoard names a run by its folder. A file that was
    written before of the same run is replaced.

    Args:
        run: any, also one that goes on or is damaged.
        folder: where the file is put, made where it is missing.

    Returns:
        the file.

    Raises:
        UserError: the run has no figures yet, or the file cannot be written.
    """
    status = status_of(run)
    epochs, steps = _rows(run, "metrics.csv", "epoch"), _rows(run, "steps.csv", "epoch", "step")
    if not epochs and not steps:
        raise UserError(f"run {run.id} has no figures yet: its metrics.csv and steps.csv are empty or missing")
    known = status.get("steps_per_epoch")
    per_epoch = int(known or 1) if _is_number(known) else max((row["step"] for row in steps), default=1)
    created = number(status.get("created")) or 0.0
    # A name that stays, so that a second export takes the place of the first; ten digits of time are the custom.
    path = Path(folder) / f"events.out.tfevents.{int(min(max(created, 0), 9_999_999_999)):010d}.segmodels"
    with replacing(path) as part, part.open("wb") as file:
        _write_record(file, _double(1, created) + _bytes(3, b"brain.Event:2"))
        for event in sorted(_events(epochs, steps, per_epoch, _start(status, epochs)), key=lambda event: event[:2]):
            _write_record(file, _event(*event))
    return path


def _rows(run: Run, name: str, *place: str) -> list[dict[str, Any]]:
    """The rows of a table whose place in the training is known."""
    path = file_of(run, name)
    return [row for row in read_rows(path) if all(_is_number(row.get(key)) for key in place)] if path else []


def _is_number(value: Any) -> bool:
    return 1 <= (count(value) or 0) <= _MOST


def _seconds(row: dict[str, Any]) -> float:
    return max(0.0, number(row.get("seconds")) or 0.0)


def _start(status: dict[str, Any], epochs: list[dict[str, Any]]) -> float:
    """When the run began. One that was resumed has `started` anew, and its rows must not lie after its end."""
    started = number(status.get("started")) or 0.0
    ended = number(status.get("ended")) or number(status.get("heartbeat"))
    return started if ended is None else min(started, ended - sum(map(_seconds, epochs)))


def _events(
    epochs: list[dict[str, Any]], steps: list[dict[str, Any]], per_epoch: int, start: float
) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Global step, wall time and figures by tag of each row."""
    ends = {row["epoch"]: passed for row, passed in zip(epochs, accumulate(map(_seconds, epochs)), strict=True)}
    for row in epochs:
        figures = {_tag(name): value for name, value in row.items() if name not in _PLACE}
        yield row["epoch"] * per_epoch, start + ends[row["epoch"]], figures
    epoch, passed = 0, 0.0
    for row in steps:
        if row["epoch"] != epoch:
            epoch = row["epoch"]
            passed = ends.get(epoch - 1, passed)
        passed += _seconds(row)
        figures = {f"step/{name}": value for name, value in row.items() if name not in _PLACE}
        yield (epoch - 1) * per_epoch + row["step"], start + passed, figures


def _tag(column: str) -> str:
    """The tag of a column of `metrics.csv`."""
    if column.startswith("val_iou_"):
        return f"epoch/validation/iou/{column.removeprefix('val_iou_')}"
    if column.startswith("val_"):
        return f"epoch/validation/{column.removeprefix('val_')}"
    return f"epoch/{column}" if column in _OF_THE_RUN else f"epoch/train/{column}"


def _event(step: int, wall_time: float, figures: dict[str, Any]) -> bytes:
    """An `Event` with a `Summary` of plain values; what a damaged row does not have is left out."""
    values = [
        _bytes(1, _bytes(1, clean(tag, 300).encode()) + _tagged(2, 5) + _single(value))
        for tag, value in figures.items()
        if isinstance(value, (int, float))
    ]
    return _double(1, wall_time) + _tagged(2, 0) + _varint(step) + _bytes(5, b"".join(values))


def _single(value: float) -> bytes:
    """A number with single precision; one that is beyond it is infinite."""
    try:
        return struct.pack("<f", float(value))
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def _tagged(field: int, kind: int) -> bytes:
    """What stands before a protobuf field: its number and how it is written (0 varint, 1 double, 2 bytes, 5 float)."""
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _double(field: int, value: float) -> bytes:
    return _tagged(field, 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _tagged(field, 2) + _varint(len(value)) + value


def _write_record(file: BinaryIO, data: bytes) -> None:
    """Length, its checksum, the data, its checksum: the framing of TFRecord files."""
    length = struct.pack("<Q", len(data))
    file.write(length + _checksum(length) + data + _checksum(data))


def _table() -> list[int]:
    """CRC-32C of each byte (Castagnoli's polynomial, reflected)."""
    crcs = list(range(256))
    for _ in range(8):
        crcs = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in crcs]
    return crcs


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    """The CRC-32C, masked so that a checksum of checksums does not go wrong: turned by 15 bits, a constant added."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
