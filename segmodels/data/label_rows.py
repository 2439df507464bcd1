"""The rows of a label file as they stand there: where, name, number and colour; nothing of it is checked yet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segmodels.errors import UserError

#: Where a row stands, and its name, number and colour as the file has them.
Row = tuple[str, Any, Any, Any]


_NAME_KEYS = ("name", "title", "label", "class", "class_name", "label_name", "category", "classname")
_ID_KEYS = ("id", "value", "index", "class_id", "label_id", "idx", "train_id", "trainid")
_COLOUR_KEYS = ("color", "colour", "rgb", "hex", "color_rgb")
_CHANNELS = {"r": "r", "red": "r", "g": "g", "green": "g", "b": "b", "blue": "b"}
_RGB = ["r", "g", "b"]
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
HEX = re.compile(r"#[0-9a-fA-F]{6}")
_CVAT_COLUMNS = ["label:color_rgb:parts:actions"]
_CVAT = re.compile(r"(?P<name>[^:]+):(?P<colour>[^:]*):[^:]*:[^:]*")


def text_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of a text file, by the columns that its first line has. Raises `UserError`."""
    columns: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}, line {number}"
        line = line.strip()
        if not line or (line.startswith("#") and not HEX.match(line)):
            continue
        found = _CVAT.fullmatch(line)
        if columns == _CVAT_COLUMNS or (columns is None and found):
            if not found:
                raise UserError(f"{where}: expected `{_CVAT_COLUMNS[0]}` as in the first line, got {line[:60]!a}")
            columns = _CVAT_COLUMNS
            yield where, found["name"], None, found["colour"] or None
            continue
        fields = _fields(where, line)
        if columns is None:
            if columns := _header(fields):
                continue
            columns = _columns(fields, line)
        if columns == ["name"]:
            yield where, line, None, None
            continue
        yield where, *_row(where, fields, columns)


def _fields(where: str, line: str) -> list[str]:
    """A line in its fields, a colour as three: by commas or semicolons where there are any, else by spaces and tabs."""
    line = re.sub(r"^([0-9]+)\s*[:=]\s*", r"\1 ", line)  # "0: sky"
    mark = next((mark for mark in ",;" if mark in line), None)
    try:
        fields = [field.strip() for field in next(csv.reader([line], delimiter=mark))] if mark else line.split()
    except csv.Error as error:
        raise UserError(f"{where}: not a line of a table ({error})") from None
    return [part for field in fields for part in (_channels(field) if HEX.fullmatch(field) else [field])]


def _channels(colour: str) -> list[str]:
    return [str(value) for value in bytes.fromhex(colour[1:])]


def _header(fields: Sequence[str]) -> list[str] | None:
    """The columns that a header names, or None where the line is none."""
    names = [re.sub(r"[^a-z]+", "_", field.lower()).strip("_") for field in fields]
    columns = []
    for name in names:
        known = "name" if name in _NAME_KEYS else "id" if name in _ID_KEYS else _CHANNELS.get(name, "")
        columns += _RGB if name in _COLOUR_KEYS else [known]
    return columns if len(names) > 1 and columns.count("name") == 1 and len(set(columns) - {""}) > 1 else None


def _columns(fields: Sequence[str], line: str) -> list[str]:
    """The columns of a line without a header, by where its numbers stand."""
    numeric = [bool(_NUMBER.fullmatch(field)) for field in fields]
    lead = next((index for index, is_number in enumerate(numeric) if not is_number), len(fields))
    trail = next((index for index, is_number in enumerate(reversed(numeric)) if not is_number), len(fields))
    if lead == len(fields):
        return {3: _RGB, 4: ["id", *_RGB]}.get(lead, ["name"])
    left = {1: ["id"], 3: _RGB, 4: ["id", *_RGB]}.get(lead, [])
    if trail == 3 and lead in (0, 1):
        return [*left, "name", *_RGB]
    # "class 1" is a name; "sky,1" and "0 0 255,sky,1" are numbered.
    if trail == 1 and lead in (0, 3) and any(mark in line for mark in ",;\t"):
        return [*left, "name", "id"]
    return [*left, "name"]


