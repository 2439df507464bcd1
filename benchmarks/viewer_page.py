"""What `benchmarks.viewer` opens: pictures in the viewer, the larger one at the push of a button."""

import cv2
import numpy as np
import streamlit as st

from segmodels.data.dataset import ClassLabel
from ui.viewer import Layer, Picture, viewer

LABELS = (ClassLabel("background", "#56606B"), ClassLabel("nucleus", "#56B4E9"), ClassLabel("border", "#F0E442"))


@st.cache_resource
def scene(height: int, width: int) -> Picture:
    """300 round objects with borders, on noise."""
    generator = np.random.default_rng(0)
    image = cv2.GaussianBlur(generator.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    instances, mask = np.zeros((height, width), np.int32), np.zeros((height, width), np.uint8)
    for number in range(1, 301):
        centre = (int(generator.integers(0, width)), int(generator.integers(0, height)))
        radius = int(generator.integers(12, 24) * height / 1000)
        cv2.circle(mask, centre, radius, 2, -1)
        cv2.circle(mask, centre, radius - 2, 1, -1)
        cv2.circle(instances, centre, radius, number, -1)
    return Picture("scene", image, [Layer("Truth", mask, truth=True, instances=instances)], LABELS)


st.set_page_config(layout="wide")
scene(3000, 4000)
large = st.button("Large")
height, width = (3000, 4000) if large else (1000, 1000)
viewer(lambda: scene(height, width), shows=f"{height} x {width}", key="one")
