"""Predicting for the page: what is in sight is kept in the session until another picture or model is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from segmodels.data.dataset import IGNORE
from segmodels.data.images import read_image
from segmodels.errors import UserError
from segmodels.hub.checkpoint import read_spec, weights_written
from segmodels.prediction.doubts import Colours, colours_of, doubts
from ui.frame import plain
from ui.prediction_choice import MOST, How, Model
from ui.prediction_picture import Chosen

if TYPE_CHECKING:
    from segmodels.prediction.result import Refinement, Result

#: Bytes of the probabilities of a picture beyond which no map of its entropy is made and its objects are not found by
#: themselves: all of them are in memory at once.
LARGE = 400_000_000


@dataclass
class Prediction:
    """What a model sees in a picture, and what was worked out of it.

    Attributes:
        result: as it was predicted.
        refined: the same with its mask refined.
        found: the objects and their measurements, by what they depend on.
    """

    result: Result
    refined: Result
    found: dict[Any, Any] = field(default_factory=dict)

    @property
    def is_large(self) -> bool:
        return is_large(self.result)


def is_large(result: Result) -> bool:
    """Whether the probabilities of a picture need more than `LARGE` bytes."""
    height, width = result.image.shape[:2]
    return 4 * height * width * len(result.labels) > LARGE


def predict(model: Model, chosen: Chosen, how: How) -> Result:
    """What a model sees in a picture, refined; also for who has no session. `UserError` says what is wrong."""
    from segmodels.prediction.pool import POOL

    predictor = POOL.get(model.path, how.engine_for(model.path))
    result = predictor(chosen.read(), name=chosen.label, page=chosen.page, tta=how.tta or None)
    if callable(result.scores) and not is_large(result):
        result.logits  # noqa: B018 - what came in tiles is kept, since every map would predict it anew
    return refined(result, how.refinement)


def predicted(model: Model, chosen: Chosen, how: How) -> Prediction:
    """What a model sees in a picture; kept with those of the other models until there is another picture."""
    of, kept = st.session_state.get("predicted", (None, {}))
    if of != chosen.key:
        kept = {}
    key = how.key(model)
    prediction: Prediction | None = kept.get(key)
    if prediction is None:
        with st.spinner("Predicting; a model that is loaded first takes some seconds …"):
            result = predict(model, chosen, how)
            result.mask  # noqa: B018 - it is computed here, while the spinner turns
        prediction = Prediction(refined(result), result)
    elif prediction.refined.refinement != how.refinement:
        prediction = Prediction(prediction.result, refined(prediction.result, how.refinement))
    kept.pop(key, None)
    kept[key] = prediction  # the one used last comes last
    for oldest in list(kept)[:-MOST]:
        del kept[oldest]
    st.session_state["predicted"] = chosen.key, kept
    return prediction


def refined(result: Result, refinement: Refinement | None = None) -> Result:
    """A result with its mask refined, or, without a refinement, as it was predicted."""
    return result.refined(**vars(refinement)) if refinement else result.refined()


def ignored(result: Result) -> float:
    """The share of the pixels that are ignored."""
    return float((result.mask == IGNORE).mean())


def doubts_about(model: Model, result: Result) -> list[str]:
    """What speaks against a prediction."""
    contract = read_spec(model.path).input
    return doubts(
        result.image,
        result.confidence,
        tile=contract.size if contract.mode == "tiles" else None,
        learned=_learned(model.path, weights_written(model.path)),
    )


def doubts_view(said: Sequence[str]) -> None:
    """Draw them, a line each."""
    for line in said:
        st.warning(plain(line), icon=":material/help:")


@st.cache_data(max_entries=64, show_spinner=False)
def _learned(path: Path, written: int) -> Colours | None:
    """The colours of the data that a model was trained on, by the previews beside its weights: each is a picture, its
    truth and what was predicted, side by side."""
    pictures = []
    for file in sorted((path / "previews").glob("*.png"))[:16]:
        with suppress(UserError):
            together = read_image(file)
            pictures.append(together[:, : together.shape[1] // 3])
    return colours_of(pictures)
