"""The verbs of `python -m segmodels datasets`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from segmodels.errors import UserError
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], datasets: Any) -> None:
    """Add the verbs to the group `datasets`; `add(group, name, verb, text)` makes one."""
    add(datasets, "list", list_all, "every data set, and whether it is here")
    made = add(datasets, "download", download, "bring a data set from its official source")
    made.add_argument("data", metavar="DATA")

    made = add(datasets, "prepare", prepare_all, "decode a data set once, at a size")
    _add_data(made)
    made.add_argument("--image-size", type=int, default=256, metavar="S")

    made = add(datasets, "verify", verify, "every defect of a data set's files, and what is done about it")
    _add_data(made)
    made.add_argument("--again", action="store_true", help="check anew, though no file has changed since the last time")

    made = add(datasets, "statistics", statistics, "classes by pixels and pictures, sizes, colours, suggested weights")
    _add_data(made)
    made.add_argument("--split", default="train", metavar="NAME", help="train, validation or test (default: train)")

    made = add(datasets, "split", split, "deal the pictures out to splits anew, by source, and write them as a file")
    made.add_argument("data", metavar="DATA", help="a name of `datasets list` or a folder")
    made.add_argument("--root", metavar="DIR", help="its folder")
    made.add_argument("--form", metavar="NAME", help="how a folder is read (default: recognised)")
    made.add_argument("--out", metavar="FILE", required=True)
    made.add_argument("--seed", type=int, default=0, metavar="N", help="another seed makes another choice")
    made.add_argument(
        "--by", metavar="image|folder|REGEX",
        help="what stays on one side: each image alone, what lies in one folder, or what has the same match in its id "
        "(default: what the data set says)",
    )  # fmt: skip
    made.add_argument(
        "--shares", default="0.8,0.1,0.1", metavar="X,X,X", help="of train, validation and test (default: 0.8,0.1,0.1)"
    )

    made = add(datasets, "convert", convert, "write any data set in another form")
    _add_data(made)
    made.add_argument("out", metavar="OUT", help="the folder to make")
    made.add_argument("--to", required=True, metavar="FORM", help="masks, coco, labelme or voc")


def _add_data(made: argparse.ArgumentParser) -> None:
    made.add_argument("data", metavar="DATA", help="a name of `datasets list` or a folder")
    made.add_argument("--root", metavar="DIR", help="its folder")
    made.add_argument("--form", metavar="NAME", help="how a folder is read (default: recognised)")
    made.add_argument("--split-seed", type=int, default=0, metavar="N", help="of the parts that are split off")
    made.add_argument("--split-file", metavar="FILE", help="goes before the data set's own splits")


def _open(parsed: argparse.Namespace) -> Any:
    from segmodels.data.datasets import open_dataset

    return open_dataset(
        parsed.data, parsed.root, split_seed=parsed.split_seed, form=parsed.form, split_file=parsed.split_file
    )


def list_all(_: argparse.Namespace) -> tuple[Any, str]:
    """`datasets list`."""
    from segmodels.data.datasets import list_datasets

    rows = list_datasets()
    shown = [{**row, "classes": " ".join(row["classes"]), "here": row["root"] or row["here"]} for row in rows]
    return rows, table(shown, ["name", "title", "classes", "train", "validation", "test", "here"])


def download(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets download`."""
    from segmodels.data.datasets import download_dataset

    terminal = Terminal()
    try:
        folder = download_dataset(parsed.data, terminal.progress)
    finally:
        terminal.close()
    return {"data": parsed.data, "root": str(folder)}, f"{parsed.data} is in {folder}"


