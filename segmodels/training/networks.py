"""The network that a recipe trains, with the heads that only training needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from segmodels.backend import backend_name, clear, keras
from segmodels.data.dataset import ClassLabel
from segmodels.data.datasets import portable_name
from segmodels.data.prepared import Prepared
from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, Spec, input_spec, load_checkpoint
from segmodels.models.architectures import NAMED_WEIGHTS, published
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.parallel import Parallel
from segmodels.training.preflight import check_start


def build_networks(
    recipe: Recipe, train: Prepared, *, resume: bool = False, parallel: Parallel | None = None
) -> tuple[keras.Model, keras.Model]:
    """The network to keep, and the one to train: the same layers and weights, and the auxiliary heads.

    Where there are no auxiliary heads, both are one. With `resume` the weights are random: a state is read into them.
    So they are where the recipe starts from a checkpoint, until `begin_with`.

    Args:
        parallel: the devices that have the variables, where there are several.
    """
    clear()  # outside of their scope, which would be forgotten too
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic and backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
    try:
        with parallel.scope() if parallel else nullcontext():
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
    if published(recipe.weights) and not (resume or recipe.start_from):
        from segmodels.models.voc import unfold_batch_norm

        unfold_batch_norm(model, train.read(slice(0, 16))[0])
    return model, whole if whole.output["auxiliary"] and recipe.auxiliary_weight != 0 else model


def begin_with(model: keras.Model, recipe: Recipe, path: Path, labels: Sequence[ClassLabel]) -> list[str]:
    """Give a network the weights of a checkpoint: all of them, or where the classes are others, or in another order,
    all but those of the layers that tell classes apart.

    Args:
        path: the checkpoint directory that the recipe starts from, as `kept_start` gives it.
        labels: the classes of the network.

    Returns:
        The names of the layers that begin anew.
    """
    check_start(recipe, path)
    begun, spec = load_checkpoint(path)
    same = [label.name for label in labels] == [label.name for label in spec.labels]
    # A network with a class more has other shapes where classes are told apart.
    other = model if same else _with_classes(recipe, len(labels) + 1)
    anew = []
    for ours, theirs, more in zip(model.weights, begun.weights, other.weights, strict=True):
        if ours.shape == theirs.shape and ours.shape == more.shape:
            ours.assign(theirs)
        else:
            anew.append(ours.path.rpartition("/")[0])
    return list(dict.fromkeys(anew))


def _with_classes(recipe: Recipe, classes: int) -> keras.Model:
    return build(recipe.architecture, classes=classes, backbone=recipe.backbone, **recipe.options)


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
        # A path of this machine says nothing elsewhere.
        recipe=recipe.model_dump(mode="json")
        | dict.fromkeys(("root", "split_file", "start_from", "teachers", "teacher_weight"))
        | {"data": portable_name(recipe.data)}
        | ({} if recipe.weights in NAMED_WEIGHTS else {"weights": "none"}),
    )
