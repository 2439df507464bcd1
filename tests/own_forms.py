"""The same small data set in every form: painted pictures with two classes of drawn shapes, and the masks expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmodels.data.shapes import Shape, draw

#: Classes above the background, with the colours they are painted and coded in.
CLASSES = {"cell": (200, 60, 40), "gland": (40, 90, 200)}
BACKGROUND = (230, 225, 220)
HEIGHT, WIDTH = 48, 64


def pictures(count: int = 12) -> list[tuple[str, np.ndarray, list[Shape], np.ndarray]]:
    """Name, picture uint8 `(48, 64, 3)`, shapes in their order and mask uint8 `(48, 64)` of each sample."""
    generator = np.random.default_rng(0)
    made = []
    for index in range(count):
        shapes = []
        for label in CLASSES:
            centre = generator.uniform((14, 12), (WIDTH - 14, HEIGHT - 12))
            angles = np.sort(generator.uniform(0, 2 * np.pi, 7))
            radii = generator.uniform(7, 13, 7)
            points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            shapes.append(Shape(label, np.round(points, 1)))
        mask, _ = draw(shapes, {"cell": 1, "gland": 2}, HEIGHT, WIDTH)
        colours = np.array([BACKGROUND, *CLASSES.values()], np.int32)
        image = np.clip(colours[mask] + generator.integers(-12, 13, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        made.append((f"sample-{index:02d}", image, shapes, mask))
    return made


def write_form(form: str, folder: Path, count: int = 12) -> Path:
    """Write the data set in a form into a new folder."""
    folder.mkdir(parents=True)
    _WRITERS[form](folder, pictures(count))
    return folder


Pictures = list[tuple[str, np.ndarray, list[Shape], np.ndarray]]


def _masks(folder: Path, made: Pictures) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name, image, _, mask in made:
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "labels.txt").write_text("background\ncell\ngland\n")


def _colours(folder: Path, made: Pictures) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
    colours = np.array([(0, 0, 0), *CLASSES.values()], np.uint8)
    for name, image, _, mask in made:
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(colours[mask]).save(folder / "masks" / f"{name}.png")
    lines = ["0 0 0\t\tbackground", *(f"{r} {g} {b}\t\t{name}" for name, (r, g, b) in CLASSES.items())]
    (folder / "label_colors.txt").write_text("\n".join(lines))


def _arrays(folder: Path, made: Pictures) -> None:
    np.save(folder / "images.npy", np.stack([image for _, image, _, _ in made]))
    np.save(folder / "masks.npy", np.stack([mask for _, _, _, mask in made]))


def _labelme(folder: Path, made: Pictures) -> None:
    for name, image, shapes, _ in made:
        Image.fromarray(image).save(folder / f"{name}.png")
        document = {
            "version": "5.0.1",
            "flags": {},
            "shapes": [
                {"label": s.label, "points": s.points.tolist(), "shape_type": "polygon", "group_id": None, "flags": {}}
                for s in shapes
            ],
            "imagePath": f"{name}.png",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        (folder / f"{name}.json").write_text(json.dumps(document))


def _coco(folder: Path, made: Pictures) -> None:
    (folder / "images").mkdir()
    names = list(CLASSES)
    document: dict[str, list[Any]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
    }
    for number, (name, image, shapes, _) in enumerate(made):
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        document["images"].append({"id": number, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH})
        for shape in shapes:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": number,
                    "category_id": names.index(shape.label) + 1,
                    "segmentation": [shape.points.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
    (folder / "annotations.json").write_text(json.dumps(document))


def _via(folder: Path, made: Pictures) -> None:
    document = {}
    for name, image, shapes, _ in made:
        path = folder / f"{name}.png"
        Image.fromarray(image).save(path)
        regions = [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": s.points[:, 0].tolist(),
                    "all_points_y": s.points[:, 1].tolist(),
                },
                "region_attributes": {"tissue": s.label},
            }
            for s in shapes
        ]
        size = path.stat().st_size
        document[f"{path.name}{size}"] = {
            "filename": path.name, "size": size, "regions": regions, "file_attributes": {}
        }  # fmt: skip
    (folder / "via_region_data.json").write_text(json.dumps(document))


def _voc(folder: Path, made: Pictures) -> None:
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    for name, image, _, mask in made:
        Image.fromarray(image).save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
        indexed = Image.fromarray(mask, "P")
        indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        indexed.save(folder / "SegmentationClass" / f"{name}.png")
    names = [name for name, *_ in made]
    parts = {"train": names[:-4], "val": names[-4:-2], "test": names[-2:]}
    for split, listed in parts.items():
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(listed) + "\n")
    (folder / "class_names.txt").write_text("_background_\ncell\ngland\n")


def _monuseg(folder: Path, made: Pictures) -> None:
    for name, image, shapes, _ in made:
        Image.fromarray(image).save(folder / f"{name}.tif")
        annotations = "".join(
            f'<Annotation Id="{number}" Name="{label}"><Regions>'
            + "".join(
                f'<Region Id="{i}"><Vertices>'
                + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in shape.points.tolist())
                + "</Vertices></Region>"
                for i, shape in enumerate(shapes, start=1)
                if shape.label == label
            )
            + "</Regions></Annotation>"
            for number, label in enumerate(CLASSES, start=1)
        )
        (folder / f"{name}.xml").write_text(f'<Annotations MicronsPerPixel="0.252">{annotations}</Annotations>')


def _qupath(folder: Path, made: Pictures) -> None:
    for name, image, shapes, _ in made:
        Image.fromarray(image).save(folder / f"{name}.png")
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*s.points.tolist(), s.points[0].tolist()]]},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": s.label, "color": list(CLASSES[s.label])},
                },
            }
            for s in shapes
        ]
        (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


_WRITERS: dict[str, Callable[[Path, Pictures], None]] = {
    "masks": _masks, "colours": _colours, "arrays": _arrays, "labelme": _labelme, "coco": _coco, "via": _via,
    "voc": _voc, "monuseg": _monuseg, "qupath": _qupath,
}  # fmt: skip
