"""How a picture is cut into tiles, chosen and told; the viewer draws them."""

from __future__ import annotations

from typing import get_args

import streamlit as st

from segmodels.data.tiles import Edge, Tiles, tile_grid

#: What happens at the border, in words.
EDGES = {"pad": "filled up by reflection", "shift": "moved back inside", "drop": "left out"}


def showing_tiles() -> bool:
    """The switch that lays them over the picture."""
    return st.toggle("Show the tiles", key="tiles", help="As training by tiles cuts this picture")


def choose_tiles(height: int, width: int) -> Tiles:
    """What a recipe says of tiles, and how many of them a picture of so many pixels becomes; returns those."""
    first, second, third = st.columns(3)
    size = int(first.number_input("Side of a tile", 32, 2048, 256, step=32, key="tile-size", help="`--image-size`"))
    # A stride over the size would leave pixels between two tiles: it is bound to it.
    stride = int(
        second.number_input(
            "A new one every", 1, size, min(size, 256), step=16, key=f"tile-stride-{size}", help="`--tile-stride`"
        )
    )
    edge = third.selectbox(
        "The last one", get_args(Edge), 1, format_func=EDGES.__getitem__, key="tile-edge", help="`--tile-edge`"
    )
    tiles = tile_grid(height, width, size, stride, edge)
    covered = min(height, int(tiles.tops[-1]) + size) * min(width, int(tiles.lefts[-1]) + size) / (height * width)
    unseen = f"; {100 * (1 - covered):.1f} % of the picture is in none" if covered < 1 else ""
    count = len(tiles)
    st.caption(f"{count} tile{'s' if count != 1 else ''} of this picture of {width} x {height} pixels{unseen}.")
    return tiles
