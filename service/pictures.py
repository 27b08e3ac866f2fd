"""The picture of an image, where it is a file that the service may give."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
"""Files that are given, by their ending; no others are, wherever they lie."""


def local_picture(url: str | None, directory: Path | None) -> Path | None:
    """The file that a `file:` URL names, if it may be given; None if not.

    Args:
        url: where the catalogue says that the picture is.
        directory: nothing outside it is given, whatever links and dots lead there; None: nothing is.
    """
    if url is None or directory is None:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        path = Path(unquote(parts.path)).resolve()
        allowed = path.is_relative_to(directory.resolve()) and path.suffix.lower() in MEDIA_TYPES and path.is_file()
    except (OSError, ValueError):  # no such path can be
        return None
    return path if allowed else None
