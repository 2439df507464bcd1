"""The forms that a result can be written in; adding one is a function and an entry in `FORMATS`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from segmodels.errors import choose
from segmodels.prediction.export.annotations import write_coco, write_labelme
from segmodels.prediction.export.pictures import write_arrays, write_colours, write_mask, write_overlay
from segmodels.prediction.export.qupath import write_geojson
from segmodels.prediction.export.settings import Settings
from segmodels.prediction.export.table import write_table

if TYPE_CHECKING:
    from segmodels.prediction.result import Result

__all__ = ["FORMATS", "Format", "Settings", "write_forms"]


class Write(Protocol):
    """Writes a result whole to a path; `name` is the file name of the picture. Returns the files written."""

    def __call__(self, result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]: ...


@dataclass(frozen=True)
class Format:
    """A form: the ending of the file's name, its media type, what it is, how it is written, and whether of objects."""

    ending: str
    media_type: str
    description: str
    write: Write
    of_objects: bool = False


FORMATS: dict[str, Format] = {
    "png": Format("-mask.png", "image/png", "class numbers as a picture with a palette", write_mask),
    "colour": Format("-colour.png", "image/png", "the colours of the classes", write_colours),
    "overlay": Format("-overlay.png", "image/png", "the picture under the colours of the classes", write_overlay),
    "npz": Format(".npz", "application/octet-stream", "probabilities and mask as NumPy arrays", write_arrays),
    "geojson": Format(
        ".geojson", "application/geo+json", "polygons with classes and measurements for QuPath", write_geojson, True
    ),
    "coco": Format("-coco.json", "application/json", "objects as run lengths, as COCO has them", write_coco, True),
    "labelme": Format(
        ".json", "application/json", "polygons for LabelMe, and the picture beside them", write_labelme, True
    ),
    "csv": Format(".csv", "text/csv", "a table of the objects and their measurements", write_table, True),
}


def write_forms(
    result: Result, folder: Path, stem: str, forms: Iterable[str], *, name: str, settings: Settings | None = None
) -> list[Path]:
    """Write a result in some forms into a folder, which is made; each file appears whole.

    Args:
        stem: what the names of the files begin with.
        forms: names of `FORMATS`.
        name: what the picture is called; its last part is the file name that COCO's file gives it.

    Returns:
        the files, in the order of the forms.

    Raises:
        UserError: an unknown form; objects cannot be found by the method; no space, or no such place; or, of
            "labelme", another picture lies where its picture belongs.
    """
    settings = settings or Settings()
    chosen = [FORMATS[choose("format", form, list(FORMATS))] for form in dict.fromkeys(forms)]
    if settings.instances is None and any(form.of_objects for form in chosen):
        settings = replace(settings, instances=result.instances(settings.method))
    written = []
    for form in chosen:
        written += form.write(result, folder / f"{stem}{form.ending}", name=name, settings=settings)
    return written
