"""The check of a weights file: what Keras writes passes, and what else HDF5 can do is refused in one line."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.hub import weights_file
from segmodels.hub.checkpoint import load_checkpoint
from segmodels.hub.weights_file import check_weights_file
from tests.test_checkpoint import checkpoint, whole  # noqa: F401 (fixtures)

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


def refusal(path: Path, **options: int) -> str:
    with pytest.raises(UserError) as caught:
        check_weights_file(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert len(text) < 600
    return text


def written(path: Path, write: Callable[[h5py.File], object], **options: object) -> Path:
    with h5py.File(path, "w", **options) as file:
        file["layers/conv2d/vars/0"] = NUMBERS
        write(file)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.weights.h5"


def test_what_keras_writes_passes_with_every_shape(path: Path) -> None:
    from segmodels.backend import keras

    layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers, keras.layers.Conv2D(2, 1, dtype="bfloat16")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(str(path))
    found = check_weights_file(path)
    with h5py.File(path) as file:
        expected: dict[str, tuple[int, ...]] = {}
        file.visititems(lambda name, each: expected.update({name: each.shape} if hasattr(each, "shape") else {}))
    assert found == expected
    assert found["layers/conv2d/vars/0"] == (3, 3, 3, 4)
    assert {name.split("/")[0] for name in found} == {"layers", "optimizer"}
    assert sum(name.startswith("layers/") for name in found) == len(model.weights) == 8


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "u1", "i4", "i8", "u4", "?"])
def test_numbers_of_every_kind_pass(path: Path, kind: str) -> None:
    written(path, lambda file: file.create_dataset("vars/0", data=np.ones((2, 3), kind)))
    assert check_weights_file(path) == {"layers/conv2d/vars/0": (3, 4), "vars/0": (2, 3)}


def test_scalars_and_empty_arrays_pass(path: Path) -> None:
    def write(file: h5py.File) -> None:
        file["vars/0"] = np.float32(3)
        file["vars/1"] = np.zeros((0, 5), np.float32)

    written(path, write)
    assert check_weights_file(path) == {"layers/conv2d/vars/0": (3, 4), "vars/0": (), "vars/1": (0, 5)}


def _external_data(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(b"x" * 48)
    file.create_dataset("vars/0", (12,), np.float32, external=[(str(secret), 0, 48)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 4), np.float32)
    layout[...] = h5py.VirtualSource(file.filename, "layers/conv2d/vars/0", (3, 4))
    file.create_virtual_dataset("vars/0", layout)


def _huge(file: h5py.File) -> None:
    file.create_dataset("vars/0", (10**6, 10**6), np.float32)  # nothing of it is written


def _bomb(file: h5py.File) -> None:
    file.create_dataset("vars/0", data=np.zeros((1000, 1000), np.float32), compression="gzip", compression_opts=9)


def _pieces(file: h5py.File) -> None:
    file.create_dataset("vars/0", (10**6, 10**6), np.float32, chunks=(1, 4))


def _circle(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]


def _root_in_itself(file: h5py.File) -> None:
    file["layers/root"] = file["/"]


def _one_array_often(file: h5py.File) -> None:
    for number in range(20):
        file[f"vars/{number}"] = file["layers/conv2d/vars/0"]


def _deep(file: h5py.File) -> None:
    file.create_group("/".join(["layers"] * 60))


def _text_array(file: h5py.File) -> None:
    file.create_dataset("vars/0", data=["a text"] * 3, dtype=h5py.string_dtype())


def _named_type(file: h5py.File) -> None:
    file["kind"] = np.dtype(np.float32)


def _attribute(file: h5py.File) -> None:
    file["layers/conv2d/vars"].attrs["table"] = np.zeros(100)


def _many_attributes(file: h5py.File) -> None:
    for number in range(20):
        file["layers"].attrs[f"a{number}"] = "text"


def _compound(file: h5py.File) -> None:
    file["vars/0"] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def _references(file: h5py.File) -> None:
    file.create_dataset("vars/0", data=[file["layers"].ref], dtype=h5py.ref_dtype)


def _region_references(file: h5py.File) -> None:
    file.create_dataset("vars/0", data=[file["layers/conv2d/vars/0"].regionref[:]], dtype=h5py.regionref_dtype)


def _ragged(file: h5py.File) -> None:
    file.create_dataset("vars/0", (3,), h5py.vlen_dtype(np.float32))


def _no_array(file: h5py.File) -> None:
    file["vars/0"] = h5py.Empty("f4")


def _long_double(file: h5py.File) -> None:
    file["vars/0"] = np.zeros(3, np.longdouble)


HOSTILE: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "link to another file": (lambda f: f.__setitem__("vars", h5py.ExternalLink("/etc/x.h5", "/")), "to another file"),
    "link": (lambda f: f.__setitem__("vars", h5py.SoftLink("/layers/conv2d/vars")), "is a link"),
    "link that dangles": (lambda f: f.__setitem__("vars", h5py.SoftLink("/nowhere")), "is a link"),
    "link to itself": (lambda f: f.__setitem__("vars", h5py.SoftLink("/vars")), "is a link"),
    "data in another file": (_external_data, "data in another file"),
    "virtual": (_virtual, "put together from other arrays"),
    "huge": (_huge, "claims 4,000,000,000,000 bytes"),
    "bomb": (_bomb, "packed"),
    "checksum": (lambda f: f.create_dataset("v", data=NUMBERS, fletcher32=True), "packed"),
    "pieces": (_pieces, "in pieces"),
    "circle": (_circle, "twice"),
    "root in itself": (_root_in_itself, "twice"),
    "one array often": (_one_array_often, "twice"),
    "deep": (_deep, "deep"),
    "text": (_text_array, "else than numbers"),
    "fixed text": (lambda f: f.create_dataset("v", data=np.array([b"text"])), "else than numbers"),
    "named type": (_named_type, "neither a group nor an array"),
    "attribute": (_attribute, "attribute that is no text"),
    "many attributes": (_many_attributes, "20 attributes"),
    "compound": (_compound, "else than numbers"),
    "references": (_references, "else than numbers"),
    "region references": (_region_references, "else than numbers"),
    "ragged": (_ragged, "else than numbers"),
    "void": (lambda f: f.create_dataset("v", data=np.zeros(3, "V5")), "else than numbers"),
    "complex": (lambda f: f.create_dataset("v", data=np.zeros(3, "c8")), "else than numbers"),
    "long double": (_long_double, "else than numbers"),
    "no array": (_no_array, "no array"),
    "axes": (lambda f: f.create_dataset("v", data=np.zeros((1,) * 12, "f4")), "at most 8 axes"),
    "name": (lambda f: f.create_dataset("a\nb", data=NUMBERS), "no name"),
    "long name": (lambda f: f.create_dataset("a" * 300, data=NUMBERS), "no name"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_weights_never_need_is_refused(path: Path, what: str) -> None:
    write, words = HOSTILE[what]
    assert words in refusal(written(path, write))


@pytest.mark.parametrize("what", ["link to another file", "data in another file", "huge", "bomb", "circle", "virtual"])
def test_a_checkpoint_with_such_weights_never_reaches_keras(
    checkpoint: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    from segmodels.backend import keras

    monkeypatch.setattr(keras.Model, "load_weights", lambda *_: pytest.fail("Keras was given the file"))
    written(checkpoint / "model.weights.h5", HOSTILE[what][0])
    with pytest.raises(UserError, match=HOSTILE[what][1]):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("sides", [(2**31, 2**31), (2**62, 4), (2**63, 2**63), (3, 5), (2**40, 1)])
def test_sides_that_were_changed_in_the_file(path: Path, sides: tuple[int, int]) -> None:
    """2^31 x 2^31 numbers of four bytes are none at all in 64 bits."""
    written(path, lambda _: None)
    data = path.read_bytes()
    old = struct.pack("<QQ", *NUMBERS.shape)
    assert data.count(old) == 2  # sides, and the most that they may become
    path.write_bytes(data.replace(old, struct.pack("<QQ", *sides)))
    refusal(path)


def test_other_data_before_its_own(path: Path) -> None:
    written(path, lambda _: None, userblock_size=512)
    assert "no HDF5 file" in refusal(path)
    with path.open("r+b") as file:
        file.write(weights_file.SIGNATURE)
    refusal(path)


def test_too_many_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_file, "MAX_OBJECTS", 500)

    def write(file: h5py.File) -> None:
        for number in range(600):
            file.create_group(f"g{number}")

    assert "more than the 500 groups" in refusal(written(path, write))

    def spread(file: h5py.File) -> None:
        for number in range(600):
            file.create_group(f"a{number // 30}/g{number}")

    assert "more than the 500 groups" in refusal(written(path, spread))


def test_hundred_thousands_of_groups_are_refused_soon(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("layers").id
        for number in range(100_000):
            h5py.h5g.create(group, b"%d" % number)
    began = time.perf_counter()
    assert "more than the 50,000 groups" in refusal(path)
    assert time.perf_counter() - began < 10


def test_a_file_that_is_too_large_or_missing(path: Path) -> None:
    written(path, lambda _: None)
    size = path.stat().st_size
    assert check_weights_file(path, most_bytes=size)
    assert f"{size:,} bytes, more than the {size - 1:,} allowed" in refusal(path, most_bytes=size - 1)
    path.unlink()
    assert "no such file" in refusal(path)
    path.mkdir()
    assert "damaged" in refusal(path)


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    written(path, lambda file: file.create_dataset("vars/0", data=np.arange(5000, dtype="f4")))
    data = path.read_bytes()
    for kept in (0, 1, 7, 8, 100, 600, len(data) // 2, len(data) - 4096, len(data) - 1):
        path.write_bytes(data[:kept])
        assert "damaged" in refusal(path)


def test_bytes_changed_anywhere_are_refused_or_harmless(path: Path) -> None:
    """Whatever is changed: a `UserError`, or arrays that lie within the file."""
    written(path, lambda _: None)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        spoilt = bytearray(data)
        for place in rng.integers(8, len(data), 6):
            spoilt[place] = rng.integers(256)
        path.write_bytes(bytes(spoilt))
        try:
            shapes = check_weights_file(path)
        except UserError:
            refused += 1
            continue
        assert sum(int(np.prod(shape)) for shape in shapes.values()) <= len(data)
    assert refused > 20


def test_weights_with_something_left_over_are_refused(checkpoint: Path) -> None:  # noqa: F811
    """Keras reads what it knows and says nothing of the rest: weights of a larger network would seem to fit."""
    weights = checkpoint / "model.weights.h5"
    load_checkpoint(checkpoint)
    with h5py.File(weights, "a") as file:
        file["layers/functional/layers/conv2d_99/vars/0"] = NUMBERS
    with pytest.raises(UserError, match=r"does not fit its segmodels\.json \(it has 57 arrays, the network 56"):
        load_checkpoint(checkpoint)
    with h5py.File(weights, "a") as file:
        del file["layers/conv2d_99" if "layers/conv2d_99" in file else "layers/conv2d"]
        file["layers/conv2d_98/vars/0"] = NUMBERS
    with pytest.raises(UserError, match="does not fit"):
        load_checkpoint(checkpoint)


def test_thirty_megabytes_are_checked_at_once(path: Path) -> None:
    """300 arrays of a network: some 30 ms. What is measured is this process's own time."""
    with h5py.File(path, "w") as file:
        for number in range(300):
            file[f"layers/functional/layers/conv2d_{number}/vars/0"] = np.zeros((158, 158), np.float32)
    assert path.stat().st_size > 29e6
    taken = []
    for _ in range(5):
        began = time.process_time()
        assert len(check_weights_file(path)) == 300
        taken.append(time.process_time() - began)
    assert min(taken) < 0.2
