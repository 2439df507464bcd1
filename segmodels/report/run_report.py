"""A run as one HTML file: how good it is, how it became so, and all that it takes to do it again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from segmodels import __version__
from segmodels.report.charts import MOST_CLASSES, matrix_chart
from segmodels.report.html_page import Page
from segmodels.report.run_curves import FEW, add_curves
from segmodels.report.run_facts import RunFacts, read_run
from segmodels.report.sample_pictures import SamplePictures, sample_pictures
from segmodels.report.text import NOTHING, clean, count, duration, energy, figure, memory, moment, number
from segmodels.training.run_files import dump_yaml, file_of
from segmodels.training.runs import Run

#: Lines of the log that are shown, and confusions that are named.
LOG_LINES, CONFUSIONS = 40, 12


def run_report(run: Run, *, now: datetime | None = None) -> str:
    """The report of a run as the text of one HTML file, which needs nothing else.

    Args:
        run: any: finished, at work, damaged or half deleted. What is missing is named in the report.
        now: the time that the report gives as its own; the present one where left out.
    """
    facts, samples = read_run(run), sample_pictures(run)
    if facts.alive and not samples.rows:
        samples.missing.clear()  # there are none yet
    page = Page(f"Run {run.id}")
    _head(page, facts)
    if missing := [*facts.missing, *_few(samples.missing)]:
        page.note("\n".join(missing))
    _best(page, facts)
    add_curves(page, facts)
    _confusion(page, facts)
    _pictures(page, samples)
    _recipe(page, facts)
    _changes(page, facts)
    _environment(page, facts)
    log = run.log(LOG_LINES) if file_of(run, "log.txt") else ""
    page.heading("End of the log")
    page.code(log) if log else page.paragraph("log.txt is empty or missing.", quiet=True)
    made = now or datetime.now()
    page.paragraph(f"Made by segmodels {__version__} on {made:%Y-%m-%d %H:%M} from the files of the run.", quiet=True)
    return str(page)


def _few(lines: list[str], most: int = 4) -> list[str]:
    """The first lines, and how many more there are: files that are gone come in flocks."""
    return lines if len(lines) <= most else [*lines[:most], f"samples: {len(lines) - most} more files are gone"]


def _head(page: Page, facts: RunFacts) -> None:
    status = facts.status
    asked = [facts.asked.get(name) for name in ("architecture", "backbone", "data")]
    network, backbone, data = (clean(value, 100) if isinstance(value, str) else "" for value in asked)
    on = f" on {backbone}" if backbone not in ("", "none") else ""
    if network or data:
        page.paragraph(f"{network or 'A network'}{on}, trained on {data or 'unknown data'}")
    page.tags([clean(status["state"], 40), *facts.notes.tags])
    if facts.notes.note:
        page.paragraph(facts.notes.note)
    if status.get("error") and status["state"] != "unknown":
        page.note(clean(status["error"]))
    best = facts.best_figures
    page.tiles(
        [
            ("Mean IoU", _shown(best.get("mean_iou"))),
            ("Mean Dice", _shown(best.get("mean_dice"))),
            ("Pixel accuracy", _shown(best.get("pixel_accuracy"))),
            ("Best epoch", facts.best_epoch),
            ("Epochs", f"{len(facts.history)} of {_known(count(status.get('epochs')))}"),
            ("Time", duration(_seconds(facts))),
        ]
    )
    page.paragraph("Figures of the validation part at the model's size.", quiet=True)


def _shown(value: Any) -> Any:
    return float(value) if number(value) is not None else None


def _known(value: Any) -> str:
    return NOTHING if value is None or value == "" else clean(value, 200)


def _yes_or_no(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else NOTHING


def _seconds(facts: RunFacts) -> float | None:
    """Of all epochs; None where none is written."""
    values = [value for value in facts.column("seconds") if value is not None]
    return sum(values) if values else None


def _best(page: Page, facts: RunFacts) -> None:
    page.heading("Best epoch" + ("" if facts.best_epoch is None else f": {facts.best_epoch}"))
    figures = facts.best_figures
    if not figures:
        page.paragraph("No epoch has been validated.", quiet=True)
        return
    names = [name.replace("_", " ").replace("iou", "IoU").replace("dice", "Dice") for name in figures]
    page.table(names, [[_shown(value) for value in figures.values()]])
    if not facts.classes:
        return
    page.heading("By class", level=3)
    pixels = [count(row.get("pixels")) for row in facts.classes]
    total = sum(n for n in pixels if n)
    page.table(
        ["class", "IoU", "Dice", "precision", "recall", "pixels of the truth", "share"],
        [
            [
                row["name"],
                *(_shown(row.get(name)) for name in ("iou", "dice", "precision", "recall")),
                n,
                n / total if n is not None and total else None,
            ]
            for row, n in zip(facts.classes, pixels, strict=True)
        ],
    )


def _confusion(page: Page, facts: RunFacts) -> None:
    counts, names = facts.confusion, [row["name"] for row in facts.classes]
    if counts is None:
        if facts.best:
            page.note("best/metrics.json holds no confusion matrix of its classes")
        return
    page.heading("Confusion matrix of the best epoch")
    if len(names) <= MOST_CLASSES:
        chart = matrix_chart(counts, names, title="Percent of each true class")
        caption = "A row says what the pixels of a class were taken for; its share on the diagonal is the recall."
        page.figures([chart], across=1 if len(names) > FEW else 2, caption=caption)
    mistakes = [
        (n, names[true], names[said], n / sum(counts[true]))
        for true in range(len(names))
        for said, n in enumerate(counts[true])
        if n and said != true
    ]
    if mistakes:
        mistakes.sort(key=lambda row: row[0], reverse=True)
        page.table(
            ["truth", "taken for", "pixels", "share of the truth"],
            [[true, said, n, share] for n, true, said, share in mistakes[:CONFUSIONS]],
            caption="The largest confusions",
        )


def _pictures(page: Page, samples: SamplePictures) -> None:
    if not samples.rows:
        return
    epoch = "" if samples.epoch is None else f" after epoch {samples.epoch}"
    page.heading(f"Validation pictures{epoch}")
    page.legend([(label.name, label.colour) for label in samples.labels])
    kinds = ("picture", "truth", "prediction")
    for name, pictures in samples.rows:
        page.pictures(
            [
                (data, f"{kind} of {clean(name, 100)}{'' if data else ': missing'}", name if n == 0 else kind)
                for n, (kind, data) in enumerate(zip(kinds, pictures, strict=True))
            ]
        )


def _recipe(page: Page, facts: RunFacts) -> None:
    page.heading("Recipe")
    if not facts.asked:
        page.paragraph("No recipe is left.", quiet=True)
        return
    if facts.recipe is not None:
        page.paragraph("The same training as a command:")
        page.code(facts.recipe.command())
        page.paragraph("As a file, which train --recipe FILE takes:")
        page.code(dump_yaml(facts.recipe.model_dump(mode="json")))
    else:
        page.code(dump_yaml(facts.asked))


def _changes(page: Page, facts: RunFacts) -> None:
    if not facts.changes:
        return
    page.heading("Changed on the way")
    rows = []
    for change in facts.changes:
        epoch, step = count(change.get("epoch")), count(change.get("step"))
        values = {name: value for name, value in change.items() if name not in ("epoch", "step")}
        said = ", ".join(f"{clean(name, 60)} = {clean(value, 200)}" for name, value in values.items())
        # The file counts what was finished by then.
        rows.append([None if epoch is None else epoch + 1, None if step is None else step + 1, said])
    page.table(["from epoch", "from step", "changed"], rows)


def _environment(page: Page, facts: RunFacts) -> None:
    status, asked, best = facts.status, facts.asked, facts.best
    seconds, speed = _seconds(facts), number(status.get("images_per_second"))
    pictures = count(status.get("images")) or count(best.get("train_images"))
    validated = count(status.get("validation_images")) or count(best.get("validation_images"))
    page.heading("Environment")
    page.facts(
        [
            ("Versions", _known(status.get("backend"))),
            ("Device", _known(status.get("device"))),
            ("Precision", _known(status.get("precision") or asked.get("precision"))),
            ("Compiled by XLA", _yes_or_no(status.get("xla"))),
            ("Seed", _known(asked.get("seed"))),
            ("Seed of the split", _known(asked.get("split_seed"))),
            ("Deterministic", _yes_or_no(asked.get("deterministic"))),
            ("Fingerprint of the data", _known(best.get("data_fingerprint"))),
            ("Training pictures or tiles", pictures),
            ("Validation pictures or tiles", validated),
            ("Batch size", count(status.get("batch_size"))),
            ("Parameters", count(status.get("parameters"))),
            ("Begun", moment(status.get("started"))),
            ("Ended", moment(status.get("ended")) if not facts.alive else "not yet"),
            ("Time of all epochs", NOTHING if seconds is None else f"{duration(seconds)} ({figure(seconds)} s)"),
            ("Pictures a second", NOTHING if speed is None else f"{speed:,.1f}"),
            ("Peak memory", memory(status.get("peak_memory_bytes"))),
            ("Energy", energy(status.get("energy_joules"))),
        ]
    )
    if facts.changes or status.get("energy_joules") is not None or status.get("peak_memory_bytes") is not None:
        page.paragraph(
            "Memory and energy are of the trainer's last process, from its start or resumption on.", quiet=True
        )
