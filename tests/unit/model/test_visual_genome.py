import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import DataError
from model.visual_genome import NO_COCO_ID, VisualGenome, find_rows, read_visual_genome, visual_genome_files

OBJECTS = [
    {
        "image_id": 7,
        "objects": [
            {"object_id": 10, "names": ["", " Man "], "x": 1, "y": 2, "w": 3, "h": 4, "merged_object_ids": [15, 11]},
            {"object_id": "11", "name": "horse", "x": 5, "y": 6, "width": 7, "height": 8},
            {"object_id": 12, "names": [], "synsets": []},
            {"object_id": 10, "names": ["dog"]},
            {"names": ["cat"]},
        ],
    },
    {"image_id": "3", "objects": []},
    {"image_id": 5, "objects": [{"object_id": 10, "names": ["tree"]}, {"object_id": 2, "names": ["MAN"]}]},
]
RELATIONSHIPS = [
    {
        "image_id": 5,
        "relationships": [
            {"predicate": "behind", "subject_id": 2, "object_id": 10},
            {"predicate": "ON", "subject": {"object_id": 10, "name": "tree"}, "object": {"object_id": "2"}},
        ],
    },
    {
        "image_id": 7,
        "relationships": [
            {"predicate": "on ", "subject": {"object_id": 15}, "object": {"object_id": 11}},
            {"predicate": "on", "subject_id": 10, "object_id": 99},
            {"predicate": "on", "subject_id": 12, "object_id": 10},
            {"predicate": "", "subject_id": 11, "object_id": 10},
            {"predicate": None, "subject_id": 11, "object_id": 10},
            {"predicate": "on", "subject": None, "object_id": 10},
            {"predicate": "near", "subject_id": 11, "object_id": 11},
        ],
    },
    {"image_id": 404, "relationships": [{"predicate": "on", "subject_id": 1, "object_id": 2}]},
]


def write(directory: Path, name: str, document: object) -> None:
    (directory / name).write_text(document if isinstance(document, str) else json.dumps(document))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, "objects.json", OBJECTS)
    write(tmp_path, "relationships.json", RELATIONSHIPS)
    return tmp_path


def triples(genome: VisualGenome, image: int) -> list[tuple[str, str, str]]:
    first, last = genome.object_offsets[image : image + 2]
    names = [genome.object_names[number] for number in genome.objects[first:last]]
    edges = range(*genome.relationship_offsets[image : image + 2])
    return [
        (names[genome.subjects[e]], genome.predicate_names[genome.predicates[e]], names[genome.targets[e]])
        for e in edges
    ]


def test_objects_become_columns_in_the_order_of_the_file(directory: Path) -> None:
    genome = read_visual_genome(directory)

    assert len(genome) == 3
    assert genome.image_ids.tolist() == [7, 3, 5]
    assert genome.object_offsets.tolist() == [0, 2, 2, 4]
    assert genome.object_ids.tolist() == [10, 11, 10, 2]
    assert [genome.object_names[number] for number in genome.objects] == ["man", "horse", "tree", "man"]
    nan = np.nan
    np.testing.assert_array_equal(genome.boxes, [[1, 2, 3, 4], [5, 6, 7, 8], [nan] * 4, [nan] * 4])


def test_relationships_are_joined_whatever_their_order_and_form(directory: Path) -> None:
    genome = read_visual_genome(directory)

    assert genome.relationship_offsets.tolist() == [0, 2, 2, 4]
    assert triples(genome, 0) == [("man", "on", "horse"), ("horse", "near", "horse")]
    assert triples(genome, 2) == [("man", "behind", "tree"), ("tree", "on", "man")]


def test_what_is_odd_is_counted_and_passed_over(directory: Path) -> None:
    assert dict(read_visual_genome(directory).oddities) == {
        "objects without an object_id": 1,
        "objects without a name": 1,
        "objects given twice in an image": 1,
        "relationships of unknown images": 1,
        "relationships whose subject or object is missing or has no name": 3,
        "relationships without a predicate": 2,
    }


