"""The command line: `python -m segmodels VERB`.

Results go to standard output (one JSON document with `--json`), progress and messages to standard error. Exit codes: 0
done, 2 the user's mistake in one line, 1 anything else, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from segmodels import (
    __version__,
    cli_compare,
    cli_datasets,
    cli_evaluate,
    cli_hub,
    cli_models,
    cli_predict,
    cli_recipes,
    cli_runs,
    cli_train,
    cli_tune,
)
from segmodels.errors import LostHost, UserError
from segmodels.models.backbones import CONVOLUTIONAL, PLAIN, TRANSFORMERS
from segmodels.terminal import table
from segmodels.training.notes import plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        parsed = parser().parse_args(arguments)
        document, text = parsed.verb(parsed)
        found = json.dumps(_finite(document), indent=2, allow_nan=False) if parsed.json else plain(text)
        print(found, flush=True)
    except UserError as error:
        line = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(error))  # names may hold anything
        print(f"segmodels: {line}", file=sys.stderr, flush=True)
        if isinstance(error, LostHost):
            sys.stdout.flush()
            os._exit(1)  # a usual end would wait for the host that is gone
        return 2
    except KeyboardInterrupt:
        print("segmodels: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0
    return parsed.exit_code


def _finite(value: Any) -> Any:
    """The same document with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text, as every other mistake."""

    def error(self, message: str) -> typing.NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The whole command line; each verb is one function of this file."""
    root = _Parser(prog="python -m segmodels", description="Semantic segmentation: train, evaluate, predict.")
    root.add_argument("--version", action="version", version=__version__)
    verbs = root.add_subparsers(required=True, metavar="VERB")

    def add(group: Any, name: str, verb: Callable, text: str) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="print one JSON document")
        made.set_defaults(verb=verb, exit_code=0)
        return made

    add(verbs, "architectures", _architectures, "what can be built")
    add(verbs, "backbones", _backbones, "what an architecture can be built on")
    summary = add(verbs, "summary", _summary, "what a network holds and takes: layers, parameters, GFLOPs, memory")
    summary.add_argument("--architecture", default="unet", metavar="NAME")
    summary.add_argument("--backbone", metavar="NAME", help="default: the architecture's first")
    summary.add_argument("--classes", type=int, default=3, metavar="N")
    summary.add_argument("--image-size", type=int, default=256, metavar="S", help="side of the picture (default: 256)")
    cli_recipes.add_option(summary)
    summary.add_argument("--layers", action="store_true", help="a line for every layer, not for every stage")

    datasets = verbs.add_parser("datasets", help="the data sets").add_subparsers(required=True, metavar="VERB")
    cli_datasets.add_verbs(add, datasets)

    cli_train.add_verbs(add, verbs)
    cli_recipes.add_verbs(add, verbs)

    runs = verbs.add_parser("runs", help="runs, wherever they were started").add_subparsers(
        required=True, metavar="VERB"
    )
    cli_runs.add_verbs(add, runs)
    add(verbs, "devices", cli_runs.devices, "what training can run on, and what stands in the way of more")

    cli_evaluate.add_verbs(add, verbs)
    cli_compare.add_verbs(add, verbs)
    cli_tune.add_verbs(add, verbs)
    cli_models.add_verbs(add, verbs)
    cli_predict.add_verbs(add, verbs)
    cli_hub.add_verbs(add, verbs)
    return root


def _architectures(_: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import architectures

    rows = architectures()
    shown = [
        {**row, "year": str(row["year"]), "options": " ".join(row["options"]), "needs": _needs(row["backbones"])}
        for row in rows
    ]
    text = table(shown, ["name", "title", "year", "parameters", "gflops", "on", "needs", "options", "strengths"])
    return rows, f"{text}\n\nparameters and GFLOPs: 3 classes, one picture of 256 x 256, on the backbone named"


def _needs(backbones: list[str]) -> str:
    """What an architecture can be built on, in a few words."""
    kinds = {
        "its own encoder": [PLAIN],
        "any CNN": CONVOLUTIONAL,
        f"{TRANSFORMERS[0]} to {TRANSFORMERS[-1]}": TRANSFORMERS,
    }
    return " or ".join(kind for kind, names in kinds.items() if set(names) <= set(backbones))


def _backbones(_: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import backbone_list

    rows = backbone_list()
    return rows, table(rows, ["name", "title", "parameters", "strengths", "paper"])


def _summary(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.models.architectures import checked_options, default_backbone

    options = cli_recipes.options_of(parsed)
    backbone = parsed.backbone or default_backbone(parsed.architecture)
    checked_options(parsed.architecture, backbone, options)  # a mistake is said before Keras is loaded

    from segmodels.models.summary import summarise
    from segmodels.models.summary_text import summary_text

    document = summarise(
        parsed.architecture,
        classes=parsed.classes,
        backbone=backbone,
        image_size=parsed.image_size,
        **options,
    )
    return document, summary_text(document, layers=parsed.layers)
