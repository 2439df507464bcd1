"""Finding pictures and their masks in a folder, by the names that people give to folders and files.

A mask lies in a folder called so (`masks`, `labels`, `trainannot`, `SegmentationClass`, …) or has a name that ends so
(`x_mask.png`, `x_L.png`) beside the picture it is named after. Every other picture file is a picture. The two belong
together where, without these words, they have the same name in the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from segmodels.data.dataset import Finding
from segmodels.data.datasets.own import SPLIT_NAMES
from segmodels.data.datasets.pictures import SUFFIXES, files_below
from segmodels.data.split_lists import Listed, SplitLists, read_split_lists
from segmodels.data.split_lists import stem as stem_of

#: Words that make a folder one of masks or of pictures; words are parted by anything but letters.
MASK_WORDS = frozenset(
    (
        "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "ann", "gt", "truth",
        "groundtruth", "trimaps", "segmentation", "segmentations", "seg", "segs", "target", "targets",
        "segmentationclass", "segmentationclasspng", "segmentationclassraw", "labeledapproved",
    )
)  # fmt: skip
IMAGE_WORDS = frozenset(
    (
        "image", "images", "img", "imgs", "jpegimages", "picture", "pictures", "photo", "photos", "input", "inputs",
        "raw", "stillsraw", "frames",
    )
)  # fmt: skip

#: What a mask's name has behind its picture's; `L` only where that picture is there.
MASK_ENDING = re.compile(r"[ _.-](masks?|labels?|seg|segmentation|gt|annot|annotation|lbl|L)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A picture and its mask.

    Attributes:
        id: their common path below the root: "Tile 1/image_part_001".
        folder: what of the folders above tells pictures apart: neither a split, nor what all have in common.
        split: "train", "validation", "test", or "" where neither a folder nor a list says.
    """

    id: str
    folder: str
    split: str
    image_path: Path
    mask_path: Path


@dataclass
class Pairs:
    """The pairs of a folder, sorted by id, and what did not fit."""

    pairs: list[Pair] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def source(self, pair: Pair) -> str:
        """What a pair comes from: its folder where that has a number in it ("Tile 1", "patient_07"), else "".

        Folders named by words alone are kinds of pictures, of which every split should have some.
        """
        return pair.folder if re.search(r"\d", pair.folder) else ""


def find_pairs(root: Path) -> Pairs:
    """Pair the pictures and masks below `root`.

    Which split a pair belongs to is said by the list files (`segmodels.data.split_lists`) or by its folders. Where
    there are lists, a pair in none of them is left out.

    Returns:
        the pairs, and findings on pictures without mask, masks without picture, clashing names and faulty lists.
    """
    below = (path for path in files_below(root) if path.suffix.lower() in SUFFIXES)
    files = [PurePosixPath(path.relative_to(root).as_posix()) for path in below]
    images, masks, clashes = _by_key(files)
    findings = [_clash(*clash) for clash in clashes]
    common = _common(key[0] for key in images if key in masks)
    pairs = [
        _pair(root, key, images[key], masks[key], common)
        for key in sorted(images.keys() & masks.keys(), key=lambda key: (*key[0], key[1]))
    ]
    findings += [
        Finding("no-mask", str(path), "the picture has no mask", "left out")
        for key, path in sorted(images.items(), key=lambda item: item[1])
        if key not in masks and masks
    ]
    findings += [
        Finding("no-picture", str(path), "the mask has no picture", "left out")
        for key, path in sorted(masks.items(), key=lambda item: item[1])
        if key not in images
    ]
    pairs, of_lists = _apply_lists(root, pairs, files, read_split_lists(root))
    return Pairs(sorted(pairs, key=lambda pair: pair.id), findings + of_lists)


#: The folders that a picture and its mask share, split words and all, and their name: what pairs them.
Key = tuple[tuple[str, ...], str]