def test_an_image_given_twice_counts_once(directory: Path) -> None:
    write(directory, "objects.json", [*OBJECTS, {"image_id": 7, "objects": []}, {"objects": []}])

    genome = read_visual_genome(directory)

    assert genome.image_ids.tolist() == [7, 3, 5]
    assert genome.oddities["images without an id or given twice"] == 2


def test_missing_optional_files_leave_everything_unknown(directory: Path) -> None:
    genome = read_visual_genome(directory)

    assert genome.urls == genome.phrases == ["", "", ""]
    assert genome.widths.tolist() == genome.heights.tolist() == [0, 0, 0]
    assert genome.coco_ids.tolist() == [NO_COCO_ID] * 3
    assert genome.attributes.tolist() == []
    assert genome.attribute_offsets.tolist() == [0] * 5


def test_image_data_is_joined_by_image_id(directory: Path) -> None:
    records = [
        {"image_id": 5, "url": "http://a/5.jpg", "width": 800, "height": 600, "coco_id": 42},
        {"image_id": "7", "url": None, "width": None, "height": -3, "coco_id": None},
        {"image_id": 404, "coco_id": 1},
    ]
    write(directory, "image_data.json", records)

    genome = read_visual_genome(directory)

    assert genome.urls == ["", "", "http://a/5.jpg"]
    assert (genome.widths.tolist(), genome.heights.tolist()) == ([0, 0, 800], [0, 0, 600])
    assert genome.coco_ids.tolist() == [NO_COCO_ID, NO_COCO_ID, 42]
    assert genome.oddities["image_data records of images not in objects.json"] == 1


def test_attributes_are_joined_by_object_and_counted_once(directory: Path) -> None:
    records = [
        {"image_id": 5, "attributes": [{"object_id": 2, "attributes": ["Tall", "old", "tall "]}, {"object_id": 10}]},
        {
            "image_id": 7,
            "attributes": [
                {"object_id": 15, "attributes": ["old"]},
                {"object_id": 99, "attributes": ["red"]},
                {"object_id": 11, "attributes": ["", None, 3]},
                {"object_id": 10, "attributes": ["old"]},
            ],
        },
        {"image_id": 404, "attributes": [{"object_id": 1}]},
    ]
    write(directory, "attributes.json", records)

    genome = read_visual_genome(directory)

    assert genome.attribute_offsets.tolist() == [0, 1, 1, 1, 3]
    assert [genome.attribute_names[number] for number in genome.attributes] == ["old", "tall", "old"]
    assert genome.oddities["attributes of unknown objects"] == 1
    assert genome.oddities["attributes of unknown images"] == 1


def test_region_phrases_are_read_with_either_key_for_the_image(directory: Path) -> None:
    records = [
        {
            "id": 7,
            "regions": [{"phrase": " a man\non a horse "}, {"phrase": ""}, {"phrase": None}, {"phrase": "horse"}],
        },
        {"image_id": 5, "regions": [{"phrase": "tree"}]},
        {"image_id": 7, "regions": [{"phrase": "again"}]},
        {"id": 404, "regions": [{"phrase": "nowhere"}]},
    ]
    write(directory, "region_descriptions.json", records)

    genome = read_visual_genome(directory)

    assert genome.phrases == ["a man on a horse\nhorse\nagain", "", "tree"]
    assert genome.oddities["region phrases of unknown images"] == 1
    assert read_visual_genome(directory, phrases=False).phrases == ["", "", ""]


def test_aliases_replace_names_by_the_first_of_their_line(directory: Path) -> None:
    write(directory, "object_alias.txt", "Person,man,woman\ntree,trees,\nguy,person\npine,tree\n\n")
    write(directory, "relationship_alias.txt", "atop,on,on top of\n")

    genome = read_visual_genome(directory)

    assert triples(genome, 0) == [("person", "atop", "horse"), ("horse", "near", "horse")]
    assert triples(genome, 2) == [("person", "behind", "tree"), ("tree", "atop", "person")]
    assert genome.object_aliases == {"man": "person", "woman": "person", "trees": "tree"}
    assert genome.predicate_aliases == {"on": "atop", "on top of": "atop"}


