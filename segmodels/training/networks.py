"""The network that a recipe trains, with the heads that only training needs."""

from __future__ import annotations

from collections.abc import Sequence

from segmodels.backend import backend_name, clear, keras
from segmodels.data.dataset import ClassLabel
from segmodels.data.datasets import portable_name
from segmodels.data.prepared import Prepared
from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, Spec, input_spec, load_checkpoint
from segmodels.models.architectures import published
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.preflight import check_start
from segmodels.training.runs import find_checkpoint


def build_networks(recipe: Recipe, train: Prepared, *, resume: bool = False) -> tuple[keras.Model, keras.Model]:
    """The network to keep, and the one to train: the same layers and weights, and the auxiliary heads.

    Where there are no auxiliary heads, both are one. With `resume` the weights are random: a state is read into them.
    """
    clear()
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic and backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
    try:
        whole = build(
            recipe.architecture,
            classes=len(train.dataset.classes),
            backbone=recipe.backbone,
            weights="none" if resume or recipe.start_from else recipe.weights or "none",
            norm_momentum=recipe.norm_momentum,
            auxiliary=True,
            **recipe.options,
        )
    finally:
        keras.config.set_dtype_policy(policy)
    model = keras.Model(whole.inputs, whole.output["logits"], name=whole.name)
    if recipe.start_from and not resume:
        begin_with(model, recipe)
    elif published(recipe.weights) and not resume:
        from segmodels.models.voc import unfold_batch_norm

        unfold_batch_norm(model, train.read(slice(0, 16))[0])
    return model, whole if whole.output["auxiliary"] and recipe.auxiliary_weight != 0 else model


def begin_with(model: keras.Model, recipe: Recipe) -> None:
    """Give a network the weights of the checkpoint that its recipe starts from: all of them, or where the classes are
    more or fewer, all but those of the layers that tell classes apart."""
    path = find_checkpoint(str(recipe.start_from))
    check_start(recipe, path)
    begun, _ = load_checkpoint(path)
    for ours, theirs in zip(model.weights, begun.weights, strict=True):
        if ours.shape == theirs.shape:
            ours.assign(theirs)


def freeze(model: keras.Model, frozen: bool) -> None:
    """Hold the backbone as it is, the running statistics of its BatchNorm too, or let it learn again."""
    for layer in model.layers:
        if layer.name == "backbone":
            layer.trainable = not frozen


def spec_of(recipe: Recipe, labels: Sequence[ClassLabel]) -> Spec:
    """What a checkpoint says of the network: how to build it, what its classes are, and how it was trained."""
    return Spec(
        format=1,
        architecture=ArchitectureSpec(
            name=recipe.architecture, backbone=recipe.backbone, classes=len(labels), options=recipe.options
        ),
        classes=[ClassSpec(name=label.name, colour=label.colour) for label in labels],
        input=input_spec(recipe.sampling, recipe.image_size),
        # A folder of this machine says nothing elsewhere.
        recipe=recipe.model_dump(mode="json")
        | {"root": None, "split_file": None, "start_from": None, "data": portable_name(recipe.data)},
    )
