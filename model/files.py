"""Data files as they are distributed: plain, gzip or zip, told apart by their first bytes and read as streams."""

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, NoReturn, TextIO, cast

from model.errors import DataError

Opener = Callable[[Path], BinaryIO]
"""How a file is opened for reading: a progress bar slips its own in."""

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_OTHER_PACKERS: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard", b"7z\xbc\xaf": "7-zip"}
_DATA_SUFFIXES: Final = (".json", ".jsonl", ".txt")
_CHUNK: Final = 1 << 20  # characters of JSON read at a time
_MAX_ELEMENT: Final = 1 << 28  # characters; no record of a real file comes near, a damaged one must not fill the memory
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def open_plain(path: Path) -> BinaryIO:
    """The file as it lies there."""
    return path.open("rb")


def find_file(directory: Path, name: str) -> Path | None:
    """The file of this name in a directory, plain or packed: objects.json, objects.json.gz, objects.zip..."""
    stem = name.rpartition(".")[0] or name
    names = (name, f"{name}.gz", f"{name}.zip", f"{stem}.gz", f"{stem}.zip")
    return next((directory / candidate for candidate in names if (directory / candidate).is_file()), None)


@contextmanager
def open_data(path: Path, *, prefer: str = "", opener: Opener = open_plain) -> Iterator[BinaryIO]:
    """A data file's content as a stream of bytes, unpacked on the way.

    Args:
        path: plain, gzip or zip; the content decides, not the name. Of a zip with several files the one named like the
            zip itself is taken, else the only data file (.json, .jsonl, .txt), else the one with `prefer` in its name.
        prefer: such as "300d" for one of the four files of glove.6B.zip.
        opener: opens the packed file.

    Raises:
        DataError: the file is missing, no file, truncated, damaged, packed another way, or a web page. What goes wrong
            while the caller reads from the stream is told the same way.
    """
    try:
        with opener(path) as raw:
            start = raw.read(512)
            raw.seek(0)
            if start.startswith(_GZIP):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast("BinaryIO", unpacked)
            elif start.startswith(_ZIP):
                with zipfile.ZipFile(raw) as archive, _open_member(path, archive, prefer) as unpacked:
                    yield unpacked
            else:
                _refuse_other_kinds(path, start)
                with io.BufferedReader(raw, _CHUNK) as buffered:  # type: ignore[type-var]  # a progress bar's file has no types
                    yield cast("BinaryIO", buffered)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; correct the path or download the file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); download it again") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); is it the right file?") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); name a readable file") from None


def stream_json_array(path: Path, key: str | None = None, *, opener: Opener = open_plain) -> Iterator[Any]:
    """The elements of a JSON array one after the other; the whole document is never in memory.

    Args:
        path: the file, packed or not.
        key: the array is the value of this key of the document; None where the document is the array.
        opener: opens the packed file.

    Raises:
        DataError: as `open_data`, or the content is not JSON of this form.
    """
    with open_data(path, opener=opener) as stream, io.TextIOWrapper(stream, "utf-8-sig") as text:
        reader = _JsonReader(path, text)
        if key is None:
            reader.expect("[", "a JSON list of records")
            yield from reader.elements()
        else:
            reader.expect("{", f"a JSON object with a list {key!r}")
            yield from reader.elements_under(key)
        reader.expect("", "the end of the file")


def stream_json_object(path: Path, *, opener: Opener = open_plain) -> Iterator[tuple[str, Any]]:
    """The keys and values of a JSON object one after the other; the whole document is never in memory.

    Args:
        path: the file, packed or not.
        opener: opens the packed file.

    Raises:
        DataError: as `open_data`, or the content is no JSON object.
    """
    with open_data(path, opener=opener) as stream, io.TextIOWrapper(stream, "utf-8-sig") as text:
        reader = _JsonReader(path, text)
        reader.expect("{", "a JSON object")
        yield from reader.members()
        reader.expect("", "the end of the file")


