"""Hundreds of layers as the dozen stages that a drawing of a network shows, and what leads from one to the next.

A stage is all layers of one stride within the backbone, and elsewhere all layers whose names begin alike (`up3_1_conv`,
`up3_1_norm`, … are `up3`): so the architectures of this package name their layers.
"""

from __future__ import annotations

import math
from typing import Any

from segmodels.models.summary_graph import PICTURE, Step

#: The stages at both ends: what is done to the pixels before the first weight, and the last scores.
FIRST, LAST = "input", "logits"
#: How the stages of a backbone are called; the number follows.
STRIDE = "stride "


def stage_names(steps: list[Step], size: int) -> list[str]:
    """For each step the name of its stage; `size` is the picture's side as the network sees it."""
    weighted = [i for i, step in enumerate(steps) if getattr(step.layer, "weights", [])]
    strides = _strides(steps, size)
    names: list[str] = []
    for i, step in enumerate(steps):
        if i < weighted[0]:
            names.append(FIRST)
        elif step.kind == "PoolingPlaces" and step.inner:  # kept of the stage that had the maxima
            names.append(names[step.inputs[0]])
        elif step.inner:
            names.append(f"{STRIDE}{strides[i]}")
        elif i >= weighted[-1] or step.name.startswith(LAST):
            names.append(LAST)
        else:
            names.append(step.name.split("_")[0])
    return _without_loose_ends(steps, names, {names[i] for i in weighted})


def _strides(steps: list[Step], size: int) -> list[int]:
    """The stride of each step, or of what it leads to within the backbone where that is larger: the gates of squeeze
    and excitation and the keys of attention are small, but belong to what they weigh."""
    strides = [_stride(step, size) for step in steps]
    for i in reversed(range(len(steps))):
        for made in steps[i].inputs:
            if steps[i].inner and made != PICTURE:
                strides[made] = min(strides[made], strides[i])
    return strides


def _without_loose_ends(steps: list[Step], names: list[str], weighted: set[str]) -> list[str]:
    """A dropout or resizing on its own belongs to what it changes, a sum or concatenation to what it is made for."""
    names, reader = list(names), {made: i for i in reversed(range(len(steps))) for made in steps[i].inputs}

    def loose(i: int) -> bool:
        return not steps[i].inner and names[i] not in weighted and names[i] not in (FIRST, LAST)

    for i, step in enumerate(steps):
        sources = {names[made] for made in step.inputs if made != PICTURE}
        if loose(i) and len(sources) == 1:
            names[i] = sources.pop()
    for i in reversed(range(len(steps))):
        if loose(i) and i in reader:
            names[i] = names[reader[i]]
    return names


def describe_stages(
    steps: list[Step], names: list[str], parameters: list[int], multiply_adds: list[int], size: int
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The stages in the order in which they begin, and the edges between them.

    An edge is `skip` where there is a longer way as well, and where a smaller map joins one of the stage's own size;
    all others are `flow`.
    """
    encoder = _encoder(steps)
    stages: list[dict[str, Any]] = []
    for name in dict.fromkeys(names):
        members = [i for i, own in enumerate(names) if own == name]
        shown = _shown(steps, name, members, size)
        _, height, width, channels = _picture_shape(shown)
        part = "head" if name == LAST else "encoder" if members[0] in encoder else "decoder"
        stages.append(
            {
                "name": name,
                "part": part,
                "stride": _stride(shown, size),
                "height": height,
                "width": width,
                "channels": channels,
                "parameters": sum(parameters[i] for i in members),
                "multiply_adds": sum(multiply_adds[i] for i in members),
                "layers": len(members),
            }
        )
    return stages, _edges(steps, names, {stage["name"]: stage["stride"] for stage in stages})


def _shown(steps: list[Step], name: str, members: list[int], size: int) -> Step:
    """The step whose output stands for a stage: of a backbone the last that leaves it, elsewhere the last of all."""
    if name == FIRST:
        return steps[members[0]]
    if not name.startswith(STRIDE):
        return steps[members[-1]]
    whole = [i for i in members if f"{STRIDE}{_stride(steps[i], size)}" == name]
    first = next((i for i in whole if getattr(steps[i].layer, "weights", [])), whole[0])
    return steps[next((i for i in reversed(whole) if steps[i].tap and i >= first), whole[-1])]


def _edges(steps: list[Step], names: list[str], stride: dict[str, int]) -> list[dict[str, str]]:
    order = {name: i for i, name in enumerate(stride)}
    before: dict[str, list[str]] = {name: [] for name in order}
    for name, step in zip(names, steps, strict=True):
        sources = {names[made] for made in step.inputs if made != PICTURE}
        before[name] += [one for one in sources if order[one] < order[name] and one not in before[name]]
    behind: dict[str, set[str]] = {}  # all that leads to a stage
    for name in before:
        behind[name] = set(before[name]).union(*(behind[source] for source in before[name]))

    def skips(source: str, name: str) -> bool:
        others = [other for other in before[name] if other != source]
        longer = any(source in behind[other] for other in others)
        return longer or (stride[source] == stride[name] and any(stride[other] > stride[name] for other in others))

    return [
        {"from": source, "to": name, "kind": "skip" if skips(source, name) else "flow"}
        for name, sources in before.items()
        for source in sorted(sources, key=order.__getitem__)
    ]


def _encoder(steps: list[Step]) -> set[int]:
    """The steps of the encoder: up to the last of the backbone, or without one all that leads to the smallest map."""
    inner = [i for i, step in enumerate(steps) if step.inner]
    if inner:
        return set(inner) | set(range(inner[0]))
    areas = [math.prod(_picture_shape(step)[1:3]) for step in steps]
    reached = [max(i for i, area in enumerate(areas) if area == min(areas))]
    found: set[int] = set()
    while reached:
        step = reached.pop()
        found.add(step)
        reached += [made for made in steps[step].inputs if made != PICTURE and made not in found]
    return found


def _picture_shape(step: Step) -> tuple[int, int, int, int]:
    """Its output as batch, height, width and channels; tokens `(batch, h w, c)` are a square of them."""
    shape = step.output_shapes[0]
    if len(shape) == 4:
        return shape  # type: ignore[return-value]
    tokens = math.prod(shape[1:-1])
    side = math.isqrt(tokens)
    return shape[0], side, tokens // max(1, side), shape[-1]


def _stride(step: Step, size: int) -> int:
    """By how much its output is smaller than the picture, as a power of two: margins that padding adds do not count."""
    return 2 ** max(0, round(math.log2(size / max(1, _picture_shape(step)[1]))))
