"""Any data set written in another form: masks, COCO, LabelMe or Pascal VOC."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmodels.data.dataset import SPLITS, ClassLabel, Dataset, Progress, Sample
from segmodels.data.disk import Stop, Stopped
from segmodels.data.images import read_image
from segmodels.data.label_files import MAX_NAME, Label
from segmodels.data.mask_pairs import MASK_ENDING
from segmodels.data.writers import WRITERS, Item
from segmodels.errors import UserError, choose
from segmodels.files import replacing, user_path


def convert(
    dataset: Dataset, out: str | Path, to: str, *, progress: Progress | None = None, stop: Stop | None = None
) -> dict[str, Any]:
    """Write a data set in a form into a new folder, with its splits, classes, colours, ignored pixels and objects.

    Reading it back gives the same pictures and masks, to the pixel. A picture that is a plain JPEG or PNG is copied
    as it is, any other is written as PNG. Names become safe for any disk; no two are the same in the whole set.

    Args:
        out: a folder that is not there yet, or empty. It appears at the end, whole.
        to: one of `WRITERS`.
        progress: told the pictures done.
        stop: asked before each picture; once it returns True this ends with `Stopped` and nothing is left.

    Returns:
        `form`, `folder`, `samples` (their count by split), `classes`, `copied` and `encoded` (counts of pictures),
        and `left_out`: sample, split and message of each that could not be read.

    Raises:
        UserError: an unknown form, a folder with something in it or inside of the data set's own, no space; or there
            is not one sample that can be read.
    """
    choose("form", to, list(WRITERS))
    out = user_path(out)
    if out.exists() and (not out.is_dir() or next(out.iterdir(), None) is not None):
        raise UserError(f"{out} is there already and not empty: name a new folder")
    if dataset.root is not None and out.is_relative_to(dataset.root):
        raise UserError(f"{out} is inside of the data set's own folder: name one elsewhere")
    listed = [(sample, split) for split in SPLITS for sample in dataset.samples(split)]
    names = file_names(sample.id for sample, _ in listed)
    classes = usable_labels(dataset.classes)
    counts, left_out = dict.fromkeys(SPLITS, 0), []
    copied = encoded = 0
    with replacing(out) as part:
        part.mkdir()
        writer = WRITERS[to](part, classes)
        for done, ((sample, split), name) in enumerate(zip(listed, names, strict=True)):
            if progress:
                progress(done, len(listed), f"writing {to}")
            if stop and stop():
                raise Stopped("stopped while converting; nothing was written")
            try:
                image, mask = dataset.read(sample)
                instances = dataset.read_instances(sample) if dataset.has_instances else None
            except UserError as error:
                left_out.append({"sample": sample.id, "split": split, "message": str(error)})
                continue
            original = plain_picture(sample, image)
            suffix = original[1] if original else ".png"
            picture = writer.add(Item(name, split, suffix, mask, instances))
            picture.parent.mkdir(parents=True, exist_ok=True)
            if original:
                shutil.copyfile(original[0], picture)
                copied += 1
            else:
                Image.fromarray(image).save(picture)
                encoded += 1
            counts[split] += 1
        if not any(counts.values()):
            why = f"; the first: {left_out[0]['message']}" if left_out else ""
            raise UserError(f"{dataset.name}: not one sample can be read{why}")
        writer.finish()
        if progress:
            progress(len(listed), len(listed), f"writing {to}")
    return {
        "form": to, "folder": str(out), "samples": counts, "classes": [label.name for label in classes],
        "copied": copied, "encoded": encoded, "left_out": left_out,
    }  # fmt: skip


def plain_picture(sample: Sample, image: np.ndarray) -> tuple[Path, str] | None:
    """The file of a picture and the suffix it should have, if it can be copied as it is.

    That is a grey or RGB JPEG or PNG without transparency, further frames or a turn noted beside the pixels, which read
    as a plain picture gives what the data set gave: it may hold other things in a file of this name.
    """
    path = sample.image_path
    if path is None:
        return None
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as opened:
            plain = (
                opened.mode in ("RGB", "L")
                and "transparency" not in opened.info
                and getattr(opened, "n_frames", 1) == 1
                and opened.getexif().get(0x0112, 1) == 1
            )
            suffix = {"JPEG": ".jpg", "PNG": ".png"}.get(opened.format or "")
        if plain and suffix and np.array_equal(read_image(path), image):
            return path, suffix
    except Exception:  # Pillow raises all kinds; a file that is none of these is written anew from what was read
        return None
    return None


def file_names(ids: Iterable[str]) -> list[str]:
    """A file name without suffix for each id: letters, digits, "_" and "-", at most 200 bytes, no two alike."""
    names: list[str] = []
    taken: set[str] = set()
    for sample_id in ids:
        plain = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", sample_id)).strip("_-")
        plain = plain.encode("utf-8", "ignore")[:190].decode("utf-8", "ignore") or "picture"
        # "cells_mask" would be taken for the mask of "cells".
        plain += "_" if MASK_ENDING.search(plain) else ""
        name, number = plain, 1
        # Upper and lower case are the same file on some disks.
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def usable_labels(classes: Iterable[ClassLabel]) -> list[ClassLabel]:
    """The classes with names that every form keeps: printable, on one line, each once, none that means "ignored"."""
    labels: list[ClassLabel] = []
    for index, label in enumerate(classes):
        name = " ".join("".join(letter if letter.isprintable() else " " for letter in label.name).strip("\"'").split())
        name = "background" if name == "_background_" else name[: MAX_NAME - 10].strip() or f"class {index}"
        if Label(name).ignored:
            name += " class"
        number, plain = 1, name
        while name in {label.name for label in labels}:
            number += 1
            name = f"{plain} {number}"
        labels.append(ClassLabel(name, label.colour))
    return labels
