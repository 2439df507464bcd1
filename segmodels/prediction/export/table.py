"""A result as a table of its objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.prediction.export.settings import Settings, objects
from segmodels.prediction.measure import measurements, write_csv

if TYPE_CHECKING:
    from segmodels.prediction.result import Result


def write_table(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    sizes = () if settings.micrometres is None else ("area_um2", "perimeter_um")
    write_csv(path, table(result, settings), ("confidence", *sizes))
    return [path]


def table(result: Result, settings: Settings) -> list[dict[str, Any]]:
    """The objects of a result as `measurements` has them."""
    return measurements(
        objects(result, settings),
        result.mask,
        result.image,
        result.labels,
        confidence=result.confidence,
        micrometres=settings.micrometres,
    )
