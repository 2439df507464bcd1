"""What is to be predicted: pictures of files, folders, archives and buckets, in words that a worker understands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from segmodels.prediction.scale.bucket import InBucket, found_in_bucket, is_address, without_secrets
from segmodels.prediction.sources import Found, OnDisk, Place, Source, found_in, named

#: Where a picture can lie, by the name of it in an item's text.
PLACES: dict[str, type[OnDisk] | type[InBucket]] = {"disk": OnDisk, "bucket": InBucket}


@dataclass(frozen=True)
class Item:
    """A picture to predict: its number among all, its name and origin as in `Source`, where it lies, and the key of
    what is asked for, which changes with the picture, the model and every option."""

    number: int
    name: str
    origin: str
    key: str
    place: Place

    def text(self) -> str:
        """All of it as one line of JSON, for `item_of`."""
        kind = next(name for name, place in PLACES.items() if isinstance(self.place, place))
        return json.dumps({**vars(self), "place": [kind, asdict(self.place)]})  # type: ignore[call-overload]


def item_of(text: str) -> Item:
    """The item of a text."""
    fields = json.loads(text)
    kind, place = fields.pop("place")
    return Item(**fields, place=PLACES[kind](**place))


def pictures_at(sources: Sequence[str | Path]) -> list[Source]:
    """The pictures of paths and of addresses such as `s3://bucket/folder`, named as `pictures_in` does."""
    found: list[tuple[str, Sequence[Found]]] = []
    for source in map(str, sources):
        if is_address(source):
            parts = urlsplit(without_secrets(source))
            found.append((PurePosixPath(parts.path).name or parts.netloc, found_in_bucket(source)))
        else:
            found.append((Path(source).name, found_in(Path(source))))
    return named(found)


def key_of(source: Source, about: str) -> str:
    """A name for one picture as it is now under a call; `about` is that of the call."""
    state = source.place.state() if source.place else ()
    return hashlib.blake2b(
        repr((about, source.name, state)).encode("utf-8", "surrogateescape"), digest_size=16
    ).hexdigest()
