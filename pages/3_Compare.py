"""Compare: architectures, recipes and models under one protocol; which differences are real; how one model does."""

import streamlit as st

from segmodels.evaluation.compare.comparison import list_comparisons
from ui.compare_links import ALL, KEY, NEW, PARTS, take_next
from ui.comparison_form import comparison_form
from ui.comparison_list import choose_comparison
from ui.comparison_view import comparison_view
from ui.frame import in_place, page

page("Compare", ":material/compare:", "Several models under one protocol, and which of their differences are real.")

take_next()
if KEY not in st.session_state and KEY not in st.query_params:
    st.session_state[KEY] = ALL if list_comparisons() or "comparison" in st.query_params else NEW
first, second, third, fourth = st.tabs(PARTS, key=KEY, on_change="rerun", bind="query-params")
if first.open:
    with first, in_place():
        if (comparison := choose_comparison()) is not None:
            comparison_view(comparison)
if second.open:
    with second, in_place():
        comparison_form()
if third.open:
    with third, in_place():
        from ui.evaluate_view import evaluate_view

        evaluate_view()
if fourth.open:
    with fourth, in_place():
        from ui.search_view import searches_view

        searches_view()
