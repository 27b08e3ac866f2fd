"""How long `prepare` takes, and how much memory, on files of the size and form of the official ones.

    python benchmarks/prepare_visual_genome.py [--scale 0.05] [--with-attributes-and-regions]

Writes made-up files in the official formats into a temporary directory, runs `prepare` on them in a process of its own,
deletes everything, and prints one JSON object as its last line. Bars at full scale on two cores: 5 minutes, 4 GB.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, OBJECTS_AN_IMAGE, EDGES_AN_IMAGE, REGIONS_AN_IMAGE = 108_077, 35.2, 21.3, 50
CAPTIONED, CAPTIONS_AN_IMAGE, CAPTION_WORDS = 51_498, 5, 10
WORDS, DIMENSION = 400_000, 300
BOXES = np.random.default_rng(1).integers(1, 500, (997, 4)).tolist()
NAMES, PREDICATES, SPOKEN_WORDS = 82_000, 36_000, 30_000

RUN_PREPARE = """
import json, sys
from pathlib import Path
from rich.console import Console
from training.data.prepare import prepare
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
prepare(visual_genome=folder, captions=[folder / "captions.json"], word_vectors=folder / "glove.txt", out=out,
        console=Console())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images and word vectors")
    parser.add_argument(
        "--with-attributes-and-regions", action="store_true", help="write attributes.json and regions too"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prepare-benchmark-") as name:
        folder = Path(name)
        began = time.perf_counter()
        write_files(folder, arguments.scale, extras=arguments.with_attributes_and_regions)
        print(f"files written in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        root = Path(__file__).parents[1]
        command = [sys.executable, "-c", RUN_PREPARE, str(folder), str(folder / "dataset")]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(root)})
        seconds = time.perf_counter() - began
        result = {
            "benchmark": "prepare_visual_genome",
            "scale": arguments.scale,
            "seconds": round(seconds, 1),
            "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2, 2),
            "load_average": round(os.getloadavg()[0], 1),
            "input_mb": {
                path.name: round(path.stat().st_size / 1e6) for path in sorted(folder.iterdir()) if path.is_file()
            },
            "dataset_mb": round(sum(path.stat().st_size for path in (folder / "dataset").iterdir()) / 1e6),
        }
    print(json.dumps(result))


def write_files(folder: Path, scale: float, *, extras: bool) -> None:
    """Files in the official formats, at a share of the official size."""
    rng = np.random.default_rng(0)
    images = max(int(IMAGES * scale), 100)
    captioned = int(images * CAPTIONED / IMAGES)
    write_array(folder / "image_data.json", (image_data(image, captioned) for image in range(images)))
    write_graphs(folder, rng, images, attributes=extras)
    if extras:
        write_array(folder / "region_descriptions.json", (regions(rng, image) for image in range(images)))
    with (folder / "captions.json").open("w") as file:
        texts = (sentence(rng, CAPTION_WORDS) for _ in range(captioned * CAPTIONS_AN_IMAGE))
        annotations = [
            {"image_id": number // CAPTIONS_AN_IMAGE + 1, "id": number, "caption": text}
            for number, text in enumerate(texts)
        ]
        json.dump({"info": {}, "images": [], "annotations": annotations}, file)
    write_word_vectors(folder / "glove.txt", rng, int(WORDS * max(scale, 0.1)))


def image_data(image: int, captioned: int) -> dict[str, Any]:
    url = f"https://example.org/VG_100K/{image + 1}.jpg"
    coco_id = image + 1 if image < captioned else None
    return {"width": 800, "url": url, "height": 600, "image_id": image + 1, "coco_id": coco_id, "flickr_id": None}


def write_graphs(folder: Path, rng: np.random.Generator, images: int, *, attributes: bool) -> None:
    """objects.json and relationships.json, and attributes.json if wanted, in one pass."""
    next_id = 1
    with (
        (folder / "objects.json").open("w") as objects_file,
        (folder / "relationships.json").open("w") as edges_file,
        (folder / ("attributes.json" if attributes else "unused")).open("w") as attributes_file,
    ):
        for image in range(images):
            objects = [scene_object(rng, next_id + position) for position in range(rng.poisson(OBJECTS_AN_IMAGE) + 1)]
            next_id += len(objects)
            edges = [relationship(rng, objects, number) for number in range(rng.poisson(EDGES_AN_IMAGE))]
            separator = ", " if image else "["
            objects_file.write(separator + json.dumps({"image_id": image + 1, "objects": objects}))
            edges_file.write(separator + json.dumps({"image_id": image + 1, "relationships": edges}))
            if attributes:
                described = [{**item, "attributes": [word(rng), word(rng)]} for item in objects]
                attributes_file.write(separator + json.dumps({"image_id": image + 1, "attributes": described}))
        for file in (objects_file, edges_file, attributes_file):
            file.write("]")
    (folder / "unused").unlink(missing_ok=True)


def scene_object(rng: np.random.Generator, object_id: int) -> dict[str, Any]:
    x, y, w, h = BOXES[object_id % len(BOXES)]
    number = frequent(rng, NAMES)
    name = f"word{number}" if number % 3 else f"word{number} word{number // 3}"
    return {
        "synsets": [f"word{number}.n.01"], "h": h, "object_id": object_id, "merged_object_ids": [], "names": [name],
        "w": w, "y": y, "x": x,
    }  # fmt: skip


def relationship(rng: np.random.Generator, objects: list[dict[str, Any]], number: int) -> dict[str, Any]:
    subject, target = (objects[int(len(objects) * rng.random())] for _ in range(2))
    predicate = f"word{frequent(rng, PREDICATES)}"
    nested = {**subject, "name": subject["names"][0]}
    del nested["names"]
    return {
        "predicate": predicate.upper() if number % 2 else predicate, "object": target, "relationship_id": number,
        "synsets": [f"{predicate}.r.01"], "subject": nested,
    }  # fmt: skip


def regions(rng: np.random.Generator, image: int) -> dict[str, Any]:
    found = [
        {
            "region_id": number,
            "width": 82,
            "height": 139,
            "image_id": image + 1,
            "phrase": sentence(rng, 6),
            "y": 57,
            "x": 421,
        }
        for number in range(REGIONS_AN_IMAGE)
    ]
    return {"id": image + 1, "regions": found}


def write_word_vectors(path: Path, rng: np.random.Generator, words: int) -> None:
    """Lines of `DIMENSION` numbers, put together from ready-made pieces of ten: formatting all takes minutes."""
    pieces = [" ".join(f"{value:.5f}" for value in row) for row in rng.normal(0, 0.4, (5000, 10))]
    with path.open("w") as file:
        for number in range(words):
            chosen = rng.integers(0, len(pieces), DIMENSION // 10)
            file.write(f"word{number} {' '.join(pieces[piece] for piece in chosen.tolist())}\n")


def write_array(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w") as file:
        for number, record in enumerate(records):
            file.write((", " if number else "[") + json.dumps(record))
        file.write("]")


def sentence(rng: np.random.Generator, length: int) -> str:
    return " ".join(f"word{number}" for number in (SPOKEN_WORDS ** rng.random(length)).astype(int).tolist())


def word(rng: np.random.Generator) -> str:
    return f"word{frequent(rng, SPOKEN_WORDS)}"


def frequent(rng: np.random.Generator, count: int) -> int:
    """A number below `count`, small ones far more often, as with the names of Visual Genome."""
    return int(count ** (rng.random() ** 2))


if __name__ == "__main__":
    main()
