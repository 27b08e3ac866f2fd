"""Writes a demo world in the file formats of Visual Genome, COCO and GloVe."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import ConfigError
from model.word_vectors import WordVectors
from training.data.demo_world.captions import write_captions
from training.data.demo_world.drawing import draw_scene
from training.data.demo_world.grammar import load_grammar
from training.data.demo_world.scene import Item, Scene, objects_by_name, sample_scene
from training.data.demo_world.word_vectors import train_word_vectors

Record = dict[str, Any]


def write_demo_world(
    out: Path, *, images: int = 3000, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write a world of invented scenes that everything else can treat as real data.

    `objects.json`, `relationships.json`, `attributes.json` and `image_data.json` are Visual Genome's, `captions.json`
    is COCO's (joined by `coco_id`), `word_vectors.txt` is GloVe's; `pictures/` holds a drawing of each scene, which
    `image_data.json` names by its file URI. The same seed and number of images give the same bytes, but for that URI;
    image n does not depend on their number.

    Args:
        out: directory, made if need be; files of these names in it are replaced.
        images: number of images.
        seed: of all choices.
        progress: told (images done, images) after each image.

    Raises:
        ConfigError: `images` or `seed` is out of range.
    """
    if images < 1:
        raise ConfigError(f"images is {images}; a demo world needs at least 1")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; use 0 or more")
    grammar = load_grammar()
    pictures = out.resolve() / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    world = _World()
    for image_id in range(1, images + 1):
        rng = np.random.default_rng([seed, image_id])
        scene = sample_scene(grammar, rng)
        captions = write_captions(scene, grammar, rng)
        picture = pictures / f"{image_id}.svg"
        _replace(picture, draw_scene(scene, grammar, captions[0]))
        world.add(image_id, scene, captions, picture.as_uri())
        if progress:
            progress(image_id, images)
    for name, document in world.documents().items():
        _replace(out / name, json.dumps(document, separators=(",", ":")) + "\n")
    _replace(out / "word_vectors.txt", _glove_text(train_word_vectors(world.texts)))


class _World:
    """The documents as they grow, and the running ids."""

    def __init__(self) -> None:
        self.objects: list[Record] = []
        self.relationships: list[Record] = []
        self.attributes: list[Record] = []
        self.image_data: list[Record] = []
        self.captions: list[Record] = []
        self.texts: list[str] = []
        self.object_ids, self.relationship_ids, self.caption_ids = count(1), count(1), count(1)

    def add(self, image_id: int, scene: Scene, captions: list[str], url: str) -> None:
        """Add an image to every document."""
        ids = {id(item): next(self.object_ids) for item in scene.items}

        def end(item: Item) -> Record:
            return {"object_id": ids[id(item)], "name": item.thing.name, "synsets": [], **_corners(item)}

        self.objects.append(
            {
                "image_id": image_id,
                "objects": [
                    {"object_id": ids[id(item)], "names": [item.thing.name], "synsets": [], **_corners(item)}
                    for item in scene.items
                ],
            }
        )
        self.relationships.append(
            {
                "image_id": image_id,
                "relationships": [
                    {
                        "relationship_id": next(self.relationship_ids),
                        "predicate": predicate,
                        "synsets": [],
                        "subject": end(subject),
                        "object": end(other),
                    }
                    for subject, predicate, other in scene.relationships
                ],
            }
        )
        described = [item for item in scene.items if item.attributes]
        self.attributes.append(
            {
                "image_id": image_id,
                "attributes": [
                    {"object_id": ids[id(item)], "names": [item.thing.name], "attributes": item.attributes}
                    for item in described
                ],
            }
        )
        # Other numbers than Visual Genome's: whoever joins by the wrong id gets nothing instead of nonsense.
        coco_id = 500_000 + 3 * image_id
        self.image_data.append(
            {
                "image_id": image_id,
                "width": scene.canvas.w,
                "height": scene.canvas.h,
                "url": url,
                "coco_id": coco_id,
                "flickr_id": None,
            }
        )
        self.captions += [
            {"id": next(self.caption_ids), "image_id": coco_id, "caption": caption} for caption in captions
        ]
        # Captions paraphrase and select; names and predicates join them so that each has a vector.
        self.texts += captions
        self.texts += [
            f"{subject.thing.name} {predicate} {other.thing.name}" for subject, predicate, other in scene.relationships
        ]
        self.texts.append(" ".join(objects_by_name(scene.items)))

    def documents(self) -> dict[str, Any]:
        """Each file's name and content."""
        captions = {
            "info": {"description": "SceneRank demo world: invented scenes and captions", "version": "1"},
            "images": [{"id": image["coco_id"]} for image in self.image_data],
            "annotations": self.captions,
        }
        return {
            "objects.json": self.objects,
            "relationships.json": self.relationships,
            "attributes.json": self.attributes,
            "image_data.json": self.image_data,
            "captions.json": captions,
        }


def _corners(item: Item) -> Record:
    return {"x": item.box.x, "y": item.box.y, "w": item.box.w, "h": item.box.h}


def _glove_text(vectors: WordVectors) -> str:
    rows = zip(vectors.words, vectors.vectors, strict=True)
    return "".join(f"{word} {' '.join(f'{value:.5f}' for value in vector)}\n" for word, vector in rows)


def _replace(path: Path, text: str) -> None:
    """Write beside, then replace: no reader ever sees half a file."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
