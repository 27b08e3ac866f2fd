import gzip
import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import files
from model.errors import DataError
from model.files import find_file, open_data, stream_json_array

RECORDS = [{"image_id": 1, "names": ["café"]}, {"image_id": 2}, [1.5, None, True], "text", 7]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def read(path: Path, prefer: str = "") -> bytes:
    with open_data(path, prefer=prefer) as stream:
        return stream.read()


@pytest.mark.parametrize("name", ["objects.json", "objects.json.gz", "objects.json.zip", "objects.gz", "objects.zip"])
def test_a_file_is_found_plain_or_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    assert find_file(tmp_path, "objects.json") == tmp_path / name
    assert find_file(tmp_path, "relationships.json") is None


def test_the_plain_file_comes_before_the_packed_one(tmp_path: Path) -> None:
    for name in ("objects.json.zip", "objects.json"):
        (tmp_path / name).touch()

    assert find_file(tmp_path, "objects.json") == tmp_path / "objects.json"


def test_plain_gzip_and_zip_give_the_same_records_whatever_their_names(tmp_path: Path) -> None:
    text = json.dumps(RECORDS)
    plain, packed, archive = (tmp_path / name for name in ("plain.gz", "gzip.json", "zip.json"))
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    zipped(archive, {"data/any.json": text})

    assert [list(stream_json_array(path)) for path in (plain, packed, archive)] == [RECORDS] * 3


def test_of_a_zip_the_member_named_like_it_is_taken(tmp_path: Path) -> None:
    members = {"__MACOSX/._objects.json": "x", "readme.txt": "x", "v1/objects.json": "[1]", "v1/other.json": "[2]"}

    assert read(zipped(tmp_path / "objects.json.zip", members)) == b"[1]"
    assert read(zipped(tmp_path / "objects.zip", members)) == b"[1]"


def test_of_a_zip_the_only_data_file_is_taken_and_else_the_preferred_one(tmp_path: Path) -> None:
    glove = {f"glove.6B.{dimension}d.txt": str(dimension) for dimension in (50, 100, 200, 300)}

    assert read(zipped(tmp_path / "a.zip", {"only.txt": "one", "picture.png": "x"})) == b"one"
    assert read(zipped(tmp_path / "glove.6B.zip", glove), prefer="300d") == b"300"
    with pytest.raises(DataError, match=r"glove.6B.zip holds glove.6B.50d.txt.*unpack it and name the file"):
        read(tmp_path / "glove.6B.zip")
    with pytest.raises(DataError, match="holds nothing"):
        read(zipped(tmp_path / "empty.zip", {}))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", {"a.json": "[1]"}).read_bytes())
    content[6] |= 1  # the flag of the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and of the directory
    (tmp_path / "a.zip").write_bytes(content)

    with pytest.raises(DataError, match=r"a.zip cannot be unpacked .*password"):
        read(tmp_path / "a.zip")


def test_what_is_no_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing.json does not exist; correct the path"):
        read(tmp_path / "missing.json")
    with pytest.raises(DataError, match=r"cannot be read .*directory"):
        read(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    random_numbers = random.Random(0)
    text = json.dumps([{"number": random_numbers.random()} for _ in range(2000)])
    kinds = {
        "plain.json": text.encode(),
        "packed.json.gz": gzip.compress(text.encode()),
        "archive.json.zip": zipped(tmp_path / "whole.zip", {"archive.json": text}).read_bytes(),
    }
    for name, content in kinds.items():
        path = tmp_path / name
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=name):
            list(stream_json_array(path))


def test_damaged_gzip_content_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(json.dumps(list(range(5000))).encode()))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "a.json.gz"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"a.json.gz"):
        list(stream_json_array(path))


@pytest.mark.parametrize("magic", [b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"])
def test_other_packers_are_refused_by_name(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "a.json").write_bytes(magic + b"rest")

    with pytest.raises(DataError, match=r"is packed with .* unpack it"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"<html><body>404", "is a web page"),
        (b'{"annotations": []}', "expected a JSON list of records, found '{'"),
        (b"the 0.1 0.2 0.3", "expected a JSON list of records, found 't'"),
        (b"", "expected a JSON list of records, found the end of the file"),
        (b'[{"a": "\xff\xfe"}]', "not UTF-8"),
        (b"[1, 2", "expected a comma or the end of the list, found the end"),
        (b"[1 2]", "expected a comma or the end of the list, found '2'"),
        (b"[1] 2", "expected the end of the file, found '2'"),
        (b'[{"a": nope}]', "Expecting value"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "objects.json").write_bytes(content)

    with pytest.raises(DataError, match=message) as error:
        list(stream_json_array(tmp_path / "objects.json"))
    assert "objects.json" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object with a list 'annotations'"),
        ('{"images": [1, 2]}', "has no list 'annotations'"),
        ('{"annotations": {}}', "has no list 'annotations'"),
        ('{"annotations" [1]}', "expected a colon"),
        ('{"annotations": [1] "b"}', "expected a comma or the end of the object"),
    ],
)
def test_a_document_without_the_wanted_list_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "captions.json").write_text(content)

    with pytest.raises(DataError, match=message):
        list(stream_json_array(tmp_path / "captions.json", "annotations"))


def test_the_list_under_a_key_is_found_among_other_keys(tmp_path: Path) -> None:
    document = {"info": {"annotations": [0]}, "images": [[1], {"a": []}], "annotations": [1, 2], "licenses": [], "n": 1}
    (tmp_path / "a.json").write_text(json.dumps(document, indent=1))

    assert list(stream_json_array(tmp_path / "a.json", "annotations")) == [1, 2]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")

    assert list(stream_json_array(tmp_path / "a.json")) == [1]


def test_a_record_too_long_for_any_real_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK", 8)
    monkeypatch.setattr(files, "_MAX_ELEMENT", 64)
    (tmp_path / "a.json").write_text(json.dumps(["x" * 200]))

    with pytest.raises(DataError, match="one record is longer than 64 characters"):
        list(stream_json_array(tmp_path / "a.json"))


@settings(deadline=None)
@given(st.lists(JSON_VALUES, max_size=8), st.integers(1, 9), st.sampled_from([None, 1]))
def test_records_read_through_a_small_window_equal_those_of_the_json_module(
    records: list[object], chunk: int, indent: int | None
) -> None:
    text = json.dumps({"skipped": records, "wanted": records, "last": 12}, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_CHUNK", chunk)
        found = stream_json_array(Path("a.json"), "wanted", opener=lambda _: io.BytesIO(text.encode()))

        assert list(found) == records


@pytest.mark.parametrize("chunk", range(1, 8))
def test_a_number_is_not_cut_where_the_window_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(files, "_CHUNK", chunk)
    (tmp_path / "a.json").write_text("[0.5, 1.5e+3, -2E-1, 12, 3e2]")

    assert list(stream_json_array(tmp_path / "a.json")) == [0.5, 1500, -0.2, 12, 300]


def test_reading_stops_early_without_complaint(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2, nonsense")

    assert next(iter(stream_json_array(tmp_path / "a.json"))) == 1