def _by_key(
    files: Iterable[PurePosixPath],
) -> tuple[dict[Key, PurePosixPath], dict[Key, PurePosixPath], list[tuple[str, PurePosixPath, PurePosixPath]]]:
    """Pictures and masks by what pairs them, and what clashes with one taken before."""
    files = list(files)
    stems: dict[PurePosixPath, set[str]] = {}
    for path in files:
        stems.setdefault(path.parent, set()).add(path.stem)
    images: dict[Key, PurePosixPath] = {}
    masks: dict[Key, PurePosixPath] = {}
    clashes = []
    folders = _meanings(stems)
    for path in files:
        folder, stem = path.parent, path.stem
        kinds, parts = folders[folder]
        ending = MASK_ENDING.search(stem)
        bare = stem[: ending.start()] if ending else stem
        # Beside its picture the ending makes the mask; elsewhere the folder does.
        is_mask = "mask" in kinds or (
            ending is not None and (bare in stems[folder] or (len(ending[1]) > 1 and "image" not in kinds))
        )
        key = (parts, bare if is_mask else stem)
        taken = masks if is_mask else images
        if key in taken:
            clashes.append(("mask" if is_mask else "picture", taken[key], path))
        else:
            taken[key] = path
    # A mask whose whole name is its picture's ("cells_seg.png" in images/ and in masks/) keeps the ending.
    for key, path in list(masks.items()):
        whole = (key[0], path.stem)
        if key not in images and whole in images and whole not in masks:
            masks[whole] = masks.pop(key)
    return images, masks, clashes


def _meanings(folders: Iterable[PurePosixPath]) -> dict[PurePosixPath, tuple[set[str], tuple[str, ...]]]:
    """For each folder, the kinds of it and those above it, and what of their names pairs its files with others."""
    folders = list(folders)
    both = _of_both(folders)
    found = {}
    for folder in folders:
        above = [*reversed(folder.parents), folder][1:]
        kinds = [("", one.name) if one in both else _folder_kind(one.name) for one in above]
        found[folder] = {kind for kind, _ in kinds}, tuple(part for _, part in kinds if part)
    return found


def _folder_kind(name: str) -> tuple[str, str]:
    """Whether a folder is one of "mask"s, of "image"s or neither, and what of its name pairs the two.

    ("mask", "train") of "trainannot" and "train_masks"; ("mask", "") of "Ground Truth"; ("", "Tile 1") of "Tile 1".
    """
    words = re.findall(r"[a-z]+|\d+", name.lower())
    # "trainannot", "testmasks"
    words = [part for word in words for part in _cut(word)]
    kind = "mask" if MASK_WORDS & set(words) else "image" if IMAGE_WORDS & set(words) else ""
    if not kind:
        return "", name
    # "masks_2" belongs to "images_2"; the number of "701_StillsRaw_full" is of the set.
    named = next(index for index, word in enumerate(words) if word in MASK_WORDS | IMAGE_WORDS)
    kept = [word for index, word in enumerate(words) if word in SPLIT_NAMES or (word.isdigit() and index > named)]
    return kind, " ".join(kept)


def _of_both(folders: Iterable[PurePosixPath]) -> set[PurePosixPath]:
    """The folders called after masks that have some of pictures below them, or the other way round: they are neither,
    as "Semantic segmentation dataset" over `images` and `masks`."""
    both = set()
    for folder in folders:
        below = {_folder_kind(folder.name)[0]} - {""}
        for parent in [*folder.parents][:-1]:
            if (kind := _folder_kind(parent.name)[0]) and below - {kind}:
                both.add(parent)
            else:
                below |= {kind} - {""}
    return both


def _cut(word: str) -> list[str]:
    """A word in two where it is a split's name and a word for masks or pictures."""
    for split in sorted(SPLIT_NAMES, key=len, reverse=True):
        rest = word.removeprefix(split)
        if rest != word and rest in MASK_WORDS | IMAGE_WORDS:
            return [split, rest]
    return [word]


def _clash(kind: str, first: PurePosixPath, other: PurePosixPath) -> Finding:
    return Finding(
        "name-clash", str(other), f"it stands for the same {kind} as {first}", f"{first} is taken, this one left out"
    )


def _common(folders: Iterable[tuple[str, ...]]) -> int:
    """How many leading folders all have in common."""
    common: tuple[str, ...] | None = None
    for parts in folders:
        common = parts if common is None else common[: _same(common, parts)]
    return len(common or ())


