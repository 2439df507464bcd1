"""How far the masks of models are apart in each picture, worked out once for the masks that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import streamlit as st

from segmodels.data.ahead import ahead
from segmodels.data.dataset import Sample
from segmodels.files import state_of
from segmodels.prediction.stored import StoredPredictions

#: Threads that decode: more only wait for each other.
THREADS = 2


def masks_apart(stores: Sequence[StoredPredictions], samples: Sequence[Sample]) -> dict[str, float]:
    """By picture: the share of its pixels on which not all the masks agree.

    A bar shows how far it is the first time. What is clicked meanwhile ends it, and what is done is kept.

    Args:
        stores: the kept predictions of each model, all on one data set.
        samples: the pictures to look at; those of which not every model's mask is kept have no share.
    """
    if len(stores) < 2:
        return {}
    # A mask that is written, or removed, changes the folder that it is in, and one that is written the index.
    places = sorted(store.folder / name for store in stores for name in ("masks", "index.jsonl"))
    dataset = stores[0].dataset
    of = [(sample.id, str(sample.image_path)) for sample in samples]
    kept = _kept()
    found = kept.setdefault(state_of(places, dataset.name, dataset.split_seed, *dataset.reading(), of), {})
    for oldest in list(kept)[:-24]:
        kept.pop(oldest, None)
    if left := [sample for sample in samples if sample.id not in found]:
        bar = st.empty()
        done = len(samples) - len(left)
        with closing(ahead(lambda sample: _share(stores, sample), left, threads=THREADS)) as shares:
            for at, (sample, share) in enumerate(zip(left, shares, strict=True), start=done + 1):
                found[sample.id] = share
                if at % 10 == 0:
                    bar.progress(at / len(samples), f"comparing masks: {at} of {len(samples)}, the first time only")
        bar.empty()
    shared = {sample.id: found[sample.id] for sample in samples}
    return {name: share for name, share in shared.items() if share is not None}


def share_apart(masks: Sequence[np.ndarray]) -> float:
    """The share of the pixels on which not all masks agree, 0 to 1: of two masks that on which they differ.

    Args:
        masks: class ids, uint8 `(height, width)`, all of one size; at least one.
    """
    differ = np.zeros(masks[0].shape, bool)
    for mask in masks[1:]:
        differ |= mask != masks[0]
    return np.count_nonzero(differ) / max(1, differ.size)


def _share(stores: Sequence[StoredPredictions], sample: Sample) -> float | None:
    """Of a picture; None where a mask is not kept, or damaged."""
    masks: list[np.ndarray] = []
    for store in stores:
        mask = store.mask(sample)
        if mask is None or (masks and mask.shape != masks[0].shape):
            return None
        masks.append(mask)
    return share_apart(masks)


@st.cache_resource(show_spinner=False)
def _kept() -> dict[str, dict[str, float | None]]:
    """What was worked out last, for all sessions, by the state of the masks; None of what could not be compared."""
    return {}
