"""All models that are here, as cards: found by words, chosen to be opened, compared or used side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import streamlit as st

from ui.compare_links import KEY as COMPARE
from ui.compare_links import NEW
from ui.frame import in_place, plain
from ui.models import usable_models
from ui.models_glance import Glance, glance, preview, select
from ui.models_links import KEY, MODEL, PAGE, PULL, show_model
from ui.models_parts import KINDS, facts, kind_badge, legend, unlinked
from ui.prediction_choice import MOST

#: Cards on a page of the list, and beside each other.
CARDS, COLUMNS = 12, 3
#: What a list is sorted by; without an order as `usable_models` has them.
ORDERS: dict[str, Callable[[Glance], tuple] | None] = {
    "kind": None,
    "newest": lambda seen: (-seen.when,),
    "mean IoU": lambda seen: (seen.mean_iou is None, -(seen.mean_iou or 0)),
    "size": lambda seen: (-seen.size,),
    "name": lambda seen: (seen.name.casefold(),),
}


def models_list() -> None:
    """Draw the filters, what can be done with those that are chosen, and a page of cards."""
    rows = [glance(name, model) for name, model in usable_models().items()]
    if not rows:
        _empty()
        return
    found = _filtered(rows)
    _chosen(rows)
    st.caption(f"{len(found)} of {len(rows)} models")
    pages = max(1, -(-len(found) // CARDS))
    at = _page(pages)
    for start in range((at - 1) * CARDS, min(at * CARDS, len(found)), COLUMNS):
        for column, seen in zip(st.columns(COLUMNS), found[start : start + COLUMNS], strict=False):
            with column.container(border=True):
                _card(seen)


def _empty() -> None:
    st.info(
        "There is no model yet. Train one, which takes a few minutes on toy\\-pets and needs no download, or pull one "
        "from the Hugging Face Hub by its name.",
        icon=":material/flag:",
    )
    with st.container(horizontal=True):
        st.page_link("pages/2_Train.py", label="Train one on toy\\-pets", icon=":material/model_training:")
        st.button("Pull one", icon=":material/cloud_download:", key="models-to-pull", on_click=_show, args=(PULL,))


def _show(part: str) -> None:
    st.session_state[f"{KEY}-next"] = part


def _filtered(rows: list[Glance]) -> list[Glance]:
    words, kind, data, order = st.columns([3, 3, 2, 2])
    text = words.text_input(
        "Search", key="models-search", placeholder="name, network, data, class", bind="query-params"
    )
    kinds = kind.multiselect(
        "From", list(KINDS), key="models-from", placeholder="anywhere", format_func=lambda name: KINDS[name][0]
    )
    sets = sorted({row.data for row in rows if row.data})
    chosen = data.selectbox("Trained on", [None, *sets], key="models-of", format_func=lambda name: name or "any")
    by = order.selectbox("Sorted by", list(ORDERS), key="models-by", bind="query-params")
    found = select(rows, text or "", kinds, chosen)
    key = ORDERS[by]
    return found if key is None else sorted(found, key=key)


def _page(pages: int) -> int:
    """Which page is shown, from 1; in the address too."""
    if pages == 1:
        return 1
    if st.session_state.get("models-page", 1) > pages:
        st.session_state["models-page"] = pages
    return min(pages, st.pagination(pages, key="models-page", bind="query-params"))


def _card(seen: Glance) -> None:
    """A model: what it looks like, what it is, and how good."""
    if (first := next(iter(seen.previews), None)) and (picture := preview(seen, first)):
        st.image(picture, width="stretch", alt=f"Picture, truth and prediction of {seen.name}")
    st.page_link(PAGE, label=f"**{plain(shortened(seen.name))}**", query_params={MODEL: seen.name})
    if seen.problem:
        st.warning(unlinked(seen.problem), icon=":material/broken_image:")
        return
    on = f", trained on {unlinked(seen.data)}" if seen.data else ""
    st.caption(f"{unlinked(seen.network)}{on}  \n{facts(seen)}")
    legend(seen.labels, 6)
    with st.container(horizontal=True, vertical_alignment="center"):
        kind_badge(seen)
        st.checkbox(
            "Choose", seen.name in _names(), key=f"choose-{seen.name}", on_change=_choose, args=(seen.name,),
            help="To compare several, or to predict with them side by side",
        )  # fmt: skip


def shortened(name: str) -> str:
    """A name that fits a card: its ends are what tells it apart."""
    return name if len(name) <= 60 else f"{name[:28]}…{name[-28:]}"


def _names() -> list[str]:
    """Those that are chosen, which outlive the page of the list that they are on."""
    return st.session_state.setdefault("models-chosen", [])


def _choose(name: str) -> None:
    names = [each for each in _names() if each != name]
    st.session_state["models-chosen"] = [*names, name] if st.session_state[f"choose-{name}"] else names


def _chosen(rows: list[Glance]) -> None:
    """What can be done with those that are chosen."""
    by_name = {row.name: row for row in rows if not row.problem}
    chosen = [by_name[name] for name in _names() if name in by_name]
    if not chosen:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"), in_place():
        st.markdown(f"**{len(chosen)} chosen**: {plain(', '.join(shortened(seen.name) for seen in chosen))}")
        if st.button("Compare them", icon=":material/compare:", key="models-compare", disabled=len(chosen) < 2):
            compare(chosen)
        st.page_link(
            "pages/4_Predict.py", label="Predict with them", icon=":material/draw:", disabled=len(chosen) > MOST,
            query_params={"model": ",".join(seen.name for seen in chosen)},
        )  # fmt: skip
        st.button("Choose none", icon=":material/close:", key="models-none", on_click=_none)


def _none() -> None:
    for name in _names():
        st.session_state.pop(f"choose-{name}", None)
    st.session_state["models-chosen"] = []


def compare(chosen: list[Glance]) -> None:
    """Go to the form of a new comparison with these models, on the data that most of them were trained on."""
    data = Counter(seen.data for seen in chosen if seen.data).most_common(1)
    address = {"compare-part": NEW}
    if data:
        address["compare-data"] = data[0][0]
        st.session_state[f"compare-models-{data[0][0]}"] = [seen.name for seen in chosen]
    st.session_state["compare-architectures"] = []  # nothing is trained beside them unless it is asked for
    st.session_state.pop(COMPARE, None)
    st.switch_page("pages/3_Compare.py", query_params=address)


def back() -> None:
    """The way from a model to all of them."""
    st.button("All models", icon=":material/arrow_back:", key="models-back", on_click=show_model, args=(None,))