def _same(first: Sequence[str], other: Sequence[str]) -> int:
    """How many folders from the start are the same."""
    return next((i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), min(len(first), len(other)))


def _pair(root: Path, key: Key, image: PurePosixPath, mask: PurePosixPath, common: int) -> Pair:
    parts, stem = key
    splits = [_split_of(part) for part in parts]
    apart = [part for part, split in zip(parts[common:], splits[common:], strict=True) if not split]
    sample_id = "/".join([*parts[common:], stem])
    return Pair(sample_id, "/".join(apart), next((s for s in splits if s), ""), root / image, root / mask)


def _split_of(folder: str) -> str:
    """The split that a folder's name stands for: "val", "Training set" and "test_2" do, "Test tubes" does too."""
    words = re.findall(r"[a-z]+", folder.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")


def _apply_lists(
    root: Path, pairs: list[Pair], files: list[PurePosixPath], lists: SplitLists
) -> tuple[list[Pair], list[Finding]]:
    """The pairs that the list files name, in the splits they name, or all where there are no lists."""
    findings = list(lists.findings)
    by_stem = _by_stem([(pair.image_path.relative_to(root).as_posix(), pair.split) for pair in pairs])
    listed: dict[str, Pair] = {}
    missing: dict[str, list[str]] = {}
    for entry in lists.entries:
        index = _best(entry.image, entry.split, by_stem)
        pair = pairs[index] if index is not None else _as_listed(root, entry, files)
        if pair is None:
            missing.setdefault(entry.split, []).append(entry.image)
            continue
        if pair.id in listed and listed[pair.id].split != entry.split:
            # "test" comes last and keeps it: what is tested on must not be trained on.
            findings.append(
                Finding(
                    "listed-twice", pair.id, f"it is in the lists of {listed[pair.id].split} and of {entry.split}",
                    f"it belongs to {entry.split} alone", sample=pair.id, split=entry.split,
                )
            )  # fmt: skip
        listed[pair.id] = replace(pair, split=entry.split)
    if not listed:
        return pairs, findings
    for split, names in missing.items():
        message = f"the list of {split} names {len(names)} pictures without picture or mask, first {names[0][:100]!a}"
        findings.append(Finding("not-there", f"list of {split}", message, "passed over", split=split))
    if unlisted := [pair.id for pair in pairs if pair.id not in listed]:
        message = f"{len(unlisted)} pictures are in no list of a split, first {unlisted[0]!a}"
        findings.append(Finding("unlisted", unlisted[0], message, "left out"))
    return list(listed.values()), findings


#: By a file's stem: the folders above it from the inside out, its split and its number.
ByStem = dict[str, list[tuple[tuple[str, ...], str, int]]]


def _by_stem(paths: Iterable[tuple[str, str]]) -> ByStem:
    """Paths with their splits by their stems."""
    found: ByStem = {}
    for index, (path, split) in enumerate(paths):
        folders = PurePosixPath(path).parts[:-1]
        found.setdefault(stem_of(path), []).append((folders[::-1], split, index))
    return found


def _best(path: str, split: str, known: ByStem) -> int | None:
    """The number of the known path that a listed one stands for: as many folders from the inside out are the same.

    None where there is no path of that name, or several fit equally well.
    """
    folders = PurePosixPath(path).parts[-2::-1]
    scored = []
    for other, other_split, index in known.get(stem_of(path), []):
        scored.append(((_same(folders, other), other_split == split), index))
    scored.sort(reverse=True)
    if not scored or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        return None
    return scored[0][1]


def _as_listed(root: Path, entry: Listed, files: Sequence[PurePosixPath]) -> Pair | None:
    """The pair of a line that names a picture and a mask of other names; None unless both are there."""
    if not entry.mask:
        return None
    known = _by_stem((path.as_posix(), "") for path in files)
    image, mask = (_best(path, "", known) for path in (entry.image, entry.mask))
    if image is None or mask is None or image == mask:
        return None
    return Pair(files[image].with_suffix("").as_posix(), "", entry.split, root / files[image], root / files[mask])
