"""A strip of augmented versions of a training picture, to see what the settings at hand do."""

from __future__ import annotations

import numpy as np
import streamlit as st

from segmodels.data.augment import parse_augmentation
from segmodels.data.augment.preview import preview
from segmodels.data.dataset import IGNORE, Dataset, Sample
from segmodels.data.images import resize_image, resize_mask
from segmodels.errors import UserError
from segmodels.prediction.masks import foreground, overlay
from ui import cached
from ui.frame import in_place, plain

#: Versions in the strip beside the picture itself, how many stand in a row, and pictures that MixUp and CutMix take.
VERSIONS, PER_ROW, PARTNERS = 7, 4, 3
#: So many samples are tried to find pictures that can be read.
TRIED = 20


def augment_strip(name: str, root: str | None, augment_text: str, size: int, *, sampling: str = "resize") -> None:
    """An expander that draws a training picture of a data set and versions of it, once it is opened.

    Args:
        name, root: the data set.
        augment_text: the augmentation as a recipe has it.
        size: the side in pixels at which the model sees pictures.
        sampling: how it sees them: "resize" the whole, or "tiles", of which the middle one is shown.
    """
    expander = st.expander(
        "What augmentation does", icon=":material/auto_fix_high:", key="augment-open", on_change="rerun"
    )
    if not expander.open:
        return
    with expander, in_place():
        augmented_versions(name, root, augment_text, size, sampling=sampling)


def augmented_versions(
    name: str,
    root: str | None,
    augment_text: str,
    size: int,
    *,
    sampling: str = "resize",
    of: tuple[str, str] | None = None,
) -> None:
    """What an augmentation does in words, a picture and versions of it, and a button for others.

    Args:
        name, root, augment_text, size, sampling: as for `augment_strip`.
        of: split and id of the picture; one of the training pictures where None, each time another.

    Raises:
        UserError: no such augmentation, or no picture that can be read.
    """
    augmentation = parse_augmentation(augment_text)
    if not augmentation.operations:
        st.caption("Nothing: every epoch shows the pictures as they are.")
        return
    st.markdown("\n".join(f"- {plain(line)}" for line in augmentation.describe()))
    seed = st.session_state.get("augment-seed", 0)
    reading = repr(cached.dataset(name, root).reading())
    pictures = _strip(name, root, reading, augmentation.text, size, sampling, seed, of)
    captions = ["as it is", *(f"version {number}" for number in range(1, len(pictures)))]
    for start in range(0, len(pictures), PER_ROW):
        row = slice(start, start + PER_ROW)
        for column, picture, caption in zip(st.columns(PER_ROW), pictures[row], captions[row], strict=False):
            alt = f"A training picture of {name} with its mask, {caption}"
            column.image(picture, caption=caption, width="stretch", alt=alt)
    st.caption("White is ignored: what a picture does not show, no loss counts.")
    st.code(augmentation.spelled_out, language=None, wrap_lines=True)
    st.button("Others", icon=":material/casino:", key="augment-others", on_click=_draw_anew)


def _draw_anew() -> None:
    st.session_state["augment-seed"] = st.session_state.get("augment-seed", 0) + 1


@st.cache_data(max_entries=50, show_spinner=False)
def _strip(
    name: str,
    root: str | None,
    reading: str,
    text: str,
    size: int,
    sampling: str,
    seed: int,
    of: tuple[str, str] | None,
) -> list[bytes]:
    """A picture and its versions with their masks laid over, as JPEG; each seed shows others."""
    opened = cached.dataset(name, root)
    samples = opened.samples("train")
    order = np.random.default_rng(seed).permutation(len(samples))[:TRIED]
    shown = [sample for sample in opened.samples(of[0]) if sample.id == of[1]] if of else []
    pairs = _read([*shown, *(samples[index] for index in order)], opened, size, sampling)
    images, masks = zip(*pairs, strict=True)
    versions = preview(images, masks, text, count=VERSIONS, seed=seed, any_orientation=opened.any_orientation)
    scale = min(1.0, cached.THUMBNAIL / size)
    side = max(1, round(size * scale))
    coloured = [*foreground(opened.classes), IGNORE]
    return [
        cached.jpeg(
            overlay(resize_image(image, side, side), resize_mask(mask, side, side), opened.classes, shown=coloured)
        )
        for image, mask in [pairs[0], *versions]
    ]


def _read(samples: list[Sample], opened: Dataset, size: int, sampling: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first few that can be read, as the model sees them; `UserError` where none can."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    problem = UserError(f"{opened.name} has no training pictures to show")
    for sample in samples:
        try:
            image, mask = opened.read(sample)
        except UserError as error:
            problem = error
            continue
        if sampling == "tiles" and min(mask.shape) >= size:
            top, left = (mask.shape[0] - size) // 2, (mask.shape[1] - size) // 2
            middle = np.s_[top : top + size, left : left + size]
            image, mask = image[middle], mask[middle]
        pairs.append((resize_image(image, size, size), resize_mask(mask, size, size)))
        if len(pairs) > PARTNERS:
            break
    if not pairs:
        raise problem
    return pairs
