"""Models: those that are here, those of the Hugging Face Hub, and the way between."""

import streamlit as st

from ui.frame import in_place, page
from ui.models_links import KEY, PARTS, take_next

page("Models", ":material/deployed_code:", "What is trained, shipped or pulled: looked at, shared, exported, deleted.")

take_next()
first, second, third, fourth = st.tabs(PARTS, key=KEY, on_change="rerun", bind="query-params")
if first.open:
    with first, in_place():
        from ui.models_view import models_view

        models_view()
if second.open:
    with second, in_place():
        from ui.models_pull import pull_view

        pull_view()
if third.open:
    with third, in_place():
        from ui.models_push import push_view

        push_view()
if fourth.open:
    with fourth, in_place():
        from ui.models_import import import_view

        import_view()
