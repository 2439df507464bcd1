"""Pictures and masks in Parquet files, as the Hub keeps them: a column for each, of `{bytes, path}` or of bytes.

Read with pyarrow, row by row, so that the memory taken is a few pictures' whatever the size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from segmodels.data.datasets.imported import MAX_ENCODED
from segmodels.errors import UserError

#: What the columns are called, the likeliest first; upper and lower case are the same.
PICTURES = ("image", "img", "pixel_values", "picture", "images")
MASKS = ("mask", "segmentation_mask", "label", "labels", "annotation", "annotations", "segmentation", "masks")
NAMES = ("file_name", "filename", "image_name", "image_id", "name", "id")

#: Rows read at once: few, because each may refer to the same long value and get its own copy.
BATCH = 4

#: More rows than this are no set of pictures.
MAX_ROWS = 2_000_000


class Row(NamedTuple):
    """A picture and its mask as they are encoded, None where there is none, and what the picture is called."""

    name: str
    image: bytes | None
    mask: bytes | None


class ParquetPairs:
    """An opened file of pictures and masks."""

    def __init__(self, path: Path) -> None:
        """Open it and find its columns by their names and types.

        Raises:
            UserError: no pyarrow, no Parquet file, too many rows, or no such columns.
        """
        self.path = path
        try:
            # Through a buffer instead of a column of a row group at once, which may be gigabytes.
            self.file = _pyarrow(path).ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
            schema, self.rows = self.file.schema_arrow, int(self.file.metadata.num_rows)
        except UserError:
            raise
        except Exception as error:  # pyarrow raises its own, OSError, ValueError and more over a damaged file
            raise UserError(f"{path.name}: not a whole Parquet file ({_one_line(error)})") from None
        if self.rows > MAX_ROWS:
            raise UserError(f"{path.name}: {self.rows:,} rows are more than the {MAX_ROWS:,} allowed")
        pictures = {field.name.lower(): field.name for field in schema if _holds_pictures(field.type)}
        image = next((pictures[name] for name in PICTURES if name in pictures), None)
        mask = next((pictures[name] for name in MASKS if name in pictures), None)
        if image is None or mask is None:
            missing = "pictures" if image is None else "masks"
            columns = ", ".join(f"{field.name} ({_type_name(field.type)})" for field in schema)[:300]
            raise UserError(f"{path.name}: no column of {missing} among its columns {columns}")
        self.image, self.mask = image, mask
        plain = {field.name.lower(): field.name for field in schema if _type_name(field.type) == "text"}
        self.name = next((plain[name] for name in NAMES if name in plain), None)

    def __iter__(self) -> Iterator[Row]:
        """Every row. Raises `UserError` where the file is damaged."""
        columns = [self.image, self.mask, *([self.name] if self.name else [])]
        batches = self.file.iter_batches(batch_size=BATCH, columns=columns, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                too_long = batch is not None and batch.nbytes > 2 * BATCH * MAX_ENCODED
                rows = batch.to_pylist() if batch is not None and not too_long else []
            except Exception as error:
                raise UserError(f"{self.path.name}: the Parquet file is damaged ({_one_line(error)})") from None
            if too_long:
                raise UserError(f"{self.path.name}: rows of over {2 * MAX_ENCODED:,} bytes are no pictures")
            if batch is None:
                return
            for row in rows:
                (image, called), (mask, _) = _encoded(row[self.image]), _encoded(row[self.mask])
                yield Row((row[self.name] if self.name else None) or called, image, mask)

    def close(self) -> None:
        self.file.close()


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path.name}: Parquet files are read with pyarrow: pip install pyarrow") from None
    return pyarrow.parquet


def _holds_pictures(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_pictures(kind.field(place).type)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _type_name(kind: Any) -> str:
    import pyarrow.types as types

    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return "pictures" if _holds_pictures(kind) else str(kind)[:60]


def _encoded(value: Any) -> tuple[bytes | None, str]:
    """The bytes of a cell and the file name that stands with them, or ""."""
    if not isinstance(value, dict):
        return value, ""
    called = value.get("path")
    return value["bytes"], called if isinstance(called, str) else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
