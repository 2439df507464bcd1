"""One model: what it is and does, how good it is and how it became so, its files, and what can be done with it."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
import yaml

from segmodels.data.datasets import DATASETS, dataset_type
from segmodels.files import whole
from segmodels.hub.checkpoint import Spec, read_spec
from segmodels.models.architectures import IMPORTED
from segmodels.training.rows import read_rows
from ui.curves import FIGURES, Drawn, curves, is_there, said
from ui.frame import in_place, plain
from ui.models import usable_models
from ui.models_actions import model_actions
from ui.models_export import export_view
from ui.models_glance import Glance, contract_of, glance, network_of, preview, read_metrics
from ui.models_links import MODEL
from ui.models_list import back, models_list
from ui.models_parts import date, kind_badge, legend, size, unlinked
from ui.models_pull import update_view
from ui.summary_view import summary_view

#: Pictures that are shown, and letters of a card.
PICTURES, CARD = 3, 60_000
#: Bytes of a history that is read to be drawn: some thousand epochs.
MOST_HISTORY = 2_000_000
#: Curves that are drawn, by their names in `ui.curves.FIGURES`.
CURVES = ("loss", "accuracy", "mean IoU")
TITLES = {
    "mean_iou": "Mean IoU", "mean_dice": "Mean Dice", "pixel_accuracy": "Accuracy", "precision": "Precision",
    "recall": "Recall", "f1": "F1",
}  # fmt: skip


def models_view() -> None:
    """Draw the model that the address names, or all of them."""
    name = st.query_params.get(MODEL)
    if name is None:
        models_list()
        return
    back()
    if (model := usable_models().get(name)) is None:
        st.warning(f"{unlinked(name[:200])} is not here, or not any more.", icon=":material/search_off:")
        models_list()
        return
    model_view(glance(name, model))


def model_view(seen: Glance) -> None:
    """Draw one of them."""
    st.header(plain(seen.name), anchor=False)
    if seen.problem:
        st.error(unlinked(seen.problem), icon=":material/broken_image:")
        model_actions(seen)
        return
    with in_place():
        spec = read_spec(seen.model.path)
        left, right = st.columns([3, 2], gap="large")
        with left:
            _pictures(seen)
        with right:
            _facts(seen, spec)
        model_actions(seen)
        if seen.model.pulled:
            with st.expander("The Hub", icon=":material/cloud_download:", expanded=True), in_place():
                update_view(seen.model.pulled)
        _figures(seen)
        _history(seen)
        _more(seen, spec)


def _pictures(seen: Glance) -> None:
    shown = [picture for path in seen.previews[:PICTURES] if (picture := preview(seen, path))]
    for number, picture in enumerate(shown, 1):
        st.image(picture, width="stretch", alt=f"Picture, truth and prediction {number} of {seen.name}")
    if shown:
        st.caption("Picture, truth, prediction, as they came with the model")


def _facts(seen: Glance, spec: Spec) -> None:
    kind_badge(seen)
    data = str(spec.recipe.get("data") or "")
    lines = [f"**{unlinked(seen.network)}**", f"{len(seen.labels)} classes"]
    if data in DATASETS:
        kind = dataset_type(data)
        lines.append(f"Trained on {unlinked(kind.title)} ({unlinked(kind.licence)})")
    elif data:
        lines.append(f"Trained on {unlinked(data[:200])}")
    lines.append(contract_of(spec.input))
    lines.append(
        f"{unlinked(size(seen.size))} on the disk, {'pulled' if seen.model.pulled else 'of'} {date(seen.when)}"
    )
    st.markdown("\n".join(f"- {line}" for line in lines))
    legend(seen.labels, 60)
    if seen.model.run is not None:
        st.page_link(
            "pages/2_Train.py", label="The run", icon=":material/model_training:",
            query_params={"part": "Watch", "run": seen.model.run.id},
        )  # fmt: skip
    st.caption("In Python")
    lines = ["import segmodels", "", f'result = segmodels.Predictor({seen.name!r})("photo.jpg")']
    st.code("\n".join([*lines, 'result.overlay().save("overlay.png")']), wrap_lines=True)


def _figures(seen: Glance) -> None:
    """Of the test or the validation split, and of each class."""
    figures = read_metrics(whole(seen.model.path))
    if not figures.whole:
        st.caption("It came without figures: evaluate it to know how good it is.")
        return
    st.markdown("#### How good it is")
    epoch = f", after epoch {figures.epoch}" if figures.epoch is not None else ""
    whose = "Its maker's figures" if seen.model.kind == "pulled" else "Figures"
    size = "each picture's own size" if figures.split == "test" else "the size that it sees"
    st.caption(f"{whose} on the {figures.split} part of its data, at {size}{epoch}. Evaluate measures anew.")
    with st.container(horizontal=True, gap="small"):
        for key, title in TITLES.items():
            if key in figures.whole:
                st.metric(title, f"{figures.whole[key]:.4f}", width=120)
    if figures.classes:
        _classes(figures.classes)


def _classes(rows: list[dict[str, Any]]) -> None:
    shares = {"IoU": "iou", "Dice": "dice", "Precision": "precision", "Recall": "recall"}
    columns: dict[str, Any] = {
        title: st.column_config.ProgressColumn(format="%.3f", min_value=0, max_value=1) for title in shares
    }
    columns["Class"] = st.column_config.TextColumn(pinned=True)
    columns["Pixels"] = st.column_config.NumberColumn(format="localized", help="In the truth")
    table = [
        {"Class": row["name"], **{title: row.get(key) for title, key in shares.items()}, "Pixels": row["pixels"]}
        for row in rows
    ]
    st.dataframe(table, hide_index=True, column_config=columns, key="model-classes", alt="The figures of each class")


def _history(seen: Glance) -> None:
    if any(file.path == "history.csv" and file.size > MOST_HISTORY for file in seen.files):
        st.caption("Its history is too long to be drawn here.")  # a stranger's may be, to keep all others waiting
        return
    rows = read_rows(whole(seen.model.path) / "history.csv")[:10_000]
    there = [name for name in CURVES if is_there(FIGURES[name], rows)]
    if len(rows) < 2 or not there:
        return
    st.markdown("#### How it became so")
    drawn = [Drawn(seen.name, rows, best_epoch=seen.epoch)]
    for column, name in zip(st.columns(len(there)), there, strict=True):
        figure = FIGURES[name]
        column.plotly_chart(
            curves(figure, drawn, steps=False, smoothing=0.0, log=False, key=seen.name), key=f"model-curve-{name}",
            config={"displaylogo": False}, alt=said(figure, drawn),
        )  # fmt: skip


def _more(seen: Glance, spec: Spec) -> None:
    with in_place():
        export_view(seen)
    network = spec.architecture
    for number, part in enumerate(network.members if network.is_ensemble else [network]):
        if part.name != IMPORTED:  # what was imported is no architecture that can be built by its name
            summary_view(
                part.name, part.backbone, part.classes, spec.input.size, dict(part.options),
                name=f"network{number or ''}", label=f"The network: {network_of(part)}",
            )  # fmt: skip
    with st.expander("Recipe and input contract", icon=":material/receipt_long:"):
        st.caption(contract_of(spec.input))
        st.code(_as_text({"input": spec.input.model_dump(), "recipe": spec.recipe}), language="yaml")
    with st.expander("Its card, as text", icon=":material/description:"):
        st.caption("README.md as it came. It is shown as it is written and nothing in it is followed.")
        st.code(_card(seen), language=None, wrap_lines=True)
    with st.expander("Files", icon=":material/folder:"):
        rows = [{"File": file.path, "Size": size(file.size), "Bytes": file.size} for file in seen.files]
        numbers = {"Bytes": st.column_config.NumberColumn(format="localized")}
        st.dataframe(rows, hide_index=True, column_config=numbers, key="model-files", alt="Its files and their sizes")
        st.caption(plain(str(seen.model.path)))


def _as_text(document: dict[str, Any]) -> str:
    """A document as YAML; a huge one or one of many levels, which take long or cannot be written so, as JSON."""
    text = ""
    try:
        text = json.dumps(document)
        if len(text) <= CARD:
            return yaml.safe_dump(json.loads(text), sort_keys=False)[:CARD]
    except RecursionError:
        pass
    return text[:CARD]


def _card(seen: Glance) -> str:
    """The card's text, as far as it is one."""
    try:
        with (whole(seen.model.path) / "README.md").open("rb") as file:
            text = file.read(CARD).decode("utf-8", "replace")
    except OSError:
        return "It has none."
    shown = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")  # none that turns text round
    return shown or "It is empty."
