"""Ray tells much of itself, even on standard output, where a document is to be; here the reporter tells who waits."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

#: Ray's own variable for what its core says on standard error.
LEVEL = "RAY_BACKEND_LOG_LEVEL"


@contextmanager
def quiet_core() -> Iterator[None]:
    """Where Ray is connected to in the block, its core says nothing but what ends it: else it complains of how Ray Data
    makes its actors. Ray's log files are left with as little. In the block nothing is written to standard error, not
    even that the level was set."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with patch.dict(os.environ):
            os.environ.setdefault(LEVEL, "fatal")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def quiet_data() -> Iterator[None]:
    """No bars and logs of Ray Data in the block, and no end to the patience with a picture."""
    from ray.data import DataContext

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # a slide may take hours
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with DataContext.current(context), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
