"""What `verify` found, and where it is kept so that asking again costs nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segmodels.data.dataset import SPLITS, Dataset, Finding
from segmodels.data.datasets.pictures import files_below
from segmodels.errors import UserError
from segmodels.files import read_json, state_of, write_json
from segmodels.home import home

#: Change this when the same files would give other findings.
VERSION = 1

#: More files than this below a root are not looked at one by one.
MOST_FILES = 500_000


@dataclass(frozen=True)
class Report:
    """The defects of a data set.

    Attributes:
        data: the name of the data set.
        root: its folder, or None where it is generated.
        samples: how many each split has.
        usable: how many of them can be read, by split.
        findings: of the whole data set first, then by split and sample.
    """

    data: str
    root: str | None
    samples: dict[str, int]
    usable: dict[str, int]
    findings: list[Finding]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings of each kind there are, the most frequent first."""
        return dict(Counter(finding.kind for finding in self.findings).most_common())

    def document(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "data": self.data,
            "root": self.root,
            "samples": self.samples,
            "usable": self.usable,
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Report:
        """The report that `document` made."""
        findings = [Finding(**finding) for finding in document["findings"]]
        return cls(document["data"], document["root"], document["samples"], document["usable"], findings)


def kept_report(dataset: Dataset) -> Report | None:
    """The report of an earlier check, unless a file has come, gone or changed since."""
    try:
        return Report.of(read_json(_place(dataset), limit=500_000_000))
    except (UserError, KeyError, TypeError):
        return None


def keep(report: Report, dataset: Dataset) -> None:
    """Write a report where `kept_report` finds it."""
    write_json(_place(dataset), report.document())


def files_of(dataset: Dataset) -> list[Path]:
    """The files below the data set's root, in a fixed order; none where it is generated."""
    return [] if dataset.root is None else files_below(dataset.root)[:MOST_FILES]


def _place(dataset: Dataset) -> Path:
    """Where the report of this state of the files is kept: named by what is known without opening one of them."""
    about: list[object] = [VERSION, type(dataset).__name__, dataset.name, str(dataset.root), dataset.classes]
    about.append(dataset.reading())
    elsewhere: set[Path] = set()
    for split in SPLITS:
        samples = dataset.samples(split)
        about.append((split, [(sample.id, sample.source) for sample in samples]))
        if dataset.root is None:  # generated: the generator's version is what decides
            about.append(dataset.fingerprint(samples))
        for sample in samples:
            for path in (sample.image_path, sample.mask_path):
                if path is not None and (dataset.root is None or not path.is_relative_to(dataset.root)):
                    elsewhere.add(path)
    files = [*sorted(elsewhere), *files_of(dataset)]
    return home() / "cache" / "verify" / f"{state_of(files, *about)}.json"
