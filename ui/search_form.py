"""The form of a new search: its space as text, which is checked as it stands, and what starts it."""

from __future__ import annotations

import streamlit as st

from segmodels.cluster.connection import missing_ray
from segmodels.search.conduct import begin
from segmodels.search.search import Search
from segmodels.search.space import Space, values_text
from ui.field_widgets import KEPT
from ui.frame import plain
from ui.search_place import choose_place

EXAMPLE = """\
search:
  method: asha          # or random; grid tries all of what are lists
  trials: 12
  metric: val_mean_iou  # of the best epoch
  grace: 3              # epochs that every trial gets
  reduction: 3          # of three trials one goes on, at each rung

recipe:                 # what all trials have
  data: toy-pets
  image_size: 64
  epochs: 12
  options: {width: 8, depth: 3}

space:                  # what they differ in
  learning_rate: {log: [0.0003, 0.03]}
  batch_size: [4, 8, 16]
  loss: [cross_entropy, dice, cross_entropy+dice]
  augment: [none, light]
  momentum: {uniform: [0.8, 0.99]}
"""
#: Trials that are shown before a search begins.
SHOWN = 5


def search_form() -> None:
    """Draw it; once it is started the search is shown."""
    if said := missing_ray():
        st.info(f"A search needs Ray. {plain(said)}.", icon=":material/extension:")
        return
    text = st.text_area("Space", EXAMPLE, height=420, key="search-space", max_chars=20_000, persist_state=KEPT)
    name = st.text_input("Name", max_chars=100, key="search-name", placeholder="what it is for")
    on, resources = choose_place("search-place")
    space = Space.parse(text or "")
    trials = space.trials()
    st.markdown(f"**{len(trials)}** {'run' if len(trials) == 1 else 'runs'} to train")
    st.markdown("\n".join(f"- {plain(values_text(values))}" for values in trials[:SHOWN]))
    if len(trials) > SHOWN:
        st.caption(f"and {len(trials) - SHOWN} more")
    if st.button("Start the search", type="primary", icon=":material/play_arrow:", key="search-start"):
        search = Search.create(space, name=(name or "").strip(), on=on, resources=resources)
        begin(search)
        st.session_state["search-next"] = search.id
        st.rerun()