def _row(where: str, fields: list[str], columns: list[str]) -> tuple[str | None, Any, Any]:
    """Name, number and colour of a line; the name takes what the other columns leave."""
    place = columns.index("name") if "name" in columns else len(columns)
    after = len(columns) - place - 1 if "name" in columns else 0
    if len(fields) < len(columns):
        wanted = " ".join(column or "…" for column in columns)
        raise UserError(f"{where}: expected `{wanted}` as in the first line, got {' '.join(fields)[:60]!a}")
    stop = len(fields) - after
    values = dict(zip(columns[:place], fields[:place], strict=True))
    values |= dict(zip(columns[len(columns) - after :], fields[stop:], strict=True)) if after else {}
    colour = [values[channel] for channel in _RGB] if all(channel in values for channel in _RGB) else None
    return " ".join(fields[place:stop]) if "name" in columns else None, values.get("id"), colour


def document_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of a JSON or YAML document. Raises `UserError`."""
    document = _parsed(path, text)
    colours: Any = None
    if isinstance(document, dict):
        colours = next((document[key] for key in ("colors", "colours", "palette") if key in document), None)
        for key in ("classes", "names", "labels", "categories", "class_names", "label_names"):
            if isinstance(document.get(key), (dict, list)):
                document = document[key]
                break
        else:
            if not isinstance(colours, (list, type(None))):
                document, colours = colours, None
    if isinstance(document, dict):
        entries = [(f"{path}, entry {str(key)[:40]!a}", key, value) for key, value in document.items()]
        rows = [(where, *_item(where, key, value)) for where, key, value in entries]
    elif isinstance(document, list):
        rows = [(f"{path}, entry {n}", *_entry(f"{path}, entry {n}", e)) for n, e in enumerate(document, start=1)]
    else:
        raise UserError(f"{path}: no list of classes in it")
    for index, (where, name, number, colour) in enumerate(rows):
        if colour is None and isinstance(colours, list) and index < len(colours):
            colour = colours[index]
        elif colour is None and isinstance(colours, Mapping):
            colour = colours.get(name)
        yield where, name, number, colour


def _entry(where: str, entry: Any) -> tuple[Any, Any, Any]:
    """Name, number and colour of one of a list: a name, or an object of these."""
    if not isinstance(entry, dict):
        return entry, None, None
    found = {str(key).lower(): value for key, value in entry.items()}
    name = next((found[key] for key in _NAME_KEYS if key in found), None)
    colour = next((found[key] for key in _COLOUR_KEYS if key in found), None)
    # The ids of Supervisely's `title` entries number its data base, not the pixels.
    number = next((found[key] for key in _ID_KEYS if key in found), None) if "title" not in found else None
    return name, number, colour


def _item(where: str, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """Name, number and colour of one key of an object: the key is a name, a number or a colour."""
    if isinstance(value, dict):
        name, number, colour = _entry(where, value)
        if name is None:
            return key, number, colour
        return name, number if number is not None else key, colour
    if isinstance(value, str) and not _is_colour(value) and (_NUMBER.fullmatch(key) or _is_colour(key)):
        return (value, None, key) if _is_colour(key) else (value, key, None)
    if isinstance(value, (list, tuple)) or (isinstance(value, str) and _is_colour(value)):
        return key, None, value
    return key, value, None


def _is_colour(text: str) -> bool:
    return bool(HEX.fullmatch(text) or re.fullmatch(r"[\[(]?\s*[0-9]+(\s*,\s*[0-9]+){2}\s*[\])]?", text))


def _parsed(path: Path, text: str) -> Any:
    """A JSON or YAML document; every scalar of YAML is text, so that a class may be called `no`."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, Loader=_Loader)
    except _RepeatedKeyError as error:
        raise UserError(f"{path}: {error.args[0]!a} stands there twice") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{path}, line {mark.line + 1 if mark else 1}: not valid YAML ({error.problem})") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise UserError(f"{path}: not a valid {suffix[1:].upper()} file") from None


class _RepeatedKeyError(Exception):
    """A key that an object has twice."""


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(str(key)[:100])
        found[key] = value
    return found


class _Loader(yaml.BaseLoader):
    """A loader that refuses repeated keys and keys that are no text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key that is no text", node.start_mark)
        _once([(key, None) for key in keys])
        return super().construct_mapping(node, deep)
