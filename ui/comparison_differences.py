"""Which differences are real: the interval of each model, groups that cannot be told apart, and all pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from segmodels.evaluation.compare.bootstrap import Bootstrap, Pair, higher_is_better
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.evaluation.compare.groups import LETTERS, groups, letters
from ui.comparison_charts import Point, interval_chart
from ui.comparison_found import found_differences, found_table
from ui.frame import plain


def differences_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw it; `UserError` where the models cannot be held against each other."""
    found = found_differences(entries)
    if found is None:
        st.info("There is nothing yet to hold against each other.", icon=":material/hourglass_top:")
        return
    boot = found.bootstrap
    titles = {column.key: column.title for column in found_table(comparison, entries).columns}
    figure = st.selectbox(
        "Figure", boot.figures, boot.figures.index("mean_iou"), key=f"compare-figure-{comparison.id}",
        format_func=lambda key: titles.get(key, key),
    )  # fmt: skip
    title = titles.get(figure, figure)
    st.caption(
        f"The lines are {100 * boot.level:.0f} % intervals from 10,000 bootstrap samples of the {found.pictures} "
        "pictures, of means over the seeds: what other pictures of the kind would give. Each pair is compared on the "
        "same pictures, and the p of all pairs is corrected after Holm."
    )
    _left_out(found.left_out, found.pictures_left_out)
    points = interval_points(boot, figure)
    if not points:
        st.info("No model has this figure on these pictures.", icon=":material/block:")
        return
    pairs = boot.pairs(figure)
    different = [(pair.first, pair.second) for pair in pairs if pair.different]
    values = boot.values[:, boot.figures.index(figure)].tolist()
    higher = higher_is_better(figure)
    st.plotly_chart(
        interval_chart(points, letters(boot.models, values, different, higher) if pairs else {}, title),
        key=f"compare-intervals-{comparison.id}",
        config={"displaylogo": False},
        alt="; ".join(f"{p.name} {p.score:.3f}, {p.low:.3f} to {p.high:.3f}" for p in points),
    )
    if pairs:
        _groups(groups(boot.models, values, different, higher), title, different)
        _pairs(comparison, pairs)


def interval_points(boot: Bootstrap, figure: str) -> list[Point]:
    """The models that have a figure, best first, each with its interval."""
    found = [Point(*interval) for interval in boot.intervals(figure) if math.isfinite(interval.value)]
    return sorted(found, key=lambda point: point.score, reverse=higher_is_better(figure))


def _left_out(lines: Sequence[str], pictures: int) -> None:
    if pictures:
        st.caption(f":material/info: {pictures} pictures are left out, which not all models were evaluated on.")
    if lines:
        st.warning("\n".join(f"- {plain(line)}" for line in lines), icon=":material/warning:")


def _groups(found: Sequence[Sequence[str]], title: str, different: Sequence[tuple[str, str]]) -> None:
    """In words, with the letters that the chart has."""
    if not different:
        st.markdown(f"By {plain(title)} **none** of these models can be told apart on these pictures.")
        return
    if all(len(group) == 1 for group in found):
        st.markdown(f"By {plain(title)} **each** of these models can be told apart from every other.")
        return
    lines = []
    for letter, group in zip(LETTERS, found, strict=False):
        names = ", ".join(f"**{plain(name)}**" for name in group)
        told = "cannot be told apart" if len(group) > 1 else "differs from all others" if _alone(group, found) else ""
        lines.append(f"- **{letter}**: {names} {told}".rstrip())
    st.markdown("\n".join(lines))


def _alone(group: Sequence[str], found: Sequence[Sequence[str]]) -> bool:
    return sum(group[0] in other for other in found) == 1


def _pairs(comparison: Comparison, pairs: Sequence[Pair]) -> None:
    def shown(value: float) -> float | None:
        return None if math.isnan(value) else value

    rows = [
        {
            "One": pair.first,
            "The other": pair.second,
            "Difference": shown(pair.difference),
            "From": shown(pair.low),
            "To": shown(pair.high),
            "p": shown(pair.p),
            "p, Holm": shown(pair.p_corrected),
            "Told apart": pair.different,
        }
        for pair in sorted(pairs, key=lambda pair: (not pair.different, -abs(pair.difference)))
    ]
    number = st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        key=f"compare-pairs-{comparison.id}",
        column_config={
            "Difference": number(format="%+.4f", help="The first's figure minus the other's"),
            "From": number(format="%+.4f", help="The lower end of the difference's interval"),
            "To": number(format="%+.4f", help="The upper end"),
            "p": number(format="%.4f", help="Of such a difference where there is none"),
            "p, Holm": number(format="%.4f", help="The same, corrected for the number of pairs"),
        },
        alt="All pairs of models",
    )
