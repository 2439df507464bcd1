"""A page with two linked viewers of one drawn picture, for the browser tests; what the first reports is written."""

import json

import numpy as np
import streamlit as st

from segmodels.data.dataset import ClassLabel
from segmodels.data.tiles import tile_grid
from ui.viewer import Layer, Picture, viewer

LABELS = (ClassLabel("background", "#000000"), ClassLabel("<b>cell</b>", "#FF0000"), ClassLabel("gland", "#0000FF"))
SIDE = 3000 if "large" in st.query_params else 200
#: 64 pixels every 32: the last 8 columns and 4 rows are in none.
TILES = tile_grid(100, 200, 64, 32, "drop") if "tiles" in st.query_params else None


def scene() -> Picture:
    """Left a red cell, right a blue gland; the first model misses the gland, the second the cell; an unknown id."""
    scale = SIDE // 200
    truth = np.zeros((SIDE // 2, SIDE), np.uint8)
    truth[20 * scale : 80 * scale, 20 * scale : 80 * scale] = 1
    truth[20 * scale : 80 * scale, 120 * scale : 180 * scale] = 2
    first, second = np.where(truth == 2, 0, truth), np.where(truth == 1, 0, truth)
    second[:10, :10] = 77
    image = np.full((*truth.shape, 3), 255, np.uint8)
    image[:, ::2] = 200  # lines of one pixel, which only the picture's own size can show
    sure = np.full(truth.shape, 0.9)
    layers = [
        Layer("Truth", truth, truth=True, instances=truth.astype(np.int32) * 300),
        Layer("U-Net", first.astype(np.uint8), confidence=sure),
        Layer("FCN", second.astype(np.uint8)),
    ]
    return Picture("scene", image, layers, LABELS, micrometres=0.5)


st.set_page_config(layout="wide")
seen = viewer(
    scene, shows=f"scene {SIDE}", key="one", link="both", edits="scene", clicks=True, tiles=TILES, opacity=1.0
)
if seen.clicked:
    st.code("clicked " + json.dumps(vars(seen.clicked)))
if seen.saved is not None:
    st.code(f"saved {seen.saved.shape} {np.bincount(seen.saved.ravel()).tolist()}")
viewer(scene, shows=f"scene {SIDE}, again", key="two", link="both", first=1)
