"""Predict: a picture in, its mask out, at the picture's own size."""

import streamlit as st

from segmodels.errors import UserError
from segmodels.hub.checkpoint import read_spec
from ui import cached
from ui.frame import in_place, page
from ui.links import linked_selectbox
from ui.models import usable_models
from ui.prediction_view import Chosen, prediction_view

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
    with in_place():
        prediction_view(path, str(spec.recipe.get("data") or "pictures"), chosen)


def picture(data: str | None) -> Chosen | None:
    """A file, or a test picture of the data set that the model was trained on; None before that."""
    upload, example = st.columns([2, 1], vertical_alignment="bottom")
    given = upload.file_uploader("Picture", key="upload", help="JPEG, PNG, TIFF, WebP, BMP or GIF, up to 64 megapixels")
    if given is not None:
        return Chosen(given.name, given.getvalue())
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
    return Chosen(sid, *opened.read(samples[sid])) if sid else None


with in_place():
    main()
