"""The home page: what there is, and where to begin. `streamlit run app.py`"""

from contextlib import suppress

import streamlit as st

from segmodels.data.datasets import DATASETS, list_datasets
from segmodels.device import device
from segmodels.errors import UserError
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from segmodels.training.runs import ALIVE, list_runs
from ui import cached
from ui.frame import in_place, page, plain
from ui.models import usable_models

#: Pictures shown of each data set.
STRIP = 6

page("segmodels", ":material/texture:", "Semantic segmentation that you can see, train, compare and use.")


def strip(name: str) -> None:
    """A few pictures of a data set with their masks."""
    samples = cached.dataset(name, None).samples("train")
    chosen = [samples[i * len(samples) // STRIP] for i in range(min(STRIP, len(samples)))]
    with st.container(horizontal=True, gap="small"):
        for sample in chosen:
            with suppress(UserError):  # what is wrong with a picture is told where one looks at it
                picture = cached.thumbnail(name, None, "train", sample.id)
                st.image(picture, width=120, alt=f"{sample.id} of {name} with its mask")


found = device()
st.markdown(f":material/memory: Training runs on **{plain(str(found))}**.")
if found.note:
    st.warning(plain(found.note), icon=":material/info:")

runs = list_runs()
states = {run.id: run.state for run in runs}
alive = [run for run in runs if states[run.id] in ALIVE]
usable = usable_models()

browse, train, predict, models = st.columns(4, border=True)
with browse:
    st.subheader(":material/photo_library: Browse")
    st.write(f"{len(DATASETS)} data sets, picture by picture with their masks. Two of them need no download.")
    st.page_link("pages/1_Browse.py", label="Look at the pictures", icon=":material/arrow_forward:")
with train:
    st.subheader(":material/model_training: Train")
    st.write(
        f"{len(ARCHITECTURES)} architectures from U-Net to SegFormer, on their own or {len(BACKBONES)} other encoders. "
        "Watch the curves and the masks while it learns."
    )
    st.page_link("pages/2_Train.py", label="Train a model", icon=":material/arrow_forward:")
with predict:
    st.subheader(":material/draw: Predict")
    count = f"{len(usable)} trained model{'s' if len(usable) != 1 else ''}" if usable else "No trained model yet"
    st.write(f"{count}. Drop in a photo and get its mask at the photo's own size.")
    st.page_link("pages/4_Predict.py", label="Get a mask", icon=":material/arrow_forward:")
with models:
    st.subheader(":material/deployed_code: Models")
    st.write("All that is trained or was pulled, with its figures. Pull from the Hugging Face Hub, push to it, export.")
    st.page_link("pages/5_Models.py", label="Look at the models", icon=":material/arrow_forward:")

if alive:
    st.subheader("In progress")
    for run in alive:
        status = run.status()
        waiting_for = status.get("waiting_for")
        progress = f"epoch {status.get('epoch', 0)} of {status.get('epochs', '?')}"
        st.page_link(
            "pages/2_Train.py",
            label=f"{run.id}: {f'waiting for {waiting_for}' if waiting_for else progress}",
            icon=":material/hourglass_top:" if waiting_for else ":material/play_circle:",
            query_params={"run": run.id},
        )
elif not runs:
    first = "Hand *Predict* a photo of a cat or a dog. Or train" if "pets" in usable else "Train"
    st.info(
        f"New here? {first} a small U-Net on **toy\\-pets**: it needs no download and takes a few minutes on a laptop.",
        icon=":material/flag:",
    )

st.subheader("Data sets")
for row in list_datasets():
    counts = f"{row['train']} / {row['validation']} / {row['test']}" if row["here"] != "no" else "not here yet"
    with st.container(border=True), in_place():
        st.page_link(
            "pages/1_Browse.py",
            label=f"**{row['title']}**",
            icon=":material/folder:",
            query_params={"data": row["name"]},
        )
        st.caption(f"{plain(row['description'])} Training / validation / test pictures: {counts}.")
        if row["here"] != "no":
            strip(row["name"])
