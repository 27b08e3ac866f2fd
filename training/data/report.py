"""What preparation kept and dropped, step by step: a table for the reader and the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how much it kept and dropped; `dropped` is None where nothing is filtered."""

    name: str
    kept: int
    dropped: int | None = None


@dataclass(slots=True)
class Report:
    """The steps of a preparation, in order, and what was odd in the files."""

    steps: list[Step] = field(default_factory=list)
    oddities: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, kept: int, of: int | None = None) -> None:
        """A step that kept some of so many; without `of` a plain count."""
        self.steps.append(Step(name, kept, None if of is None else of - kept))

    def note(self, oddities: Mapping[str, int]) -> None:
        """Things that were passed over, with their number; those that did not occur are left out."""
        for name, count in oddities.items():
            if count:
                self.oddities[name] = self.oddities.get(name, 0) + count

    def kept(self, name: str) -> int:
        """What the step of this name kept."""
        return next(step.kept for step in self.steps if step.name == name)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON document."""
        steps = [{"step": step.name, "kept": step.kept, "dropped": step.dropped} for step in self.steps]
        return {"steps": steps, "oddities": dict(self.oddities)}

    def table(self) -> Table:
        """The report as a table."""
        table = Table("step", box=None)
        table.add_column("kept", justify="right")
        table.add_column("dropped", justify="right")
        for step in self.steps:
            table.add_row(step.name, f"{step.kept:,}", "" if step.dropped is None else f"{step.dropped:,}")
        for name, count in self.oddities.items():
            table.add_row(name, "", f"{count:,}", style="yellow")
        return table
