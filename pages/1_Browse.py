"""Browse: a data set's pictures with their masks, page by page; its figures; what is wrong with its files."""

import streamlit as st

from segmodels.data.dataset import SPLITS
from ui import cached, charts
from ui.browse_filters import Chosen, chosen_pictures
from ui.data_choice import choose_data
from ui.frame import in_place, page, plain
from ui.grid import grid, sample_tile
from ui.picture_view import picture_view
from ui.statistics_view import statistics_view
from ui.verify_view import verify_view

PER_PAGE = 24

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
    labels = opened.classes

    split = st.segmented_control("Split", SPLITS, default="train", required=True, key="split", bind="query-params")
    counts = cached.statistics(name, root, split)
    chosen = chosen_pictures(name, root, split, counts)
    kept = chosen.ids
    has = counts.pixels > 0

    if (shown := st.query_params.get("picture")) in kept:
        with in_place():
            one_picture(name, root, split, chosen, shown)
        return
    about, chart = st.columns([3, 2], vertical_alignment="center")
    with about:
        st.markdown(f"**{len(kept)}** of {len(counts.ids)} {split} pictures. {plain(opened.description)}")
        found = has.sum(axis=0).tolist()
        parts = [f"{plain(label.name)} in {count}" for label, count in zip(labels, found, strict=True) if count]
        if absent := found.count(0):
            parts.append(f"{absent} more classes in none")
        st.caption(" · ".join(parts) + f" pictures. {plain(opened.licence)}. Source: {plain(opened.source)}")
        if counts.problems:
            with st.expander(f"{len(counts.problems)} pictures cannot be used", icon=":material/warning:"):
                for problem in counts.problems.values():
                    st.markdown(f"- {plain(problem)}")
    chart.plotly_chart(
        charts.shares(labels, counts.shares),
        key="shares",
        config={"displayModeBar": False},
        alt="Share of the pixels of each class",
    )

    if not kept:
        st.info("No picture is like that: ask for less.", icon=":material/filter_alt_off:")
        return
    pages = -(-len(kept) // PER_PAGE)
    number = choose_page(pages, of=hash((name, split, tuple(kept))))
    position = {sid: i for i, sid in enumerate(counts.ids)}
    here = kept[(number - 1) * PER_PAGE : number * PER_PAGE]
    off = chosen.disagreement
    samples = {sample.id: sample for sample in opened.samples(split)}
    tiles = []
    for sid in here:
        row = counts.pixels[position[sid]]
        shares = [f"{label.name} {100 * n / row.sum():.0f} %" for label, n in zip(labels, row, strict=True) if n]
        said = f"{sid} with its mask: {', '.join(shares) or counts.problems.get(sid, 'nothing counted')}"
        caption = f"{sid} · {100 * off[sid]:.0f} % not as predicted" if sid in off else sid
        tiles.append(sample_tile(opened, samples[sid], caption, said))
    if clicked := grid(tiles, labels, key="grid"):
        st.query_params["picture"] = clicked
        st.rerun()


def choose_page(pages: int, *, of: int) -> int:
    """The page that is looked at, which is in the address; the first one once other pictures are chosen."""
    asked = st.query_params.get("page", "") if st.session_state.get("page-of", of) == of else ""
    st.session_state["page-of"] = of
    first = min(int(asked), pages) if asked.isdecimal() and len(asked) < 9 and int(asked) else 1
    number = st.pagination(pages, default=first, key=f"page-{of}") if pages > 1 else 1
    if number > 1:
        st.query_params["page"] = str(number)
    else:
        st.query_params.pop("page", None)
    return number


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
