"""How well predicted outlines are the true ones: Boundary IoU and boundary F1 of each class, from counts of pixels.

Boundary IoU (Cheng et al. 2021, arXiv:2103.16562) is the IoU of the bands along the outlines; boundary F1 (Csurka et
al. 2013, "What is a good evaluation measure for semantic segmentation?", BMVC) asks of each pixel of an outline whether
the other map has one near by. Both depend on what is near: `width` pixels, between pixel centres.

The counts of pictures add up, so that nothing of a picture is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from segmodels.data.dataset import IGNORE

#: The columns of the counts of `boundary_counts`.
COUNTS = (
    "band_shared",
    "band_true",
    "band_predicted",
    "contour_true",
    "contour_true_found",
    "contour_predicted",
    "contour_predicted_right",
)

#: Of no class, in a padded map: ignored, or outside of the picture.
_NONE = 255

#: Pixels that are looked at together: so many stay in a core's cache.
_BLOCK = 200_000


def default_width(height: int, width: int) -> int:
    """What is near in a picture of this size, in pixels: 0.75 % of its diagonal (Csurka et al.), at least 1."""
    return max(1, round(0.0075 * math.hypot(height, width)))


def boundary_counts(
    truth: np.ndarray, prediction: np.ndarray, classes: int, width: int, *, ignore: int = IGNORE
) -> np.ndarray:
    """Count the pixels along the outlines of a picture, by class.

    The band of a class is its pixels that are at most `width` from a pixel of another class; its contour is its pixels
    that have one among their 4 neighbours. What is ignored in the truth is of no class in both maps, and neither is
    what lies outside of the picture: a pixel is on no outline because of them.

    Args:
        truth, prediction: class ids of one shape `(height, width)`, 0 to `classes` - 1.
        classes: 1 to 255.
        width: the distance that is near, Euclidean between pixel centres; 1 or more. Beyond the picture's diagonal it
            is as the diagonal.
        ignore: the value of `truth` whose pixels are cut out of both maps.

    Returns:
        int64 `(classes, 7)`, a column each of `COUNTS`: the pixels of the bands that both maps give to the class, those
        of the band in the truth and in the prediction; the pixels of the true contour, and those of them that have the
        predicted contour of the class near; the pixels of the predicted contour, and those with the true one near.

    Raises:
        ValueError: maps that differ in shape, or a number of classes or a width out of range.
    """
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise ValueError(f"the truth is {truth.shape} and the prediction {prediction.shape}: they must be of one shape")
    if not 1 <= classes <= _NONE or width < 1:
        raise ValueError(f"{classes} classes and a width of {width}: they must be 1 to {_NONE}, and 1 or more")
    counts = np.zeros((classes, len(COUNTS)), np.int64)
    width = min(width, math.ceil(math.hypot(*truth.shape)))  # no two pixels are further apart
    height = len(truth)
    blocks = max(1, min(truth.size // _BLOCK, height // (4 * width)))
    for block in range(blocks if truth.size else 0):
        first, last = height * block // blocks, height * (block + 1) // blocks
        above = max(first - width - 1, 0)  # the contours that are near, and what makes them contours
        seen = slice(above, last + width + 1)
        counts += _counted(truth[seen], prediction[seen], classes, width, ignore, slice(first - above, last - above))
    return counts


def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """Boundary IoU of each class, float64 `(classes,)`, 0 to 1; NaN where neither map has a band of the class."""
    shared, true, predicted = counts[:, :3].T
    return _ratio(shared, true + predicted - shared)


def boundary_f1(counts: np.ndarray) -> np.ndarray:
    """Boundary F1 of each class, float64 `(classes,)`, 0 to 1: of the precision and the recall of its contours.

    Where one map has a contour of the class and the other has none it is 0; where neither has one it is NaN.
    """
    true, found, predicted, right = counts[:, 3:].T.astype(np.float64)
    # 2 / (1 / precision + 1 / recall), without a division by what may be 0.
    return _ratio(2 * found * right, found * predicted + right * true, otherwise=true + predicted > 0)


def _counted(
    truth: np.ndarray, prediction: np.ndarray, classes: int, width: int, ignore: int, lines: slice
) -> np.ndarray:
    """The counts of some lines of a picture, from these and those around them."""
    maps, pitch, whole = _padded(truth, prediction, width, ignore)
    contour = _contours(maps, pitch)
    if whole and not contour.any():
        return np.zeros((classes, len(COUNTS)), np.int64)
    band, found = np.zeros_like(contour), np.zeros_like(contour)
    for own in _bits(maps, classes):
        contours = own * contour
        near_contour = _dilated(contours, width, pitch)
        # From the nearest pixel of another class, one step towards the pixel asked about leads to one of that one's
        # class, or there were a nearer one: so it is on a contour, and contours are enough. Only where pixels are cut
        # out may the step lead to none.
        near = near_contour if whole else _dilated(own, width, pitch)
        band |= near & ~own != 0
        found |= contours & near_contour[::-1] != 0
    # A pixel that is found is on a contour, and what is on a contour is in the band: the sum tells them apart.
    levels = band.view(np.uint8) + contour.view(np.uint8) + found.view(np.uint8)
    shared = band[0] & band[1] & (maps[0] == maps[1])
    levels[0] += 4 * shared.view(np.uint8)
    margin = pitch - truth.shape[1]
    counted = slice(margin + lines.start * pitch, margin + lines.stop * pitch)
    true, predicted = (_levels(maps[i, counted], levels[i, counted], band[i, counted], classes) for i in (0, 1))
    shared_pixels = true[:, 4:].sum(1)
    band_true, contour_true, found_true = _sums(true)
    band_predicted, contour_predicted, right = _sums(predicted)
    columns = (shared_pixels, band_true, band_predicted, contour_true, found_true, contour_predicted, right)
    return np.stack(columns, axis=1)


def _padded(truth: np.ndarray, prediction: np.ndarray, width: int, ignore: int) -> tuple[np.ndarray, int, bool]:
    """Both maps as rows of uint8 `(2, pixels)`, the length of a line in them, and whether nothing is ignored.

    A margin of no class stands before every line and after the last, as wide as a shift along the row may be: it is
    then one in the picture, and whole rows are what NumPy is fastest at.
    """
    height, length = truth.shape
    margin = min(width, length)
    pitch = length + margin
    maps = np.full((2, height * pitch + margin), _NONE, np.uint8)
    lines = maps[:, margin:].reshape(2, height, pitch)[:, :, :length]
    lines[0], lines[1] = truth, prediction
    ignored = truth == ignore
    if cut := bool(ignored.any()):
        np.copyto(lines, _NONE, where=ignored)
    return maps, pitch, not cut


def _contours(maps: np.ndarray, pitch: int) -> np.ndarray:
    """The pixels with one of 4 neighbours of another class: bool, as the maps."""
    known = maps[0] != _NONE
    contour = np.zeros(maps.shape, bool)
    for step in (1, pitch):
        differ = maps[:, :-step] != maps[:, step:]
        differ &= known[:-step] & known[step:]
        contour[:, :-step] |= differ
        contour[:, step:] |= differ
    return contour


def _bits(maps: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """The pixels' classes as bits, uint8 as the maps, eight classes at a time; 0 for pixels of none of the eight."""
    if classes > 8:
        row = maps.ravel()
        there = np.zeros(256, bool)
        there[row[1:][row[1:] != row[:-1]]] = True  # where a class begins: a row begins with none
        present = np.flatnonzero(there[:classes])
        if math.ceil(len(present) / 8) < math.ceil(classes / 8):
            ranks = np.full(256, _NONE, np.uint8)
            ranks[present] = np.arange(len(present))
            maps, classes = cv2.LUT(maps, ranks), len(present)
    for first in range(0, classes, 8):
        bits = np.left_shift(np.uint8(1), maps - np.uint8(first))  # 0 where moved by 8 or more
        if first + 8 > _NONE:
            bits[maps == _NONE] = 0
        yield bits


