"""Browse: a data set's pictures with their masks, page by page; its figures; what is wrong with its files."""

import streamlit as st

from segmodels.data.dataset import SPLITS
from ui import cached
from ui.browse_filters import Chosen, chosen_pictures
from ui.data_choice import choose_data
from ui.frame import in_place, page, plain
from ui.grid_view import grid_view
from ui.picture_view import picture_view
from ui.statistics_view import statistics_view
from ui.verify_view import verify_view

#: Of the pictures that cannot be used.
MOST_TOLD = 50

page("Browse", ":material/photo_library:", "A data set: its pictures and masks, its figures, its defects.")


def main() -> None:
    chosen = choose_data()
    if chosen is None:
        return
    name, root = chosen
    st.page_link(
        "pages/2_Train.py", label="Train on it", icon=":material/model_training:", query_params={"train-data": name}
    )
    pictures, statistics, check = st.tabs(
        ["Pictures", "Statistics", "Check"], key="view", on_change="rerun", bind="query-params"
    )
    if pictures.open:
        with pictures, in_place():
            show_pictures(name, root)
    if statistics.open:
        with statistics, in_place():
            split = st.segmented_control("Split", SPLITS, default="train", required=True, key="statistics-split")
            statistics_view(name, root, split)
    if check.open:
        with check, in_place():
            verify_view(name, root)


def show_pictures(name: str, root: str | None) -> None:
    opened = cached.dataset(name, root)
    split = st.segmented_control("Split", SPLITS, default="train", required=True, key="split", bind="query-params")
    counts = cached.statistics(name, root, split)
    chosen = chosen_pictures(name, root, split, counts)
    kept = chosen.ids

    if (shown := st.query_params.get("picture")) in kept:
        with in_place():
            one_picture(name, root, split, chosen, shown)
        return
    st.markdown(f"**{len(kept)}** of {len(counts.ids)} {split} pictures. {plain(opened.description)}")
    with_shares = zip(opened.classes, counts.images.tolist(), counts.shares.tolist(), strict=True)
    parts = [f"{plain(label.name)} in {count}, {100 * share:.1f} %" for label, count, share in with_shares if count]
    if absent := int((counts.images == 0).sum()):
        parts.append(f"{absent} classes in none")
    st.caption(f"Pictures and share of the pixels: {' · '.join(parts)}")
    st.caption(f"{plain(opened.licence)}. Source: {plain(opened.source)}")
    if counts.problems:
        with st.expander(f"{len(counts.problems)} pictures cannot be used", icon=":material/warning:"):
            told = list(counts.problems.values())[:MOST_TOLD]
            st.markdown("\n".join(f"- {plain(problem)}" for problem in told))
            if len(counts.problems) > MOST_TOLD:
                st.caption("The tab Check tells all of them.")
    if kept:
        grid_view(opened, split, counts, chosen)
    else:
        st.info("No picture is like that: ask for less.", icon=":material/filter_alt_off:")


def one_picture(name: str, root: str | None, split: str, chosen: Chosen, shown: str) -> None:
    """One of the pictures, and the way to the others."""
    ids = chosen.ids
    at = ids.index(shown)
    back, before, title, after = st.columns([2, 1, 4, 1], vertical_alignment="center")
    if back.button("All pictures", icon=":material/grid_view:"):
        del st.query_params["picture"]
        st.rerun()
    title.markdown(f"**{plain(shown)}**, {at + 1} of {len(ids)}")
    for column, label, icon, to in ((before, "Before", "arrow_back", at - 1), (after, "Next", "arrow_forward", at + 1)):
        outside = not 0 <= to < len(ids)
        if column.button(label, icon=f":material/{icon}:", disabled=outside, width="stretch"):
            st.query_params["picture"] = ids[to]
            st.rerun()
    picture_view(name, root, split, shown, chosen.against)


with in_place():
    main()
