"""A search as a document and as text: its trials, the best first, and the recipe of the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from segmodels.search.search import Search, Trial
from segmodels.search.space import value_text
from segmodels.terminal import table


def ranked(search: Search, trials: Sequence[Trial]) -> list[Trial]:
    """The best first; those without a figure last, in their order."""
    sign = -1 if search.space.how.mode == "max" else 1
    return sorted(trials, key=lambda one: math.inf if one.value is None else sign * one.value)


def trial_row(trial: Trial) -> dict[str, Any]:
    """A trial as a row of plain values."""
    return {
        "trial": trial.number,
        "state": trial.state,
        "value": trial.value,
        "best_epoch": trial.best_epoch,
        "epoch": trial.epoch,
        "epochs": trial.epochs,
        "values": dict(trial.values),
        "run": trial.run.id if trial.run else None,
        "path": str(trial.run.path) if trial.run else None,
        "said": trial.said,
    }


def search_document(search: Search) -> dict[str, Any]:
    """All of a search: search, title, state, error, on, space, metric, mode, best (the number of a trial, or None) and
    trials, each as `trial_row`."""
    trials, status = search.trials(), search.status()
    best = search.best(trials)
    return {
        "search": search.id,
        "title": search.title,
        "path": str(search.path),
        "state": status["state"],
        "error": status.get("error"),
        "on": search.on,
        "space": search.space.document,
        "metric": search.space.how.metric,
        "mode": search.space.how.mode,
        "best": best.number if best else None,
        "trials": [trial_row(trial) for trial in trials],
    }


def search_text(search: Search) -> str:
    """The same to read."""
    trials, metric = search.trials(), search.space.how.metric
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number,
            "state": trial.state,
            metric: trial.value,
            "epochs": f"{trial.epoch} of {trial.epochs}",
            **{field: value_text(value) for field, value in trial.values.items()},
            "run": trial.run.id if trial.run else "-",
        }
        for trial in ranked(search, trials)
    ]
    lines = [f"{search.title}: {search.state}", "", table(rows, list(rows[0]))]
    failed = [f"trial {trial.number}: {trial.said}" for trial in trials if trial.state == "failed"]
    lines += ["", *failed] if failed else []
    if (best := search.best(trials)) is not None:
        lines += ["", f"best: trial {best.number}, {metric} {best.value:.4f} after epoch {best.best_epoch}"]
        if best.run is not None:
            lines.append(f"next: python -m segmodels evaluate {best.run.id}")
        lines.append(f"the same again: {search.recipe_of(best.number).command()}")
    return "\n".join(lines)
