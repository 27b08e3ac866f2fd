"""Which files the service gives as pictures, and that no URL leads out of their directory."""

from pathlib import Path

import pytest

from service.pictures import local_picture


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of pictures beside things that are nobody's business."""
    pictures = tmp_path / "pictures"
    (pictures / "more").mkdir(parents=True)
    for path in (pictures / "a b.svg", pictures / "more" / "1.JPG", pictures / "notes.txt", tmp_path / "secret.svg"):
        path.write_text("x")
    (pictures / "link.svg").symlink_to(tmp_path / "secret.svg")
    (pictures / "inner.svg").symlink_to(pictures / "a b.svg")
    (pictures / "folder.svg").mkdir()
    return pictures


@pytest.mark.parametrize(
    ("name", "file"),
    [("a b.svg", "a b.svg"), ("more/1.JPG", "more/1.JPG"), ("more/../a b.svg", "a b.svg"), ("inner.svg", "a b.svg")],
)
def test_a_picture_in_the_directory_is_given(directory: Path, name: str, file: str) -> None:
    assert local_picture(f"file://{directory}/{name}".replace(" ", "%20"), directory) == directory / file
    assert local_picture(f"file://localhost{directory}/{name}", directory) == directory / file


@pytest.mark.parametrize(
    "name",
    [
        "../secret.svg",
        "%2e%2e/secret.svg",
        "..%2fsecret.svg",
        "link.svg",
        "notes.txt",
        "none.svg",
        "folder.svg",
        "",
        "a%00.svg",
        "x" * 5000 + ".svg",
    ],
)
def test_nothing_else_is(directory: Path, name: str) -> None:
    assert local_picture(f"file://{directory}/{name}", directory) is None


@pytest.mark.parametrize("url", ["https://a.example/1.svg", "file://host/a.svg", "file:a.svg", "", "http://[", "/"])
def test_other_addresses_are_not_files(directory: Path, url: str) -> None:
    assert local_picture(url, directory) is None


def test_without_a_directory_nothing_is_given(directory: Path) -> None:
    assert local_picture(f"file://{directory}/a%20b.svg", None) is None
    assert local_picture(None, directory) is None