def _dilated(bits: np.ndarray, width: int, pitch: int) -> np.ndarray:
    """The bits of everything within `width` of each pixel, OR-ed: uint8, as the maps.

    A disc is a chord a line, the shortest on top: the lines are widened from one chord to the next. What of it would
    reach beyond the picture from any pixel is left out.
    """
    near = np.zeros_like(bits)
    lines, margin = divmod(bits.shape[1], pitch)
    half = 0
    for row in range(min(width, lines - 1), 0, -1):
        bits, half = _widened(bits, half, min(math.isqrt(width * width - row * row), margin))
        near[:, row * pitch :] |= bits[:, : -row * pitch]
        near[:, : -row * pitch] |= bits[:, row * pitch :]
    near |= _widened(bits, half, margin)[0]
    return near


def _widened(bits: np.ndarray, half: int, to: int) -> tuple[np.ndarray, int]:
    """Bits that are OR-ed over `half` pixels to the left and right, over `to` instead; and `to`.

    A window moved both ways by at most its half is one window, without a gap. The ends of the rows are left as they
    are: outside of the picture, and too far from it to be read again.
    """
    while half < to:
        step = min(max(half, 1), to - half)
        wider = np.empty_like(bits)
        np.bitwise_or(bits[:, 2 * step :], bits[:, : -2 * step], out=wider[:, step:-step])
        if not half:
            wider |= bits
        bits, half = wider, half + step
    return bits, half


def _levels(labels: np.ndarray, levels: np.ndarray, band: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of a band there are of each class and level 0 to 7: int64 `(classes, 8)`."""
    codes = labels.astype(np.min_scalar_type(8 * classes + 7))
    codes *= 8  # of no class: 2040, or 248 in uint8, which is beyond all classes either way
    codes += levels
    # Of the band alone, which is a small part: a histogram is slow where code after code is the same.
    return np.bincount(codes[band], minlength=8 * classes)[: 8 * classes].reshape(classes, 8)


def _sums(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of each class in the band, on the contour, and found."""
    levels = levels[:, :4] + levels[:, 4:]
    return levels[:, 1:].sum(1), levels[:, 2:].sum(1), levels[:, 3]


def _ratio(part: np.ndarray, whole: np.ndarray, otherwise: np.ndarray | bool = False) -> np.ndarray:
    return np.divide(part, whole, out=np.where(otherwise, 0.0, np.nan) + np.zeros(len(part)), where=whole > 0)