def test_an_alias_of_an_alias_is_followed(directory: Path) -> None:
    write(directory, "object_alias.txt", "person,man\nman,guy\n")

    assert read_visual_genome(directory).object_aliases == {"man": "person", "guy": "person"}


def test_an_own_id_comes_before_a_merged_one(directory: Path) -> None:
    # Object 10 of image 7 claims 11 as merged into it, but there is an object 11.
    assert triples(read_visual_genome(directory), 0)[0] == ("man", "on", "horse")


def test_names_reserved_for_the_model_or_unstorable_count_as_empty(directory: Path) -> None:
    names = ["__image__", "__unknown__", "\x00", "\ud800", 5, ["x"]]
    objects = [{"object_id": number, "names": [name]} for number, name in enumerate(names)]
    write(directory, "objects.json", [{"image_id": 1, "objects": objects}])

    genome = read_visual_genome(directory)

    assert len(genome.objects) == 0
    assert genome.oddities["objects without a name"] == len(names)


def test_packed_files_are_read_and_listed(directory: Path) -> None:
    plain = directory / "objects.json"
    (directory / "objects.json.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()

    assert read_visual_genome(directory).image_ids.tolist() == [7, 3, 5]
    assert [path.name for path in visual_genome_files(directory)] == ["objects.json.gz", "relationships.json"]


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        ("objects.json", RELATIONSHIPS, "record 0: no list 'objects'.*is it the right file"),
        ("objects.json", [[1]], "record 0: no list 'objects'"),
        ("objects.json", [{"image_id": 1, "objects": [5]}], "record 0: no list 'objects' of JSON objects"),
        ("relationships.json", OBJECTS, "record 0: no list 'relationships'"),
        ("attributes.json", OBJECTS, "record 0: no list 'attributes'"),
        ("region_descriptions.json", OBJECTS, "record 0: no list 'regions'"),
        ("image_data.json", [{"width": 3}], "records without image_id"),
        ("image_data.json", {"images": []}, "expected a JSON list"),
    ],
)
def test_a_file_of_another_kind_is_refused(directory: Path, name: str, document: object, message: str) -> None:
    write(directory, name, document)

    with pytest.raises(DataError, match=message) as error:
        read_visual_genome(directory)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["objects.json", "relationships.json"])
def test_a_missing_required_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()

    with pytest.raises(DataError, match=f"has no {name}.*download it"):
        read_visual_genome(directory)


def test_a_directory_without_any_object_is_read(directory: Path) -> None:
    write(directory, "objects.json", [{"image_id": 7, "objects": []}])

    genome = read_visual_genome(directory)

    assert genome.object_offsets.tolist() == genome.relationship_offsets.tolist() == [0, 0]
    assert genome.attribute_offsets.tolist() == [0]


def test_ids_beyond_64_bits_are_no_ids(directory: Path) -> None:
    write(directory, "objects.json", [{"image_id": 7, "objects": [{"object_id": 10**30, "name": "man"}]}])

    assert read_visual_genome(directory).oddities["objects without an object_id"] == 1


PAIRS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([-(2**62), -1, 0, 1, 5, 2**62])), max_size=30)


@given(PAIRS, PAIRS)
def test_joined_rows_equal_those_of_a_dictionary(table: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    first: dict[tuple[int, int], int] = {}
    for row, pair in enumerate(table):
        first.setdefault(pair, row)
    images, ids = np.array(table, np.int64).reshape(-1, 2).T
    wanted_images, wanted_ids = np.array(wanted, np.int64).reshape(-1, 2).T

    found = find_rows(images, ids, wanted_images, wanted_ids)

    assert found.tolist() == [first.get(pair, -1) for pair in wanted]
