"""Models that are ready to predict, shared by all who ask in this process, and let go when there are too many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from segmodels.hub.checkpoint import weights_written
from segmodels.prediction.engines import suited
from segmodels.prediction.predictor import AUTO, Predictor

#: Models that are kept at most, and their bytes together as `Predictor.memory` has them.
MOST, BYTES = 4, 2_000_000_000


class Pool:
    """Predictors by checkpoint and engine. Those used longest ago go first; whoever still has one keeps it."""

    def __init__(self, most: int = MOST, memory: int = BYTES, load: Callable[..., Predictor] = Predictor) -> None:
        self.most, self.memory, self._load = most, memory, load
        self._guard = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, str], Predictor] = OrderedDict()
        self._loading: dict[tuple[str, int, str], threading.Lock] = {}

    def get(self, model: Path, engine: str = AUTO) -> Predictor:
        """The predictor of a checkpoint directory as it is now; several who ask at once wait for one loading of it.

        Raises:
            UserError: as `Predictor` does.
        """
        key = (str(model), weights_written(model), suited(model) if engine == AUTO else engine)
        with self._guard:
            if found := self._found(key):
                return found
            turn = self._loading.setdefault(key, threading.Lock())
        with turn:
            with self._guard:
                if found := self._found(key):
                    return found
            try:
                loaded = self._load(model, engine=key[2])
                with self._guard:
                    self._keep(key, loaded)
            finally:
                with self._guard:
                    self._loading.pop(key, None)
        return loaded

    def _found(self, key: tuple[str, int, str]) -> Predictor | None:
        if found := self._kept.get(key):
            self._kept.move_to_end(key)
        return found

    def _keep(self, key: tuple[str, int, str], loaded: Predictor) -> None:
        for other in [other for other in self._kept if other[::2] == key[::2]]:
            del self._kept[other]  # of the same place and engine, before it was trained on
        self._kept[key] = loaded
        while len(self._kept) > 1 and self._too_many():
            self._kept.popitem(last=False)

    def _too_many(self) -> bool:
        return len(self._kept) > self.most or sum(each.memory for each in self._kept.values()) > self.memory

    def __len__(self) -> int:
        return len(self._kept)


#: The one of this process.
POOL = Pool()
