"""What a caller keeps with an image beside its graph: a JSON object of limited size."""

import json
from typing import Any, Final

MAX_METADATA_BYTES: Final = 16 * 1024

MAX_METADATA_DEPTH: Final = 32


def write_metadata(metadata: dict[str, Any]) -> str:
    """The metadata as JSON in one line.

    Raises:
        ValueError: it is too large, too deep, or has numbers or text that JSON has no way to write.
    """
    if _deeper(metadata, MAX_METADATA_DEPTH - 1):
        raise ValueError(f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must not hold half of a surrogate pair, which is no character") from None
    except ValueError:
        raise ValueError("must not hold NaN or infinite numbers, which JSON does not know") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON, this is {size}")
    return text


def _deeper(value: object, levels: int) -> bool:
    """Whether there is more than so many levels of lists and objects within the value."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _deeper(item, levels - 1) for item in items if isinstance(item, dict | list))
