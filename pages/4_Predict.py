"""Predict: a picture in, its mask out, at the picture's own size."""

import streamlit as st
from PIL import Image

from segmodels.errors import UserError
from segmodels.hub.checkpoint import read_spec
from segmodels.prediction.masks import foreground
from ui import cached, charts
from ui.frame import in_place, page, plain
from ui.links import linked_selectbox
from ui.models import usable_models

#: Wider pictures are shown smaller; what is downloaded keeps its size.
SHOWN = 1400

page(
    "Predict",
    ":material/draw:",
    "Drop in a picture and get its mask. It stays on this computer and is forgotten with the tab.",
)


def main() -> None:
    models = usable_models()
    if not models:
        st.info("There is no trained model yet.", icon=":material/flag:")
        st.page_link("pages/2_Train.py", label="Train one", icon=":material/arrow_forward:")
        return
    name = linked_selectbox("Model", list(models), key="model", format_func=lambda n: models[n].title)
    path = models[name].path
    spec = read_spec(path)

    chosen = picture(spec.recipe.get("data"))
    if chosen is None:
        return
    label, content = chosen
    with in_place():
        show(cached.predictor(path), label, content)


def picture(data: str | None):
    """What the user gives: a name, and bytes of a file or an array; None before that."""
    upload, example = st.columns([2, 1], vertical_alignment="bottom")
    given = upload.file_uploader("Picture", key="upload", help="JPEG, PNG, TIFF, WebP, BMP or GIF, up to 64 megapixels")
    if given is not None:
        return given.name, given.getvalue()
    if not data:
        return None
    try:
        opened = cached.dataset(data, None)
        samples = {sample.id: sample for sample in opened.samples("test")}
    except UserError:
        return None
    sid = example.selectbox(
        "… or one of its test pictures", list(samples), index=None, key=f"example-{data}", placeholder="Choose"
    )
    return (sid, opened.read_image(samples[sid])) if sid else None


def show(predictor, label: str, content) -> None:
    with st.spinner("Predicting …"):
        result = predictor(content, name=label)
        height, width = result.mask.shape
    controls, chart = st.columns([1, 1], vertical_alignment="center")
    with controls:
        names = [item.name for item in result.labels]
        shown = st.pills(
            "Classes shown",
            names,
            selection_mode="multi",
            format_func=plain,
            default=[names[i] for i in foreground(result.labels)],
            key=f"shown-{'-'.join(names)}",
        )
        opacity = st.slider("Mask opacity", 0, 100, 50, 5, format="%d %%", key="predict-opacity") / 100
        st.caption(
            f"{plain(label)}: {width} x {height} pixels, mean confidence {100 * float(result.confidence.mean()):.0f} %"
        )
    chart.plotly_chart(
        charts.shares(result.labels, list(result.shares.values())), key="shares",
        config={"displayModeBar": False}, alt="Share of the pixels of each class",
    )  # fmt: skip

    overlaid = result.overlay(opacity=opacity, shown=[i for i, n in enumerate(names) if n in shown])
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in result.shares.items())
    first, second, third = st.columns(3)
    first.image(smaller(Image.fromarray(result.image)), caption="Picture", width="stretch", alt=f"The picture {label}")
    second.image(smaller(overlaid), caption="Overlay", width="stretch", alt=f"The picture under its mask: {said}")
    third.image(smaller(result.indexed().convert("RGB")), caption="Mask", width="stretch", alt=f"The mask: {said}")
    stem = label.rsplit(".", 1)[0]
    with st.container(horizontal=True):
        st.download_button(
            "Mask (class ids, PNG)", lambda: cached.png(result.indexed()), f"{stem}-mask.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        st.download_button(
            "Overlay (PNG)", lambda: cached.png(overlaid), f"{stem}-overlay.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def smaller(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.thumbnail((SHOWN, SHOWN))
    return image


with in_place():
    main()
