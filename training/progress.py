"""What a person sees of a training run: a bar with the loss and the speed, and a line for each epoch."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A progress bar over the anchors of all epochs; where the output is no terminal, the epochs' lines alone.

    Args:
        console: where to draw.
        epochs: of the whole run.
        anchors: in an epoch.
    """

    def __init__(self, console: Console, epochs: int, anchors: int) -> None:
        self.console, self.epochs, self.anchors = console, epochs, anchors
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=epochs * anchors, figures="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, epoch: int, anchors_done: int, loss: float, excess: float, graphs_per_second: float) -> None:
        """Move the bar within an epoch."""
        self.bar.update(
            self.task,
            completed=(epoch - 1) * self.anchors + anchors_done,
            description=f"epoch {epoch}/{self.epochs}",
            figures=f"loss {loss:.4f} excess {excess:.5f} | {graphs_per_second:,.0f} graphs/s",
        )

    def start_done(self, figures: dict[str, float]) -> None:
        """Leave a line about a run that has no epochs."""
        self.console.print(f"fitted in closed form{_validation(figures)}", highlight=False, soft_wrap=True)

    def epoch_done(self, epoch: int, figures: dict[str, float], *, best: bool) -> None:
        """Leave a line about a finished epoch."""
        notes = ("" if figures["complete"] else "  cut short") + ("  best" if best else "")
        self.bar.update(self.task, completed=epoch * self.anchors)
        self.console.print(
            f"epoch {epoch}/{self.epochs}  loss {figures['loss']:.4f}  excess {figures['excess_loss']:.5f}"
            f"{_validation(figures)}  {figures['graphs_per_second']:,.0f} graphs/s{notes}",
            highlight=False,
            soft_wrap=True,
        )


def _validation(figures: dict[str, float]) -> str:
    """The validation scores that a line has room for."""
    shown = ("val_row_kendall_tau", "val_recall_at_1")
    return "".join(f"  {name.removeprefix('val_')} {figures[name]:.3f}" for name in shown if name in figures)
