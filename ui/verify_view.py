"""Checking the files of a data set: a check runs beside the pages, can be stopped, and ends in a table."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from dataclasses import dataclass, field

import streamlit as st

from segmodels.data.dataset import SPLITS, Dataset, Finding
from segmodels.data.disk import Stopped
from segmodels.data.verify import Report, verify
from segmodels.errors import UserError
from ui import cached
from ui.browse_filters import open_picture
from ui.frame import plain

#: Seconds between two looks at a check.
LOOK = 0.5


@dataclass
class Check:
    """The checks of one data set: how far the present one is, and since when what is known has stood still."""

    thread: threading.Thread | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    total: int = 1
    what: str = ""
    error: str = ""
    since: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self, dataset: Dataset) -> None:
        """Begin, unless a check is under way."""
        if self.running:
            return
        self.stop.clear()
        self.done, self.total, self.what, self.error = 0, 1, "starting", ""
        self.thread = threading.Thread(target=self._run, args=(dataset,), name="verify", daemon=True)
        self.thread.start()

    def _run(self, dataset: Dataset) -> None:
        try:
            verify(dataset, progress=self._tell, stop=self.stop.is_set, again=True)
        except Stopped:
            pass
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            self.error = f"the check failed: {type(error).__name__}: {error}"
            raise
        finally:
            self.since = time.monotonic()

    def _tell(self, done: int, total: int, what: str) -> None:
        self.done, self.total, self.what = done, total, what


def verify_view(name: str, root: str | None) -> None:
    """A button that checks every file, how far it is, and what was found."""
    check = _check(name, root)
    st.fragment(_progress, run_every=LOOK if check.running else None)(name, root, check.running)
    report = cached.report(name, root, check.since)
    if report is not None:
        _findings(report)


@st.cache_resource(show_spinner=False, max_entries=64)
def _check(name: str, root: str | None) -> Check:
    """One for all sessions: of two people who ask for the same check, the second watches the first one's."""
    return Check()


def _progress(name: str, root: str | None, was_running: bool) -> None:
    check = _check(name, root)
    running = check.running
    if was_running != running:
        st.rerun()  # the whole page, which then begins or stops looking
    if running:
        st.progress(min(1.0, check.done / check.total), plain(f"{check.what}: {check.done} of {check.total}"))
        st.button("Stop", icon=":material/stop:", key="verify-stop", on_click=check.stop.set)
        return
    known = cached.report(name, root, check.since) is not None
    if not known:
        st.caption(
            "Decodes every picture and mask and tells what is wrong with each: damaged files, wrong sizes and values, "
            "pictures that stand twice or on both sides of the split, rare classes. No file is changed."
        )
    st.button(
        "Check again" if known else "Check every file", icon=":material/fact_check:", key="verify-start",
        on_click=_start, args=(name, root),
    )  # fmt: skip
    if check.error:
        st.error(plain(check.error), icon=":material/error:")


def _start(name: str, root: str | None) -> None:
    _check(name, root).start(cached.dataset(name, root))


def _findings(report: Report) -> None:
    usable = ", ".join(f"**{report.usable[split]}** of {report.samples[split]} in {split}" for split in SPLITS)
    st.markdown(f"Usable: {usable}.")
    if not report.findings:
        st.success("Nothing wrong was found.", icon=":material/check_circle:")
        return
    counts = report.counts
    chosen = st.pills(
        "Only", list(counts), selection_mode="multi", key="verify-kinds",
        format_func=lambda kind: f"{plain(kind)} ({counts[kind]})" if kind in counts else plain(kind),
    )  # fmt: skip
    kept = [finding for finding in report.findings if not chosen or finding.kind in chosen]
    rows = [_row(finding) for finding in kept]
    # The name comes first and the folder last: a path would hide what is wrong.
    shown = [{**row, "File": row["File"].rpartition("/")[2], "Folder": row["File"].rpartition("/")[0]} for row in rows]
    picked = st.dataframe(
        shown, hide_index=True, key="verify-table", alt="What is wrong, by file",
        column_order=["File", "What", "Action", "Kind", "Split", "Folder"],
        on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    at = next(iter(picked.selection.rows), None)  # type: ignore[attr-defined]
    finding = kept[at] if at is not None and at < len(kept) else None
    if finding is not None and finding.sample:
        st.button(
            f"Open {plain(finding.sample)}", icon=":material/open_in_full:", key="verify-open",
            on_click=open_picture, args=(finding.split, finding.sample, finding.kind),
        )  # fmt: skip
    else:
        st.caption("A picture opens from its row; what has no picture is about the set as a whole.")
    with st.container(horizontal=True):
        document = json.dumps(report.document(), indent=2, ensure_ascii=False)
        st.download_button(
            "JSON", document, "findings.json", "application/json", icon=":material/download:", on_click="ignore"
        )
        st.download_button("CSV", _csv(rows), "findings.csv", "text/csv", icon=":material/download:", on_click="ignore")


def _row(finding: Finding) -> dict[str, str]:
    return {
        "Split": finding.split,
        "Kind": finding.kind,
        "File": finding.where,
        "What": finding.message,
        "Action": finding.action,
    }


def _csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
