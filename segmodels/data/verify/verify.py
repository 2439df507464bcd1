"""`verify`: read every file of a data set once and tell all that is wrong or odd."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from segmodels.data.ahead import ahead, decoders
from segmodels.data.dataset import SPLITS, Dataset, Finding, Progress, Sample
from segmodels.data.disk import Stop, Stopped
from segmodels.data.verify.look import SUFFIXES, look, place_of, wrong_suffix
from segmodels.data.verify.report import Report, files_of, keep, kept_report
from segmodels.data.verify.whole import (
    Checked,
    class_balance,
    duplicates,
    name_clashes,
    near_duplicates,
    sources_across_splits,
)
from segmodels.errors import UserError


def verify(
    dataset: Dataset, *, progress: Progress | None = None, stop: Stop | None = None, again: bool = False
) -> Report:
    """Find the defects of a data set, each with what will be done about it.

    Every picture and mask is decoded once, in threads; of each only some hundred bytes are kept. The report is kept in
    the home's `cache/verify/` until a file comes, goes or changes, so that asking again costs a look at the folder.

    The kinds of findings, beside those of the data set's own `inspect` and `inspect_files`:

    - of a file: missing, truncated, unreadable, wrong-suffix, wrong-mask (whole, but of no use), wrong-value,
      size-mismatch, empty-mask (one class alone, or nothing that counts);
    - of pictures: duplicate, duplicate-across-splits, near-duplicate-across-splits, source-across-splits, name-clash;
    - of classes: rare-class, absent-class, class-missing-in-split.

    Args:
        progress: called with pictures done, pictures in all, and what is being done.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped` and keeps nothing.
        again: check even if a report is kept.

    Raises:
        UserError: the report cannot be written. Nothing in the files makes it raise.
    """
    if not again and (kept := kept_report(dataset)) is not None:
        return kept
    samples = {split: dataset.samples(split) for split in SPLITS}
    pairs = [(split, sample) for split in SPLITS for sample in samples[split]]

    def tell(done: int, what: str) -> None:
        if stop is not None and stop():
            raise Stopped(f"stopped while {what}; check again to begin anew")
        if progress is not None:
            progress(done, max(1, len(pairs)), what)

    tell(0, "looking at the files")
    findings = [*_of_the_whole(dataset), *name_clashes(samples), *sources_across_splits(samples)]
    findings += _wrong_suffixes(dataset, samples, tell)
    checked: list[Checked] = []
    with closing(ahead(lambda pair: look(dataset, pair[1], pair[0]), pairs, threads=decoders())) as seen:
        for done, ((split, sample), one) in enumerate(zip(pairs, seen, strict=True), start=1):
            checked.append(Checked(split, sample, one))
            findings += one.findings
            tell(done, "checking pictures")
    tell(0, "comparing pictures")
    findings += duplicates(dataset, checked)
    findings += near_duplicates(dataset, checked)
    findings += class_balance(dataset, checked)
    report = Report(
        data=dataset.name,
        root=str(dataset.root) if dataset.root is not None else None,
        samples={split: len(members) for split, members in samples.items()},
        usable={split: sum(one.seen.pixels is not None for one in checked if one.split == split) for split in SPLITS},
        findings=_in_order(dataset, findings, pairs),
    )
    keep(report, dataset)
    tell(max(1, len(pairs)), "comparing pictures")
    return report


def _of_the_whole(dataset: Dataset) -> list[Finding]:
    try:
        return dataset.inspect_files()
    except Exception as error:  # as with a sample: it must not end the check
        message = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return [Finding("unreadable", dataset.name, " ".join(str(message).split())[:300], "passed over")]


def _wrong_suffixes(
    dataset: Dataset, samples: dict[str, list[Sample]], tell: Callable[[int, str], None]
) -> list[Finding]:
    """Pictures that are of another format than their name says: those of the samples and all others below the root."""
    owners: dict[Path, tuple[str, str]] = {}
    for split, members in samples.items():
        for sample in members:
            for path in (sample.image_path, sample.mask_path):
                if path is not None:
                    owners.setdefault(path, (sample.id, split))
    others = (path for path in files_of(dataset) if path not in owners)
    paths = [path for path in [*owners, *others] if path.suffix.lower() in SUFFIXES]
    findings = []
    with closing(ahead(wrong_suffix, paths, threads=decoders())) as answers:
        for path, wrong in zip(paths, answers, strict=True):
            tell(0, "looking at the files")
            if wrong:
                sample_id, split = owners.get(path, ("", ""))
                action = "read by its content all the same" if split else "not read: it belongs to no split"
                findings.append(Finding("wrong-suffix", place_of(dataset, path), wrong, action, sample_id, split))
    return findings


def _in_order(dataset: Dataset, findings: list[Finding], pairs: list[tuple[str, Sample]]) -> list[Finding]:
    """Of the whole first, then in the order of the samples; what is told twice is told once."""
    split_of = {sample.id: split for split, sample in pairs}
    place = {sample.id: index for index, (_, sample) in enumerate(pairs)}
    unique: dict[Finding, None] = {}
    for finding in findings:
        where = Path(finding.where)
        unique[
            replace(
                finding,
                where=place_of(dataset, where) if where.is_absolute() else finding.where,
                split=finding.split or split_of.get(finding.sample, ""),
            )
        ] = None
    return sorted(unique, key=lambda finding: place.get(finding.sample, -1))
