"""The API reference, as static pages from the docstrings: `make docs`, or `python -m docs.api.build FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import segmodels

#: What is described, in the order of a look around: the public names, and the modules behind them.
MODULES = (
    "segmodels", "segmodels.recipe", "segmodels.named_recipes", "segmodels.errors", "segmodels.home",
    "segmodels.data.dataset", "segmodels.data.datasets", "segmodels.data.prepare", "segmodels.data.split",
    "segmodels.data.tiles", "segmodels.data.augment", "segmodels.data.class_weights", "segmodels.data.statistics",
    "segmodels.data.verify", "segmodels.data.convert", "segmodels.data.images",
    "segmodels.models.architectures", "segmodels.models.backbones", "segmodels.models.build",
    "segmodels.models.features", "segmodels.models.layers", "segmodels.models.options", "segmodels.models.summary",
    "segmodels.models.pix2pix", "segmodels.models.voc",
    "segmodels.training.train", "segmodels.training.runs", "segmodels.training.losses", "segmodels.training.reporter",
    "segmodels.training.schedule", "segmodels.training.optimizers", "segmodels.training.queue",
    "segmodels.training.launch", "segmodels.training.estimate", "segmodels.training.rate_test",
    "segmodels.evaluation.evaluate", "segmodels.evaluation.confusion", "segmodels.evaluation.instances",
    "segmodels.evaluation.boundary", "segmodels.evaluation.calibration", "segmodels.evaluation.reports",
    "segmodels.evaluation.compare.comparison", "segmodels.evaluation.compare.conduct",
    "segmodels.evaluation.compare.bootstrap",
    "segmodels.prediction.predictor", "segmodels.prediction.result", "segmodels.prediction.masks",
    "segmodels.prediction.postprocess", "segmodels.prediction.measure", "segmodels.prediction.engines",
    "segmodels.prediction.export", "segmodels.prediction.write", "segmodels.prediction.large",
    "segmodels.hub.checkpoint", "segmodels.hub.push", "segmodels.hub.pull", "segmodels.hub.card",
    "segmodels.hub.export", "segmodels.hub.keras_file",
    "segmodels.report.run_report", "segmodels.report.comparison_report",
)  # fmt: skip


def build(folder: Path) -> None:
    """Write the pages, `index.html` among them, into a folder."""
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"segmodels {segmodels.__version__}")
    pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
