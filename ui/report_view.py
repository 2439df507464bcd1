"""The report of one model on one split: its figures and classes, what it confuses, its worst pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.errors import UserError
from segmodels.evaluation.reports import Report
from segmodels.files import slug
from ui.confusion_view import confusion_view
from ui.evaluation_data import evaluated_dataset
from ui.frame import in_place, plain
from ui.report_counts import counts_of, scores_of
from ui.report_pictures import ReportPictures
from ui.score_charts import reliability_chart
from ui.scores_view import scores_csv, scores_view

#: Figures of the head: title, what it means, and where the document has it.
HEAD = (
    ("Accuracy", "The share of the pixels that are right", ("pixel_accuracy",)),
    ("Mean IoU", "Intersection over union, a mean over the classes in the truth", ("mean_iou",)),
    ("Mean Dice", "A mean over the classes in the truth", ("mean_dice",)),
    ("F1", "The harmonic mean of macro precision and macro recall", ("f1",)),
    ("Loss", "Of the model's recipe, at the size at which the model sees", ("loss",)),
    ("Boundary IoU", "Of the pixels near the outlines, a mean over the classes", ("boundary", "iou")),
    ("Boundary F1", "Outlines that lie within the boundary width of each other, a mean over the classes",
     ("boundary", "f1")),
    ("ECE", "Expected calibration error: how far the model's confidence is from how often it is right",
     ("calibration", "ece")),
)  # fmt: skip
#: The same of objects.
OBJECTS = (
    ("AJI", "Aggregated Jaccard index", "aji"),
    ("AJI+", "The same with each object matched once", "aji_plus"),
    ("PQ", "Panoptic quality: DQ times SQ", "pq"),
    ("DQ", "Detection quality", "dq"),
    ("SQ", "Segmentation quality: mean IoU of the matched objects", "sq"),
    ("Object F1", "Objects found, at an IoU of 0.5", "f1"),
    ("Dice", "Everything but background against everything but background, a mean over the pictures", "dice"),
)
#: Columns of the table of classes that are shares.
SHARES = {
    "IoU": "iou", "Dice": "dice", "Precision": "precision", "Recall": "recall",
    "Boundary IoU": "boundary_iou", "Boundary F1": "boundary_f1",
}  # fmt: skip


def report_view(
    report: Report,
    dataset: Dataset | None = None,
    *,
    model: Path | None = None,
    key: str = "report",
    name: str = "Prediction",
) -> None:
    """Draw a report.

    Args:
        report: as it is kept.
        dataset: what was evaluated on; opened as it was for the evaluation where None.
        model: the checkpoint directory, where it is not that of the report any more.
        key: what the keys of the widgets and the parameters in the address begin with; one a report on a page.
        name: what the viewer calls the model's masks.
    """
    document = report.document
    pictures = _pictures(document, dataset, model or Path(document["model"]), name, key)
    _head(document)
    _downloads(report, key)
    _classes(document, key)
    st.markdown("#### What is taken for what")
    confusion_view(report, pictures, key)
    st.markdown("#### Picture by picture")
    scores_view(report, pictures, key)
    st.markdown("#### As sure as right")
    _reliability(document, key)


def _pictures(
    document: Mapping[str, Any], dataset: Dataset | None, model: Path, name: str, key: str
) -> ReportPictures | None:
    """Where the pictures are; None, and why, where they cannot be shown."""
    try:
        if dataset is None:
            dataset = evaluated_dataset(model, document["data"], document.get("root"))
        return ReportPictures(dataset, model, name, key)
    except UserError as error:
        st.warning(f"Shown without its pictures: {plain(str(error))}", icon=":material/folder_off:")
        return None


def _head(document: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, gap="small"):
        for title, meaning, place in HEAD:
            value: Any = document
            for part in place:
                value = value.get(part) if isinstance(value, dict) else None
            st.metric(title, figure(value), help=meaning, width=103)
    if isinstance(objects := document.get("instances"), dict):
        with st.container(horizontal=True, gap="small"):
            for title, meaning, part in OBJECTS:
                st.metric(title, figure(objects.get(part)), help=f"{meaning}; objects of each picture", width=103)
    width = document["boundary"].get("width")
    parts = [
        f"{document['images']:,} pictures of the {plain(document['split'])} split",
        f"compared at {'their own' if document['at'] == 'native' else 'the model’s'} size",
        f"boundary width {f'{width} pixels' if width else '0.75 % of the diagonal'}",
    ]
    if skipped := document.get("skipped"):
        parts.append(f"{skipped:,} that cannot be read left out")
    if isinstance(speed := document.get("images_per_second"), int | float):
        parts.append(f"{speed:.3g} pictures a second")
    st.caption(" · ".join(parts))


def figure(value: Any) -> str:
    """A figure as the head shows it; a dash where there is none."""
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _downloads(report: Report, key: str) -> None:
    stem = slug(f"{Path(report.document['model']).parent.name}-{report.document['split']}", most=60)
    with st.container(horizontal=True):
        st.download_button(
            "report.json", lambda: json.dumps(report.document, indent=2, ensure_ascii=False), f"{stem}-report.json",
            "application/json", on_click="ignore", icon=":material/download:", key=f"{key}-json",
        )  # fmt: skip
        try:
            counts_of(report)
        except UserError:  # it is said where the pictures would be
            return
        st.download_button(
            "Scores of each picture (CSV)", lambda: scores_csv(counts_of(report).ids, scores_of(report)),
            f"{stem}-scores.csv", "text/csv", on_click="ignore", icon=":material/download:", key=f"{key}-csv",
        )  # fmt: skip


def _classes(document: Mapping[str, Any], key: str) -> None:
    total = max(1, sum(row.get("pixels") or 0 for row in document["classes"]))
    rows = [
        {
            "Class": row["name"],
            **{title: row.get(part) for title, part in SHARES.items()},
            "Pixels": row.get("pixels"),
            "Share": 100 * (row.get("pixels") or 0) / total,
        }
        for row in document["classes"]
    ]
    columns: dict[str, Any] = {
        title: st.column_config.ProgressColumn(format="%.3f", min_value=0, max_value=1, width=102) for title in SHARES
    }
    columns["Class"] = st.column_config.TextColumn(pinned=True)
    columns["Pixels"] = st.column_config.NumberColumn(format="localized", help="In the truth", width=90)
    columns["Share"] = st.column_config.NumberColumn(format="%.1f %%", help="Of all pixels that count", width=70)
    st.dataframe(rows, hide_index=True, column_config=columns, key=f"{key}-classes", alt="The figures of each class")


def _reliability(document: Mapping[str, Any], key: str) -> None:
    with in_place():
        try:
            bins = [
                {name: row[name] for name in ("low", "high", "pixels", "confidence", "accuracy")}
                for row in document["calibration"]["bins"]
            ]
            figures = reliability_chart(bins)
        except (KeyError, TypeError):
            raise UserError("the report has no reliability curve: evaluate the model again") from None
        with st.container(width=760):
            st.plotly_chart(
                figures,
                key=f"{key}-reliability",
                config={"displayModeBar": False},
                alt="How often the pixels are right by how sure the model is of them",
            )
        st.caption(
            "How often a pixel is right (line) by the model's confidence in it, and how many pixels are that sure "
            "(bars). Below the dotted line it is surer than right. The expected calibration error is the mean distance "
            f"from that line: {figure(document['calibration'].get('ece'))}."
        )
