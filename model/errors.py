"""The errors a user can cause and mend.

    SceneRankError
    ├── GraphError        a scene graph that breaks its rules: a list of problems, each with a JSON pointer
    ├── QueryTextError    a line that is not of the query language, with the column
    ├── DataError         a file or directory that is missing, damaged, or of another kind than expected
    ├── CheckpointError   a checkpoint that is missing, damaged, or written by another format version
    └── ConfigError       a recipe or setting with an unknown key or an impossible value

Every message says what is wrong, where, and what to do about it. The command line prints it alone; the service maps
each class to a status.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SceneRankError(Exception):
    """Base of all errors whose message is meant for the person who can mend them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document.

    Args:
        pointer: JSON pointer (RFC 6901) of the value at fault, relative to the graph; "" is the graph itself.
        message: what is wrong with it and what would be right.
    """

    pointer: str
    message: str

    def __str__(self) -> str:
        """The pointer and the message, as a person reads them."""
        return f"{self.pointer or '(graph)'}: {self.message}"


class GraphError(SceneRankError):
    """A scene graph that breaks its rules; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class QueryTextError(SceneRankError):
    """A text that is not of the language; `column` counts characters from 1."""

    def __init__(self, column: int, message: str) -> None:
        self.column = column
        super().__init__(f"column {column}: {message}")


class DataError(SceneRankError):
    """A file or directory that is missing, damaged, or of another kind than expected."""


class CheckpointError(SceneRankError):
    """A checkpoint that is missing, damaged, or written by another format version."""


class ConfigError(SceneRankError):
    """A recipe or setting with an unknown key or an impossible value."""
