"""Training and evaluation as seen in a terminal: bars where someone watches, lines in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from segmodels.training.notes import plain
from segmodels.training.reporter import Reporter, epoch_line

#: Seconds between two lines on one piece of work where no bar is shown.
QUIET = 5.0


class Terminal(Reporter):
    """Writes to standard error: a moving bar in a terminal; elsewhere a line an epoch, or one every few seconds."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self.what = ""
        self.shows_bars = sys.stderr.isatty()
        self.said = time.monotonic()

    def note(self, text: str) -> None:
        tqdm.write(plain(text), file=sys.stderr)

    def progress(self, done: int, total: int, what: str) -> None:
        if what != self.what or self.bar is None:
            self.close()
            self.what = what
            big = total > 1_000_000  # bytes, not pictures
            self.bar = tqdm(
                total=total, desc=what, unit="B" if big else "", unit_scale=big, file=sys.stderr,
                disable=not self.shows_bars, leave=False,
            )  # fmt: skip
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.close()
            if not self.shows_bars:
                self.note(f"{what}: done")
        elif not self.shows_bars and time.monotonic() - self.said > QUIET:
            self.said = time.monotonic()
            amount = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total > 1_000_000 else f"{done} of {total}"
            self.note(f"{what}: {amount}")

    def step(self, row: dict[str, Any], steps: int) -> None:
        what = f"epoch {row['epoch']}"
        if what != self.what or self.bar is None:
            self.close()
            self.what = what
            self.bar = tqdm(
                total=steps, desc=what, unit=" steps", file=sys.stderr, disable=not self.shows_bars, leave=False
            )
        self.bar.update(row["step"] - self.bar.n)
        self.bar.set_postfix_str(
            f"loss {row['running_loss']:.3f}, mean IoU {row['running_mean_iou']:.3f}", refresh=False
        )

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        self.close()
        self.note(epoch_line(row, epochs))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.what = None, ""


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as aligned text, numbers to the right."""
    cells = [columns, *[[_cell(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [bool(rows) and all(isinstance(row.get(c), (int, float, type(None))) for row in rows) for c in columns]
    lines = [
        "  ".join(
            cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(line, widths, numeric, strict=True)
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
