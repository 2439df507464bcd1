"""Mix Transformer (MiT), the encoder of SegFormer: four stages of attention over maps that shrink from stage to stage.

Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", arXiv:2105.15203.
Everything stays a map `(batch, height, width, channels)`, so that any picture whose sides are multiples of 32 fits;
tokens exist only inside the attention. What the paper leaves open is as in keras-cv, so that its weights fit exactly.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from segmodels.backend import keras, ops
from segmodels.errors import choose
from segmodels.models.layers import register

#: Channels of the four stages, and how many blocks each has.
VARIANTS: dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
HEADS = (1, 2, 5, 8)
#: How many pixels, along each side, become one key and value.
REDUCTIONS = (8, 4, 2, 1)
#: Share of pictures for which the last block is left out in training; it rises from 0 at the first block.
DROP_PATH = 0.1
#: How much wider than a stage its blocks are inside.
EXPANSION = 4
#: Of the two LayerNorms that begin a block's branches, and of all others.
BRANCH_EPSILON, EPSILON = 1e-6, 1e-3

TokenOrder = Literal["spatial", "keras-cv"]


@register
class Attention(keras.layers.Layer):
    """Multi-head attention from every pixel of one map to every pixel of another, without weights of its own.

    Queries `(batch, h, w, c)`, keys and values `(batch, h', w', c)`; returns `(batch, h, w, c)`.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, queries: Any, keys: Any, values: Any) -> Any:
        depth = queries.shape[-1] // self.heads
        q = ops.transpose(self._tokens(queries), (0, 2, 1, 3))
        k = ops.transpose(self._tokens(keys), (0, 2, 3, 1))
        v = ops.transpose(self._tokens(values), (0, 2, 1, 3))
        shares = ops.softmax(ops.matmul(q * depth**-0.5, k), axis=-1)  # (batch, heads, h w, h' w')
        return ops.reshape(ops.transpose(ops.matmul(shares, v), (0, 2, 1, 3)), ops.shape(queries))

    def _tokens(self, features: Any) -> Any:
        """`(batch, h, w, c)` to `(batch, h w, heads, c / heads)`."""
        _, height, width, channels = ops.shape(features)
        # The batch as -1: tf2onnx writes its size as "the same as before", and then confuses what was before.
        return ops.reshape(features, (-1, height * width, self.heads, channels // self.heads))

    def compute_output_shape(self, queries_shape: tuple, keys_shape: tuple, values_shape: tuple) -> tuple:
        return queries_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@register
class ChannelsAsRows(keras.layers.Layer):
    """keras-cv's order of tokens: lay out a map channel by channel, and read it as if it were pixel by pixel.

    This mixes places and channels, `(batch, h, w, c)` both; with `back` it is undone. keras-cv takes its maps so into
    the convolution that reduces keys and values (and out of it), and its published weights were trained that way.
    """

    def __init__(self, back: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.back = back

    def call(self, features: Any) -> Any:
        batch, height, width, channels = ops.shape(features)
        if self.back:
            return ops.transpose(ops.reshape(features, (batch, channels, height, width)), (0, 2, 3, 1))
        return ops.reshape(ops.transpose(features, (0, 3, 1, 2)), (batch, height, width, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "back": self.back}


@register
def tanh_gelu(x: Any) -> Any:
    """GELU by its tanh approximation, which is what keras-cv computes; Keras' own activation is the exact one."""
    return ops.gelu(x, approximate=True)


def mix_transformer(variant: str, token_order: TokenOrder = "spatial") -> keras.Model:
    """The encoder, without a classifier.

    It takes pictures `(batch, height, width, 3)` of 0..1, sides multiples of 32. The layers `stage1_norm` to
    `stage4_norm` hold its features at strides 4, 8, 16 and 32.

    Args:
        variant: a name of `VARIANTS`.
        token_order: what the convolution that reduces keys and values sees: "spatial", the picture, as in the paper;
            or "keras-cv", see `ChannelsAsRows`.
    """
    choose("token order", token_order, ("spatial", "keras-cv"))
    widths, depths = VARIANTS[variant]
    rates = [DROP_PATH * block / (sum(depths) - 1) for block in range(sum(depths))]
    x = images = keras.Input((None, None, 3), name="pictures")
    for stage, (width, depth, heads, reduction) in enumerate(zip(widths, depths, HEADS, REDUCTIONS, strict=True), 1):
        x = _embed(x, width, f"stage{stage}_embed", first=stage == 1)
        for block in range(1, depth + 1):
            rate = rates.pop(0)
            name = f"stage{stage}_block{block}_attention"
            branch = _attention(_normed(x, f"{name}_norm", BRANCH_EPSILON), heads, reduction, token_order, name)
            x = _add(x, branch, rate, name)
            name = f"stage{stage}_block{block}_mlp"
            x = _add(x, _mlp(_normed(x, f"{name}_norm", BRANCH_EPSILON), name), rate, name)
        x = _normed(x, f"stage{stage}_norm")
    return keras.Model(images, x, name=variant)


mit_b0 = partial(mix_transformer, "mit_b0")
mit_b1 = partial(mix_transformer, "mit_b1")
mit_b2 = partial(mix_transformer, "mit_b2")
mit_b3 = partial(mix_transformer, "mit_b3")
mit_b4 = partial(mix_transformer, "mit_b4")
mit_b5 = partial(mix_transformer, "mit_b5")


def _normed(x: Any, name: str, epsilon: float = EPSILON) -> Any:
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)(x)


def _embed(x: Any, width: int, name: str, *, first: bool) -> Any:
    """Overlapping patches: a convolution that reaches beyond its stride, 4 at first and 2 from stage to stage."""
    kernel, strides = (7, 4) if first else (3, 2)
    x = keras.layers.Conv2D(width, kernel, strides=strides, padding="same", name=f"{name}_conv")(x)
    return _normed(x, f"{name}_norm")


def _attention(x: Any, heads: int, reduction: int, token_order: TokenOrder, name: str) -> Any:
    """Self-attention of every pixel to a map that is smaller by `reduction` on each side: `(batch, h, w, c)` both."""
    width = x.shape[-1]
    source = x
    if reduction > 1:
        scrambled = token_order == "keras-cv"
        if scrambled:
            source = ChannelsAsRows(name=f"{name}_rows")(source)
        source = keras.layers.Conv2D(width, reduction, strides=reduction, padding="same", name=f"{name}_reduce")(source)
        if scrambled:
            source = ChannelsAsRows(back=True, name=f"{name}_rows_back")(source)
        source = _normed(source, f"{name}_reduce_norm")
    queries = keras.layers.Dense(width, name=f"{name}_query")(x)
    keys = keras.layers.Dense(width, name=f"{name}_key")(source)
    values = keras.layers.Dense(width, name=f"{name}_value")(source)
    return keras.layers.Dense(width, name=f"{name}_out")(Attention(heads, name=name)(queries, keys, values))


def _mlp(x: Any, name: str) -> Any:
    """Mix-FFN: the depthwise convolution between the two layers tells a pixel where it is: `(batch, h, w, c)` both."""
    width = x.shape[-1]
    x = keras.layers.Dense(EXPANSION * width, name=f"{name}_expand")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(x)
    x = keras.layers.Activation(tanh_gelu, name=f"{name}_gelu")(x)
    return keras.layers.Dense(width, name=f"{name}_contract")(x)


def _add(x: Any, branch: Any, rate: float, name: str) -> Any:
    """The residual sum, in training without its branch for a share `rate` of the pictures."""
    if rate:
        branch = keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop_path")(branch)
    return keras.layers.Add(name=f"{name}_add")([x, branch])
