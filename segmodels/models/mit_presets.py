"""ImageNet weights of MiT-B0, which keras-cv published. The only module that loads keras-cv."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segmodels.backend import backend_name, keras
from segmodels.errors import UserError
from segmodels.models.mit import VARIANTS
from segmodels.models.weights import fill

PRESET = "mit_b0_imagenet"
FILE = "mit_b0_imagenet.weights.h5"


def load_imagenet(network: keras.Model, path: Path | None) -> None:
    """Fill a Mix Transformer from a file that keras-cv's `MiTBackbone.save_weights` wrote.

    Without a `path` keras-cv downloads its published MiT-B0. `UserError` says where else to get it.
    """
    if backend_name() != "tensorflow":
        raise UserError(f"weights of keras-cv need the TensorFlow backend, and this is {backend_name()}: use 'none'")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
            import keras_cv
    except ImportError:
        raise UserError(
            "weights of keras-cv need keras-cv and TensorFlow: pip install -r requirements.txt, or use 'none'"
        ) from None
    if path is None:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                source = keras_cv.models.MiTBackbone.from_preset(PRESET)
        except Exception:
            raise UserError(
                f"{FILE} is not here and cannot be downloaded: run once where keras-cv reaches its preset {PRESET} on "
                "Kaggle, or put that file (what save_weights of the preset writes) in a folder named by "
                "SEGMODELS_WEIGHTS_DIR"
            ) from None
    else:
        widths, depths = VARIANTS[network.name]
        # No weight depends on the size of the picture, but keras-cv builds for none below this.
        source = keras_cv.models.MiTBackbone(
            include_rescaling=False, input_shape=(64, 64, 3), embedding_dims=list(widths), depths=list(depths)
        )
        fill(source, path, f"weights of keras-cv's {_title(network)}")
    copy_weights(source, network)


def copy_weights(source: Any, network: keras.Model) -> None:
    """Copy a `keras_cv.models.MiTBackbone` into a network of `segmodels.models.mit` of the same variant."""
    if source.count_params() != network.count_params():
        raise UserError(f"these are not weights of {_title(network)}: {source.count_params():,} numbers, not its own")
    for theirs, name in _pairs(source, VARIANTS[network.name][1]):
        ours, values = network.get_layer(name), theirs.get_weights()
        shapes = [value.shape for value in values]
        if shapes != [tuple(weight.shape) for weight in ours.weights]:
            raise UserError(f"these are not weights of {_title(network)}: {name} has other shapes ({shapes})")
        ours.set_weights(values)


def _pairs(source: Any, depths: tuple[int, ...]) -> Iterator[tuple[Any, str]]:
    """Every layer of keras-cv that has weights, and the name of ours."""
    norms = [layer for layer in source.layers if isinstance(layer, keras.layers.LayerNormalization)]
    for index, depth in enumerate(depths):
        stage = f"stage{index + 1}"
        patches = source.get_layer(f"patch_and_embed_{index}")
        yield patches.proj, f"{stage}_embed_conv"
        yield patches.norm, f"{stage}_embed_norm"
        for block in range(depth):
            encoder, name = source.get_layer(f"hierarchical_encoder_{index}_{block}"), f"{stage}_block{block + 1}"
            yield encoder.norm1, f"{name}_attention_norm"
            yield encoder.attn.q, f"{name}_attention_query"
            yield encoder.attn.k, f"{name}_attention_key"
            yield encoder.attn.v, f"{name}_attention_value"
            yield encoder.attn.proj, f"{name}_attention_out"
            if encoder.attn.sr_ratio > 1:
                yield encoder.attn.sr, f"{name}_attention_reduce"
                yield encoder.attn.norm, f"{name}_attention_reduce_norm"
            yield encoder.norm2, f"{name}_mlp_norm"
            yield encoder.mlp.fc1, f"{name}_mlp_expand"
            yield encoder.mlp.dwconv, f"{name}_mlp_depthwise"
            yield encoder.mlp.fc2, f"{name}_mlp_contract"
        yield norms[index], f"{stage}_norm"


def _title(network: keras.Model) -> str:
    return network.name.replace("mit_b", "MiT-B")
