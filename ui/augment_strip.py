"""A strip of augmented versions of a training picture, to see what the settings at hand do."""

from __future__ import annotations

import numpy as np
import streamlit as st

from segmodels.data.augment import parse_augmentation
from segmodels.data.augment.preview import preview
from segmodels.data.dataset import IGNORE, Dataset, Sample
from segmodels.data.images import fitted, resize_image, resize_mask
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
    of: tuple[str, str, str] | None = None,
) -> None:
    """What an augmentation does in words, a picture and versions of it, and a button for others.

    Args:
        name, root, augment_text, size, sampling: as for `augment_strip`.
        of: split, id and state of the picture; one of the training pictures where None, each time another.

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
            alt = f"A picture of {name} with its mask, {caption}"
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
    of: tuple[str, str, str] | None,
) -> list[bytes]:
    """A picture and its versions with their masks laid over, as JPEG; each seed shows others."""
    opened = cached.dataset(name, root)
    samples = [sample for sample in opened.samples("train") if of is None or sample.id != of[1]]
    order = np.random.default_rng(seed).permutation(len(samples))[:TRIED]
    pairs = []
    if of:
        chosen = next(sample for sample in opened.samples(of[0]) if sample.id == of[1])
        pairs.append(_seen(opened.read(chosen), size, sampling))
    pairs += _readable([samples[index] for index in order], opened, size, sampling, PARTNERS + 1 - len(pairs))
    if not pairs:
        raise UserError(f"{opened.name} has no training pictures to show")
    images, masks = zip(*pairs, strict=True)
    versions = preview(images, masks, text, count=VERSIONS, seed=seed, any_orientation=opened.any_orientation)
    shape = fitted(size, size, cached.THUMBNAIL)
    coloured = [*foreground(opened.classes), IGNORE]
    return [
        cached.jpeg(overlay(resize_image(image, *shape), resize_mask(mask, *shape), opened.classes, shown=coloured))
        for image, mask in [pairs[0], *versions]
    ]


def _readable(
    samples: list[Sample], opened: Dataset, size: int, sampling: str, most: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The first few that can be read, as the model sees them; `UserError` where there are some and none can."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    problem: UserError | None = None
    for sample in samples:
        try:
            pairs.append(_seen(opened.read(sample), size, sampling))
        except UserError as error:
            problem = error
        if len(pairs) == most:
            break
    if problem and not pairs:
        raise problem
    return pairs


def _seen(pair: tuple[np.ndarray, np.ndarray], size: int, sampling: str) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask as the model sees them: the middle tile, or the whole made smaller."""
    image, mask = pair
    if sampling == "tiles" and min(mask.shape) >= size:
        top, left = (mask.shape[0] - size) // 2, (mask.shape[1] - size) // 2
        middle = np.s_[top : top + size, left : left + size]
        image, mask = image[middle], mask[middle]
    return resize_image(image, size, size), resize_mask(mask, size, size)
