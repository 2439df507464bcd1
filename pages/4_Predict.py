"""Predict: pictures in, their masks out, at the pictures' own size."""

import streamlit as st

from ui.frame import in_place, page
from ui.prediction_choice import choose_how, choose_models
from ui.prediction_many import many_view
from ui.prediction_picture import choose_page
from ui.prediction_prepare import prepare_view
from ui.prediction_result import forget
from ui.prediction_several import several_view
from ui.prediction_source import choose_pictures
from ui.prediction_view import prediction_view

page(
    "Predict",
    ":material/draw:",
    "Drop in pictures and get their masks. They stay where this app runs and are forgotten with the tab.",
)


def main() -> None:
    models = choose_models()
    if not models:
        return
    pictures = choose_pictures(models[0].data)
    how = choose_how()
    preparing = st.container()
    if len(pictures) > 1:
        many_view(models, pictures, how)
    elif pictures:
        chosen = choose_page(pictures[0])
        if len(models) > 1:
            several_view(models, chosen, how)
        else:
            prediction_view(models[0], chosen, how)
    else:
        forget()
    with preparing:
        prepare_view(models, how)


with in_place():
    main()
