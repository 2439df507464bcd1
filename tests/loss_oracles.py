"""Every loss again, in plain Python loops over float64, written from the papers' definitions."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

Weights = tuple[float, ...] | None
Oracle = Callable[[np.ndarray, np.ndarray, Weights], float]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def pixels(masks: np.ndarray) -> Iterator[tuple[int, ...]]:
    """The places that count."""
    return (place for place in np.ndindex(masks.shape) if masks[place] != 255)


def weighted_mean(values: list[float], weights: list[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights) if sum(weights) else 0.0


def over_pixels(of_pixel: Callable[[tuple[int, ...], int], float], masks: np.ndarray, weights: Weights) -> float:
    places = list(pixels(masks))
    return weighted_mean(
        [of_pixel(place, int(masks[place])) for place in places],
        [1.0 if weights is None else weights[masks[place]] for place in places],
    )


def over_classes(of_class: Callable[[int], float], masks: np.ndarray, classes: int, weights: Weights) -> float:
    present = [number for number in range(classes) if (masks == number).any()]
    return weighted_mean(
        [of_class(number) for number in present], [1.0 if weights is None else weights[number] for number in present]
    )


def cross_entropy(smoothing: float = 0.0) -> Oracle:
    def oracle(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
        logs, classes = np.log(softmax(logits)), logits.shape[-1]

        def of_pixel(place: tuple[int, ...], true: int) -> float:
            aim = [(1 - smoothing) * (number == true) + smoothing / classes for number in range(classes)]
            return -sum(share * logs[place][number] for number, share in enumerate(aim))

        return over_pixels(of_pixel, masks, weights)

    return oracle


def l1(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
    drawn, classes = softmax(logits), logits.shape[-1]

    def of_pixel(place: tuple[int, ...], true: int) -> float:
        # Both drawn from -1 to 1, as the paper's masks are.
        return sum(abs((2 * drawn[place][n] - 1) - (1 if n == true else -1)) for n in range(classes)) / classes

    return over_pixels(of_pixel, masks, weights)


def binary_cross_entropy(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
    def of_pixel(place: tuple[int, ...], true: int) -> float:
        total = 0.0
        for number, logit in enumerate(logits[place]):
            share = 1 / (1 + math.exp(-float(logit)))
            total -= math.log(share if number == true else 1 - share)
        return total / logits.shape[-1]

    return over_pixels(of_pixel, masks, weights)


def focal(gamma: float) -> Oracle:
    def oracle(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
        shares = softmax(logits)
        return over_pixels(
            lambda place, true: -((1 - shares[place][true]) ** gamma) * math.log(shares[place][true]), masks, weights
        )

    return oracle


def tversky(alpha: float, beta: float, gamma: float = 1.0) -> Oracle:
    def oracle(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
        shares = softmax(logits)

        def of_class(number: int) -> float:
            right = too_many = missed = 0.0
            for place in pixels(masks):
                if masks[place] == number:
                    right += shares[place][number]
                    missed += 1 - shares[place][number]
                else:
                    too_many += shares[place][number]
            return (1 - right / (right + alpha * too_many + beta * missed)) ** (1 / gamma)

        return over_classes(of_class, masks, logits.shape[-1], weights)

    return oracle


def lovasz(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
    """The extension as the paper defines it, by the set function itself: 1 - IoU of a class of which some are wrong."""
    shares = softmax(logits)

    def of_class(number: int) -> float:
        truth = {place for place in pixels(masks) if masks[place] == number}
        errors = {
            place: 1 - shares[place][number] if place in truth else shares[place][number] for place in pixels(masks)
        }
        total, wrong, before = 0.0, set(), 0.0
        for place in sorted(errors, key=lambda place: -errors[place]):
            wrong.add(place)
            now = len(wrong) / len(truth | wrong)
            total += errors[place] * (now - before)
            before = now
        return total

    return over_classes(of_class, masks, logits.shape[-1], weights)


def distance(place: tuple[int, int], others: list[tuple[int, int]]) -> float:
    return min((math.dist(place, other) for other in others), default=math.inf)


def signed_distances(mask: np.ndarray, classes: int) -> np.ndarray:
    """By brute force, one picture: float64 `(height, width, classes)`."""
    found = np.zeros((*mask.shape, classes))
    for number in range(classes):
        inside = [place for place in pixels(mask) if mask[place] == number]
        outside = [place for place in pixels(mask) if mask[place] != number]
        if inside and outside:
            for place in outside:
                found[place][number] = distance(place, inside) - 0.5
            for place in inside:
                found[place][number] = 0.5 - distance(place, outside)
    return found


def boundary(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
    shares, classes = softmax(logits), logits.shape[-1]
    maps = [signed_distances(mask, classes) for mask in masks]
    places = list(pixels(masks))

    def of_class(number: int) -> float:
        total = 0.0
        for place in places:
            total += maps[place[0]][place[1:]][number] * (shares[place][number] - (masks[place] == number))
        return total / len(places)

    return over_classes(of_class, masks, classes, weights)


def components(mask: np.ndarray, background: int | None) -> np.ndarray:
    """Parts of one class that hang together by sides or corners, numbered from 1, by flooding."""
    found, count = np.zeros(mask.shape, int), 0
    for start in np.ndindex(mask.shape):
        if found[start] or mask[start] in (background, 255):
            continue
        count += 1
        found[start], waiting = count, deque([start])
        while waiting:
            row, column = waiting.popleft()
            for place in np.ndindex(3, 3):
                there = (row + place[0] - 1, column + place[1] - 1)
                inside = 0 <= there[0] < mask.shape[0] and 0 <= there[1] < mask.shape[1]
                if inside and not found[there] and mask[there] == mask[start]:
                    found[there] = count
                    waiting.append(there)
    return found


def border_weights(instances: np.ndarray, w0: float, sigma: float) -> np.ndarray:
    """By brute force: the distances to all objects, and of them the two least."""
    objects = [list(zip(*np.nonzero(instances == number), strict=True)) for number in range(1, instances.max() + 1)]
    found = np.zeros(instances.shape)
    for place in np.ndindex(instances.shape):
        near = sorted(distance(place, places) for places in objects)[:2]
        if len(near) == 2:
            found[place] = w0 * math.exp(-(sum(near) ** 2) / (2 * sigma**2))
    return found


def border_cross_entropy(w0: float, sigma: float, background: int | None = 0) -> Oracle:
    def oracle(masks: np.ndarray, logits: np.ndarray, weights: Weights = None) -> float:
        shares = softmax(logits)
        maps = [border_weights(components(mask, background), w0, sigma) for mask in masks]
        places = list(pixels(masks))
        return weighted_mean(
            [-math.log(shares[place][masks[place]]) for place in places],
            [(weights[masks[place]] if weights else 1.0) + maps[place[0]][place[1:]] for place in places],
        )

    return oracle


def gradient(oracle: Oracle, masks: np.ndarray, logits: np.ndarray, weights: Weights, step: float = 1e-5) -> np.ndarray:
    """By central differences, of the logits."""
    logits, found = logits.astype(np.float64), np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        shift = np.zeros(logits.shape)
        shift[place] = step
        up, down = oracle(masks, logits + shift, weights), oracle(masks, logits - shift, weights)
        found[place] = (up - down) / (2 * step)
    return found


#: A recipe's text and the same loss in loops: each loss, and those with parameters once more beside their defaults.
ORACLES: dict[str, Oracle] = {
    "cross_entropy": cross_entropy(),
    "cross_entropy(label_smoothing=0.2)": cross_entropy(0.2),
    "binary_cross_entropy": binary_cross_entropy,
    "focal": focal(2),
    "l1": l1,
    "focal(gamma=0.5)": focal(0.5),
    "dice": tversky(0.5, 0.5),
    "jaccard": tversky(1, 1),
    "tversky": tversky(0.3, 0.7),
    "tversky(alpha=0.9,beta=0.2)": tversky(0.9, 0.2),
    "focal_tversky": tversky(0.3, 0.7, 4 / 3),
    "focal_tversky(alpha=0.6,beta=0.4,gamma=2)": tversky(0.6, 0.4, 2),
    "lovasz": lovasz,
    "boundary": boundary,
    "border_cross_entropy": border_cross_entropy(10, 5),
    "border_cross_entropy(w0=3,sigma=1)": border_cross_entropy(3, 1),
}
