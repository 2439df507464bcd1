"""Oxford-IIIT Pet in small, for the tests of what is done with whole data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_small_pets(root: Path) -> Path:
    """Three pictures to test on, seven others, and one in no list, of two breeds; a quarter of each is pet."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number in range(11):
        name = f"{'Abc' if number % 2 else 'Xyz'}_{number}"
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((40, 30), Image.Resampling.BICUBIC).save(root / "images" / f"{name}.jpg", quality=95)
        trimap = np.tile(np.array([1, 2, 2, 3], np.uint8), (30, 10))
        Image.fromarray(trimap).save(root / "annotations" / "trimaps" / f"{name}.png")
        if number < 10:
            lists["test" if number < 3 else "trainval"].append(f"{name} 1 1 1")
    for name, lines in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines))
    return root