def prepare_all(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets prepare`: resized, or at native size where networks see the data set in tiles."""
    from segmodels.data.dataset import SPLITS
    from segmodels.data.datasets import default_sampling
    from segmodels.data.prepare import prepare
    from segmodels.data.tiles import Tiling

    if not 32 <= parsed.image_size <= 2048:
        raise UserError(f"image_size={parsed.image_size}: must be a whole number, at least 32 and at most 2048")
    dataset, terminal = _open(parsed), Terminal()
    rows: list[dict[str, Any]] = []
    try:
        for name in SPLITS:
            if not dataset.samples(name):
                continue
            size = parsed.image_size
            tiling = Tiling(size, size) if default_sampling(parsed.data) == "tiles" else None
            data = prepare(dataset, name, size, tiling=tiling, progress=terminal.progress)
            pictures = len(dataset.samples(name)) - len(data.skipped)
            row = {"split": name, "pictures": pictures, "skipped": data.skipped}
            rows.append(row | ({"tiles": len(data)} if tiling else {}))
    finally:
        terminal.close()
    columns = ["split", "pictures", *(["tiles"] if rows and "tiles" in rows[0] else []), "skipped"]
    text = table([{**row, "skipped": len(row["skipped"])} for row in rows], columns)
    reasons = [f"skipped in {row['split']}: {item['reason']}" for row in rows for item in row["skipped"]]
    return {"data": parsed.data, "image_size": parsed.image_size, "splits": rows}, "\n".join([text, *reasons])


def verify(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets verify`: problems are its result, not its failure, unless no sample is usable."""
    from segmodels.data.dataset import SPLITS
    from segmodels.data.verify import verify as check

    dataset, terminal = _open(parsed), Terminal()
    try:
        report = check(dataset, progress=terminal.progress, again=parsed.again)
    finally:
        terminal.close()
    if not any(report.usable.values()):
        parsed.exit_code = 2
        print(f"segmodels: no sample of {parsed.data} is usable: see the findings", file=sys.stderr)
    rows = [
        {"split": finding.split or "-", "kind": finding.kind, "file": finding.where,
         "what": _cut(finding.message), "action": finding.action}
        for finding in report.findings
    ]  # fmt: skip
    usable = ", ".join(f"{report.usable[name]} of {report.samples[name]} in {name}" for name in SPLITS)
    lines = [table(rows, ["split", "kind", "file", "what", "action"]), ""] if rows else []
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items()) or "nothing wrong found"
    return report.document(), "\n".join([*lines, counts, f"usable: {usable}"])


def statistics(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets statistics`: the figures of one split."""
    from segmodels.data.class_weights import METHODS
    from segmodels.data.statistics import class_statistics

    dataset, terminal = _open(parsed), Terminal()
    try:
        document = class_statistics(dataset, parsed.split, progress=terminal.progress).document()
    finally:
        terminal.close()
    rows = [
        {"class": row["name"], "share %": 100 * row["share"], "images": row["images"],
         "colour": " ".join("-" if value is None else f"{value:.0f}" for value in row["colour"]), **row["weights"]}
        for row in document["classes"]
    ]  # fmt: skip
    sizes = document["sizes"]
    lines = [f"{document['usable']} of {document['samples']} {parsed.split} pictures, {document['pixels']:,} pixels"]
    if document["usable"]:
        spans = [f"{side} {of['least']} to {of['greatest']}, median {of['median']:g}"
                 for side, of in (("width", sizes["width"]), ("height", sizes["height"]))]  # fmt: skip
        lines += [
            f"{sizes['different']} sizes: {'; '.join(spans)}",
            f"ignored: {100 * document['ignored_share']:.2f} % of the pixels",
            f"red, green, blue: mean {_three(document['mean'])}, standard deviation {_three(document['deviation'])}",
        ]
    lines += [f"not used: {problem}" for problem in document["problems"].values()]
    return document, "\n".join([table(rows, ["class", "share %", "images", "colour", *METHODS]), "", *lines])


def split(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets split`: a new split as a file, for `--split-file`."""
    from segmodels.data.dataset import SPLITS
    from segmodels.data.datasets import open_dataset
    from segmodels.data.split import regroup, source_of, split_by_source, write_split
    from segmodels.files import user_path

    shares = _shares(parsed.shares)
    out = user_path(parsed.out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: name a file, such as {out / 'split.json'}")
    dataset = open_dataset(parsed.data, parsed.root, form=parsed.form)
    samples = sorted((sample for name in SPLITS for sample in dataset.listed(name)), key=lambda sample: sample.id)
    if parsed.by is not None:
        samples = regroup(samples, parsed.by)
    dealt = split_by_source(samples, seed=parsed.seed, shares=shares)
    rows = [
        {"split": name, "pictures": len(members), "sources": len({source_of(sample) for sample in members})}
        for name, members in dealt.items()
    ]
    write_split(out, dealt, data=dataset.name, seed=parsed.seed, by=parsed.by, shares=shares)
    text = table(rows, ["split", "pictures", "sources"])
    return {"data": parsed.data, "file": str(out), "splits": rows}, f"{text}\n\nuse it with --split-file {out}"


def convert(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`datasets convert`: one form into another."""
    from segmodels.data.convert import convert as write
    from segmodels.files import user_path

    dataset, terminal = _open(parsed), Terminal()
    out = user_path(parsed.out)
    try:
        document = write(dataset, out, parsed.to, progress=terminal.progress)
    finally:
        terminal.close()
    left_out = [f"left out: {row}" for row in map(_line, document.get("left_out", []))]
    return document, "\n".join([*left_out, f"{parsed.data} is in {out}, as {parsed.to}"])


def _line(row: Any) -> str:
    return ": ".join(str(value) for value in row.values()) if isinstance(row, dict) else str(row)


def _shares(text: str) -> dict[str, float]:
    """The shares of "0.8,0.1,0.1" by split; a split of share 0 is left out."""
    from segmodels.data.dataset import SPLITS

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    # `not (a <= b)` refuses NaN too.
    if len(numbers) != len(SPLITS) or not all(0 <= number <= 1e6 for number in numbers) or numbers[0] == 0:
        raise UserError(f"--shares {text}: write the shares of train, validation and test, such as 0.8,0.1,0.1")
    return {name: share for name, share in zip(SPLITS, numbers, strict=True) if share > 0}


def _three(values: list[float | None]) -> str:
    return " ".join("-" if value is None else f"{value:.1f}" for value in values)


def _cut(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[: most - 2] + " …"