class _JsonReader:
    """Reads JSON values one by one through a window over the text.

    Faster than ijson's C backend (58 against 42 MB/s on relationships.json), which moreover takes memory without bound
    for deeply nested input.
    """

    def __init__(self, path: Path, text: TextIO) -> None:
        self._path, self._text = path, text
        self._window, self._at, self._before = "", 0, 0
        self._scan = json.JSONDecoder().raw_decode

    def elements(self) -> Iterator[Any]:
        """The elements of an array whose bracket has been read, up to and with the closing one."""
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._peek() == "]":
                self._at += 1
                return
            self.expect(",", "a comma or the end of the list")

    def members(self) -> Iterator[tuple[str, Any]]:
        """The keys and values of an object whose brace has been read, up to and with the closing one."""
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                self._fail("a key of a JSON object must be a string")
            self.expect(":", "a colon")
            yield name, self.value()
            if self._peek() == "}":
                self._at += 1
                return
            self.expect(",", "a comma or the end of the object")

    def elements_under(self, key: str) -> Iterator[Any]:
        """The elements of the array under a key of an object whose brace has been read; the rest is passed over."""
        found = False
        while self._peek() != "}":
            name = self.value()
            self.expect(":", "a colon")
            if self._peek() == "[":  # element by element also where it is passed over: such a list may be long
                self._at += 1
                for element in self.elements():
                    if name == key:
                        yield element
                found |= name == key
            else:
                self.value()
            if self._peek() != "}":
                self.expect(",", "a comma or the end of the object")
        self._at += 1
        if not found:
            self._fail(f"the JSON object has no list {key!r}")

    def expect(self, character: str, what: str) -> None:
        """Read this character; "" is the end of the text."""
        if self._peek() != character:
            found = repr(self._peek()) if self._peek() else "the end of the file"
            self._fail(f"expected {what}, found {found}")
        self._at += 1

    def value(self) -> Any:  # noqa: ANN401 (any JSON value)
        """The next value, whole."""
        self._peek()
        while True:
            try:
                value, end = self._scan(self._window, self._at)
            except json.JSONDecodeError as error:  # damaged, or it goes on beyond the window
                if not self._more():
                    self._fail(error.msg)
            except RecursionError:
                self._fail("nested too deeply")
            else:
                if end + 2 < len(self._window) or not self._more():  # "1.5" or "1" may go on as "1.5e+3"
                    self._at = end
                    return value

    def _peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self._window, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._window) or not self._more():
                return self._window[self._at : self._at + 1]

    def _more(self) -> bool:
        """Move the window on to what is unread and more; False, and nothing moved, at the end of the text."""
        unread = self._window[self._at :]
        if len(unread) > _MAX_ELEMENT:
            self._fail(f"one record is longer than {_MAX_ELEMENT:,} characters")
        read = self._text.read(max(_CHUNK, len(unread)))  # doubling, so that a long record is not scanned over and over
        if read:
            self._before += self._at
            self._window, self._at = unread + read, 0
        return bool(read)

    def _fail(self, what: str) -> NoReturn:
        where = f"{self._path}, character {self._before + self._at:,}"
        raise DataError(f"{where}: {what}; is it the right, undamaged file?")


def _open_member(path: Path, archive: zipfile.ZipFile, prefer: str) -> BinaryIO:
    """The one file of a zip that is meant."""
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    own_names = {path.name.lower().removesuffix(".zip"), *(path.stem.lower() + suffix for suffix in _DATA_SUFFIXES)}
    data = [name for name in names if name.lower().endswith(_DATA_SUFFIXES)]
    rules = (
        [name for name in names if PurePosixPath(name).name.lower() in own_names],
        data,
        [name for name in data if prefer and prefer in name],
    )
    chosen = next((found[0] for found in rules if len(found) == 1), None)
    if chosen is None:
        held = ", ".join(names[:5]) or "nothing"
        raise DataError(f"{path} holds {held}, and which is meant is not clear; unpack it and name the file")
    try:
        return cast("BinaryIO", archive.open(chosen))
    except (NotImplementedError, RuntimeError) as error:  # a rare compression, a password
        raise DataError(f"{path} cannot be unpacked ({error}); unpack it by hand and name the unpacked file") from None


def _refuse_other_kinds(path: Path, start: bytes) -> None:
    for magic, packer in _OTHER_PACKERS.items():
        if start.startswith(magic):
            raise DataError(f"{path} is packed with {packer}, which is not read; unpack it or pack it with gzip")
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        raise DataError(f"{path} is a web page, not data; the download failed, get the file again")
