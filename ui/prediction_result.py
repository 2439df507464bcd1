"""Predicting for the page: what is in sight is kept in the session until another picture or model is chosen."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmodels.data.dataset import IGNORE
from segmodels.data.images import read_image
from segmodels.errors import UserError
from segmodels.hub.checkpoint import read_spec, weights_written
from segmodels.prediction.doubts import Colours, colours_of, doubts
from ui.frame import plain
from ui.prediction_choice import MOST, How, Model
from ui.prediction_picture import Chosen
from ui.prediction_prepare import is_wanted, prepare

if TYPE_CHECKING:
    from segmodels.prediction.result import Refinement, Result

#: Bytes of the probabilities of a picture beyond which no map of its entropy is made and its objects are not found by
#: themselves: all of them are in memory at once.
LARGE = 400_000_000
#: The picture and model whose prediction was stopped, in the session.
STOPPED = "predict-stopped"


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


def predict(model: Model, chosen: Chosen, how: How, told: Callable[[float], None] | None = None) -> Result:
    """What a model sees in a picture, refined; also for who has no session. `UserError` says what is wrong.

    Args:
        model: once it has predicted in Keras, the file that ONNX Runtime needs is made of it.
        told: how much is done of a picture that takes several passes, 0 to 1; it may raise to end that.
    """
    from segmodels.prediction.pool import POOL

    predictor = POOL.get(model.path, how.engine_for(model.path))
    tell = (lambda done, of: told(done / of)) if told else None
    result = predictor(chosen.read(), name=chosen.label, page=chosen.page, tta=how.tta or None, told=tell)
    if callable(result.scores) and not is_large(result):
        result.logits  # noqa: B018 - they are kept, since every map would predict it anew
    result.mask  # noqa: B018 - so that nothing of it is left to compute
    if predictor.engine == "keras" and is_wanted(how):
        prepare(model.path)
    return refined(result, how.refinement)


def predicted(model: Model, chosen: Chosen, how: How) -> Prediction:
    """What a model sees in a picture; kept with those of the other models until there is another picture."""
    kept = _kept()
    for other in [other for other in kept if other[0] != chosen.key]:
        del kept[other]
    key = (chosen.key, how.key(model))
    prediction = kept.pop(key, None)
    if prediction is None:
        prediction = _predicted_now(model, chosen, how, lambda found: kept.update({key: found}))
    elif prediction.refined.refinement != how.refinement:
        prediction = Prediction(prediction.result, refined(prediction.result, how.refinement))
    kept[key] = prediction  # the one used last comes last
    for oldest in list(kept)[:-MOST]:
        del kept[oldest]
    return prediction


def _predicted_now(model: Model, chosen: Chosen, how: How, keep: Callable[[Prediction], None]) -> Prediction:
    """Predict; a picture that takes several passes, of tiles or views, has a bar and a button to stop, and when stopped
    one to go on."""
    stopped = (chosen.key, how.key(model))
    if st.session_state.get(STOPPED) == stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("Stopped.")
            st.button("Go on", icon=":material/play_arrow:", key="predict-go-on", on_click=_set_stopped, args=(None,))
        st.stop()
    place = st.empty()
    bars: list[DeltaGenerator] = []

    def told(share: float) -> None:
        if not bars:
            with place.container(horizontal=True, vertical_alignment="center"):
                bars.append(st.progress(0.0))
                st.button("Stop", icon=":material/stop:", key="predict-stop", on_click=_set_stopped, args=(stopped,))
        bars[0].progress(share, f"{plain(chosen.label)}: {100 * share:.0f} %")

    with st.spinner("Predicting; a model that is loaded first takes some seconds …"):
        result = predict(model, chosen, how, told)
        prediction = Prediction(refined(result), result)
        keep(prediction)  # at once: what was clicked meanwhile ends this at the next line that draws
    place.empty()
    return prediction


def _set_stopped(stopped: object) -> None:
    st.session_state[STOPPED] = stopped


# It ends with the connection of the browser, sooner than the session, which waits for that to come back.
@st.cache_resource(show_spinner=False, scope="session")
def _kept() -> dict[tuple[Any, ...], Prediction]:
    """The predictions of the picture in sight, by picture and model."""
    return {}


def result_of(prediction: Prediction, model: Model, chosen: Chosen, how: How) -> Callable[[], Result]:
    """Gives the refined result of a prediction for a file. It is not held for that, since a button outlives what is in
    sight: what was let go is predicted anew."""
    held = weakref.ref(prediction)

    def result() -> Result:
        found = held()
        return predict(model, chosen, how) if found is None else found.refined

    return result


def forget() -> None:
    """Let them go, where no picture is in sight."""
    _kept().clear()


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
