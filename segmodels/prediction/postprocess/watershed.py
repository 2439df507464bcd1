"""Watershed: an object is what runs down from one peak of a surface, and peaks that hardly stand out are one.

Surfaces are whole numbers `(height, width)`, higher where a pixel is further inside an object. Pixels touch along their
edges: each has four neighbours.
"""

from __future__ import annotations

import heapq

import cv2
import numpy as np

from segmodels.data.regions import regions

#: Up, left, right and down as OpenCV's neighbourhood.
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def watershed(surface: np.ndarray, within: np.ndarray, *, depth: int) -> np.ndarray:
    """Divide a region into objects, one for each peak that stands out by `depth`.

    Every regional maximum is a seed that is flooded, then neighbours are joined over their highest saddles as long as
    the lower of their peaks is less than `depth` above it. These are the regions of a watershed whose seeds are the
    maxima of dynamics `depth` or more (Grimaud 1992; the h-maxima of Soille), without searching for those first.

    Args:
        surface: uint8 or uint16 `(height, width)`.
        within: bool `(height, width)`; what is outside belongs to no object.
        depth: levels of the surface; 0 or 1 keeps every regional maximum.

    Returns:
        int32 `(height, width)`, objects from 1 without gaps, 0 outside; every pixel within has one.
    """
    seeds = peaks(surface, within)
    basins = flood(surface, seeds, within)
    return joined(surface, basins, depth)[basins]


def peaks(surface: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Number the regional maxima: pieces of one level none of whose neighbours within is higher.

    Returns:
        int32 `(height, width)`, from 1 in the order in which they are read; 0 elsewhere.
    """
    inside = np.where(within, surface, 0)
    pieces, boxes = regions(np.where(within, surface.astype(np.int32), -1))
    highest = np.ones(len(boxes), bool)
    highest[pieces[~within | (cv2.dilate(inside, CROSS) > inside)]] = False
    return (np.cumsum(highest) * highest).astype(np.int32)[pieces]


def flood(surface: np.ndarray, seeds: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Give every pixel to the seed that reaches it by the path whose lowest place is highest.

    Where several do, to the one that is there first: seeds grow from the highest level to the lowest, all at once, a
    pixel a step. This is Meyer's hierarchical queue (1991) without lines between the regions, to the pixel as if one
    pixel were taken after the other; but all that a step reaches is taken at once in NumPy.

    Args:
        surface: whole numbers `(height, width)`.
        seeds: int32 `(height, width)`, 0 where there is none; the pixels of one number belong together.
        within: bool `(height, width)`; nothing grows outside, and seeds there do not count.

    Returns:
        the seed of every pixel: int32 `(height, width)`, 0 outside and where no seed can reach.
    """
    height, width = surface.shape
    steps = np.array([-(width + 2), -1, 1, width + 2])
    # A frame around the picture that is closed, as all outside, spares the asking for the picture's edge.
    labels = np.pad(np.where(within, seeds, -1), 1, constant_values=-1).astype(np.int32).ravel()
    levels = np.pad(-surface.astype(np.int32), 1).ravel()
    claims = np.empty(len(labels), np.int32)
    # Pixels that have a seed and neighbours to be reached, by level, each in the order of their coming.
    waiting: dict[int, list[np.ndarray]] = {}
    queue: list[int] = []

    def wait(pixels: np.ndarray) -> None:
        order = np.argsort(levels[pixels], kind="stable")
        ends = np.flatnonzero(np.diff(levels[pixels[order]])) + 1
        for group in np.split(pixels[order], ends) if len(pixels) else ():
            level = int(levels[group[0]])
            if level not in waiting:
                waiting[level] = []
                heapq.heappush(queue, level)
            waiting[level].append(group)

    start = np.flatnonzero(labels > 0)
    wait(start[(labels[start[:, None] + steps] == 0).any(axis=1)])
    while queue:
        level = heapq.heappop(queue)
        front = np.concatenate(waiting.pop(level))
        while len(front):
            near = (front[:, None] + steps).ravel()
            free = labels[near] == 0
            near, owners = near[free], np.repeat(labels[front], len(steps))[free]
            # Of several that claim a pixel the first has it: of equal places the last that is written stays.
            number = np.arange(len(near), dtype=np.int32)
            claims[near[::-1]] = number[::-1]
            first = claims[near] == number
            near = near[first]
            labels[near] = owners[first]
            now = levels[near] <= level
            wait(near[~now])
            front = near[now]
    return np.maximum(labels.reshape(height + 2, width + 2)[1:-1, 1:-1], 0)


def joined(surface: np.ndarray, basins: np.ndarray, depth: int) -> np.ndarray:
    """Which basins are one object: int32 `(basins + 1,)`, the object of each basin's number, from 1 without gaps.

    From the highest saddle to the lowest, the basins on its two sides become one if the lower of their peaks is less
    than `depth` above it.
    """
    count = int(basins.max(initial=0)) + 1
    top = np.zeros(count, np.int64)
    np.maximum.at(top, basins.ravel(), surface.ravel())
    parent, peak = list(range(count)), top.tolist()

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = basin = parent[parent[basin]]
        return basin

    for saddle, one, other in _saddles(surface, basins, count):
        high, low = sorted((root(one), root(other)), key=lambda basin: (-peak[basin], basin))
        if high != low and peak[low] - saddle < depth:
            parent[low] = high
    roots = np.array([root(basin) for basin in range(count)])
    named = np.unique(roots, return_inverse=True)[1]
    return named.astype(np.int32)


def _saddles(surface: np.ndarray, basins: np.ndarray, count: int) -> list[list[int]]:
    """The highest place where two basins meet, and the two, from the highest to the lowest."""
    keys, heights = [], []
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        one, other = basins[here], basins[there]
        meet = (one != other) & (one > 0) & (other > 0)
        one, other = one[meet].astype(np.int64), other[meet]
        keys.append(np.minimum(one, other) * count + np.maximum(one, other))
        heights.append(np.minimum(surface[here][meet], surface[there][meet]))
    key, height = np.concatenate(keys), np.concatenate(heights).astype(np.int64)
    order = np.lexsort((key, -height))
    key, first = np.unique(key[order], return_index=True)
    height = height[order][first]
    order = np.argsort(-height, kind="stable")
    return np.stack([height, key // count, key % count], axis=1)[order].tolist()
