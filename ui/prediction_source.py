"""Where the pictures come from that are predicted: files, the camera, examples, or a data set.

What can be is in the address; what somebody uploads never is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from segmodels.data.dataset import SPLITS, Dataset
from segmodels.errors import UserError
from segmodels.hosted import limits
from segmodels.prediction.sources import is_zip, uploaded_pictures
from ui import cached
from ui.data_choice import choose_data
from ui.frame import in_place
from ui.hosted import admitted
from ui.links import linked_selectbox
from ui.prediction_examples import examples, of_sample
from ui.prediction_picture import Chosen

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

FILES, CAMERA, EXAMPLES, DATA = "files", "camera", "examples", "data set"
#: Pictures that are predicted at once.
MOST = 1000
#: The sample that is looked at, in the address.
PICTURE = "picture"


def choose_pictures(trained_on: str | None) -> list[Chosen]:
    """Widgets for them; none before something is chosen.

    Args:
        trained_on: the data set of the model, whose test pictures stand beside the files.
    """
    source = st.segmented_control(
        "Pictures from", [FILES, CAMERA, EXAMPLES, DATA], default=FILES, required=True, key="from", bind="query-params"
    )
    if source != DATA:
        for name in ("predict-data", "predict-split"):
            st.query_params.pop(name, None)
    if source in (CAMERA, EXAMPLES):
        st.query_params.pop(PICTURE, None)
    if source == FILES:
        return _files(trained_on)
    if source == CAMERA:
        taken = st.camera_input("Camera", key="camera", help="The picture is forgotten with the tab")
        return admitted([_uploaded(taken, "camera.jpg")]) if taken is not None else []
    if source == EXAMPLES:
        there = examples()
        name = st.pills("Example", list(there), key="example", bind="query-params", required=True, default="cat")
        return [there[name]] if name in there else []
    return _of_data()


def _files(trained_on: str | None) -> list[Chosen]:
    upload, example = st.columns([2, 1], vertical_alignment="bottom")
    given = upload.file_uploader(
        "Pictures",
        key="upload",
        accept_multiple_files=True,
        max_upload_size=limits().upload_megabytes,
        help="One or many: JPEG, PNG, TIFF, WebP, BMP or GIF up to 64 megapixels each, or zip archives of them",
    )
    with example:
        sample = _test_picture(trained_on) if trained_on else None
    if not given:
        return [sample] if sample else []
    found: list[Chosen] = []
    for file in given:
        with in_place():  # an archive that is damaged leaves the others
            found += _pictures_of(file)
    most = limits().pictures_at_once or MOST
    if len(found) > most:
        st.warning(f"These are {len(found)} pictures: the first {most} are predicted.", icon=":material/filter_list:")
    return admitted(found[:most])


def _pictures_of(file: UploadedFile) -> list[Chosen]:
    start = file.read(4)
    file.seek(0)
    if not is_zip(start):
        return [_uploaded(file, file.name)]
    found = uploaded_pictures([(file.name, file.getvalue())])
    if len(found) == 1:
        found[0].read()  # of an archive that is refused it says why
    found.sort(key=lambda source: source.name)
    return [Chosen(each.name, f"{file.file_id}/{each.origin}", each.read, in_file=True) for each in found]  # type: ignore[arg-type]


def _uploaded(file: UploadedFile, name: str) -> Chosen:
    return Chosen(name, file.file_id, file.getvalue, in_file=True)


def _test_picture(data: str) -> Chosen | None:
    try:
        dataset = cached.dataset(data, None)
        return _sample(dataset, "test", "… or one of its test pictures", f"example-{data}")
    except UserError:  # the data set is not on this computer
        return None


def _of_data() -> list[Chosen]:
    given = choose_data(key="predict-data")
    if given is None:
        return []
    left, right = st.columns(2)
    with left:
        split = linked_selectbox("Split", SPLITS, key="predict-split", default="test")
    with right:
        name, root = given
        chosen = _sample(cached.dataset(name, root), split, "Picture", f"sample-{name}-{split}")
    return [chosen] if chosen else []


def _sample(dataset: Dataset, split: str, label: str, key: str) -> Chosen | None:
    """A box of the samples of a split; nothing is chosen at first but what the address says."""
    samples = {sample.id: sample for sample in dataset.samples(split)}
    if key not in st.session_state and (asked := st.query_params.get(PICTURE)) in samples:
        st.session_state[key] = asked
    picked = st.selectbox(label, list(samples), index=None, key=key, placeholder="Choose")
    if picked is None:
        st.query_params.pop(PICTURE, None)
        return None
    st.query_params[PICTURE] = picked
    return of_sample(dataset, samples[picked])
