"""The commands of the offline part: demo-world, prepare, train, evaluate, reproduce, embed.

Heavy libraries are imported by the command that needs them, so that `--help` answers at once.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from model.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("demo-world", rich_help_panel="Offline")(demo_world)
    app.command(rich_help_panel="Offline")(prepare)
    app.command(rich_help_panel="Offline")(train)
    app.command(rich_help_panel="Offline")(evaluate)
    app.command(rich_help_panel="Offline")(reproduce)
    app.command(rich_help_panel="Offline")(embed)
    app.command(rich_help_panel="Offline")(export)


def demo_world(
    out: Annotated[Path, typer.Option(help="Directory to write.")],
    images: Annotated[int, typer.Option(min=10, help="How many scenes.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another world.")] = 0,
) -> None:
    """Write a world of invented scenes in the file formats of Visual Genome, COCO captions and GloVe.

    Example: scenerank demo-world --out world
    """
    from training.data.demo_world import write_demo_world

    with _progress(Console()) as progress:
        task = progress.add_task("scenes", total=images)
        write_demo_world(
            out,
            images=images,
            seed=seed,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


def prepare(
    visual_genome: Annotated[
        Path, typer.Option(help="Directory with objects.json, relationships.json, image_data.json ...")
    ],
    word_vectors: Annotated[Path, typer.Option(help="Word vectors as GloVe text, plain, .gz or .zip.")],
    out: Annotated[Path, typer.Option(help="Data set directory to write.")],
    captions: Annotated[
        list[Path] | None,
        typer.Option(help="COCO captions_*.json; may be repeated. Without, the data set is for retrieval alone."),
    ] = None,
    min_count: Annotated[int, typer.Option(help="Drop object names and predicates seen less often.")] = 25,
    min_objects: Annotated[int, typer.Option(help="Drop images with fewer objects.")] = 3,
    max_objects: Annotated[int, typer.Option(help="Drop images with more objects.")] = 40,
    min_relationships: Annotated[int, typer.Option(help="Drop images with fewer relationships.")] = 1,
    split: Annotated[str, typer.Option(help="Shares of train:val:test among captioned images.")] = "70:20:10",
    split_file: Annotated[
        Path | None,
        typer.Option(help='JSON {"test": [ids], "val": [ids]} instead of --split; all others are for training.'),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the random split.")] = 0,
    sentence_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="Embed the captions with this sentence-transformers model too: a folder, or a hub name.",
        ),
    ] = None,
) -> None:
    """Turn annotation files into a data set; files may be plain, .gz or .zip, as they are distributed.

    Example: scenerank prepare --visual-genome vg --captions captions_train2017.json --captions captions_val2017.json
    --word-vectors glove.6B.zip --out dataset
    """
    from training.data.prepare import prepare as run

    try:
        train_share, val_share, test_share = (int(share) for share in split.split(":"))
    except ValueError:
        raise ConfigError(f"--split {split}: write three whole numbers, as in 70:20:10") from None
    run(
        visual_genome=visual_genome,
        captions=captions or [],
        word_vectors=word_vectors,
        sentence_encoder=sentence_encoder,
        out=out,
        min_count=min_count,
        min_objects=min_objects,
        max_objects=max_objects,
        min_relationships=min_relationships,
        split=(train_share, val_share, test_share),
        split_file=split_file,
        seed=seed,
        console=Console(),
    )


def train(
    dataset: Annotated[Path, typer.Argument(help="Data set directory that `prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Run directory to write.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe: default, paper (AAAI 2021, faithful and slow), or a TOML file.")
    ] = "default",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, from its last whole epoch.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after this much training time, or after the recipe's epochs if that comes first. "
            "Such a run cannot be repeated bit by bit.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train an encoder; curves: tensorboard --logdir RUN.

    Examples: scenerank train dataset --out run;
    scenerank train dataset --out run2 --recipe paper --set loss=triplet --set epochs=20

    On several GPUs: torchrun --nproc-per-node 4 $(which scenerank) train dataset --out run; batch_size stays that of
    all GPUs together, so the result does not depend on their number.
    """
    from model.dataset import load_dataset
    from training.config import load_recipe
    from training.distributed import is_first
    from training.trainer import train as run

    console = Console(quiet=not is_first())
    config = load_recipe(recipe, set_ or [])
    try:
        state = run(config, load_dataset(dataset), out, resume=resume, minutes=minutes, console=console)
    except KeyboardInterrupt:
        console.print(f"Interrupted. Go on from the last whole epoch with --resume into {out}.", soft_wrap=True)
        raise typer.Exit(130) from None
    best = f"Best epoch {state.best_epoch} of {state.epoch}: {out / 'best'}; curves: tensorboard --logdir {out}"
    console.print(best if state.epoch else f"The checkpoint: {out / 'best'}", soft_wrap=True)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run directory, or a checkpoint in it.")],
    dataset: Annotated[Path, typer.Argument(help="Data set directory.")],
    out: Annotated[Path, typer.Option(help="Directory for report.json and report.md.")],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images to score on.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Decides which edges the incomplete queries lose.")] = 0,
) -> None:
    """Score an encoder: agreement with captions, and retrieval with incomplete queries; baselines beside it.

    Example: scenerank evaluate run dataset --split test --out report
    """
    from model.atomic import write_atomically
    from model.checkpoint import load_checkpoint
    from model.dataset import load_dataset
    from training.evaluation.evaluate import evaluate as score
    from training.evaluation.report import to_markdown
    from training.trainer import choose_device

    console = Console()
    checkpoint = load_checkpoint(run)
    checkpoint.encoder.to(choose_device("auto"))
    with _progress(console) as progress:
        task = progress.add_task("evaluating", total=None)
        document = score(
            checkpoint,
            load_dataset(dataset),
            split=split,
            seed=seed,
            progress=lambda method, methods: progress.update(task, advance=1, total=methods, description=method),
        )
    markdown = to_markdown(document, shlex.join(["scenerank", *sys.argv[1:]]))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "report.json", (json.dumps(document, indent=1) + "\n").encode())
    write_atomically(out / "report.md", markdown.encode())
    console.print(markdown, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Written to {out / 'report.md'} and {out / 'report.json'}.", soft_wrap=True)


def reproduce(
    dataset: Annotated[Path, typer.Argument(help="Data set directory that `prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Directory of the report and its runs; the same one to go on.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the default recipe and of the best paper model.")] = 3,
    other_seeds: Annotated[int, typer.Option(min=1, help="Seeds of the eleven other paper models.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every run, else its recipe's; 0 stay 0.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Training time of every run, instead of epochs.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Image features to compare with: .npz with ids (N,) and features (N, D).")
    ] = None,
    extra: Annotated[
        list[Path] | None, typer.Option(help="Another data set to score retrieval on; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of all recipes; may be repeated."),
    ] = None,
    ablations: Annotated[bool, typer.Option(help="Whether to train the variants of the default recipe.")] = True,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images to score on.")] = "test",
    seed: Annotated[int, typer.Option(min=0, help="Decides which edges the incomplete queries lose.")] = 0,
) -> None:
    """Train the paper's 3 losses x 4 samplers and the default recipe, and write all tables and figures as one report.

    Example: scenerank reproduce dataset --out report --minutes 4

    The same command goes on where it was interrupted; finished runs are kept.
    """
    from model.dataset import load_dataset
    from training.reproduce import Plan
    from training.reproduce import reproduce as run

    console = Console()
    names = [path.resolve().name for path in extra or []]
    if len(set(names)) < len(names):
        raise ConfigError(f"--extra names {', '.join(names)}; give directories of different names")
    plan = Plan(
        seeds=seeds,
        other_seeds=other_seeds,
        epochs=epochs,
        minutes=minutes,
        settings=set_ or [],
        ablations=ablations,
    )
    try:
        report = run(
            load_dataset(dataset),
            out,
            plan,
            split=split,
            seed=seed,
            extras={name: load_dataset(path) for name, path in zip(names, extra or [], strict=True)},
            features=features,
            command=shlex.join(["scenerank", *sys.argv[1:]]),
            console=console,
        )
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from the last whole epoch.", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(f"Written to {report}, with report.md and report.json beside it.", soft_wrap=True)


def embed(
    run: Annotated[Path, typer.Argument(help="Run directory, or a checkpoint in it.")],
    graphs: Annotated[
        Path, typer.Argument(help="Data set, directory in Visual Genome format, or .jsonl of native graphs.")
    ],
    out: Annotated[Path, typer.Option(help="The .npz file to write: ids (N,), embeddings float32 (N, D), unit rows.")],
    split: Annotated[Literal["train", "val", "test"] | None, typer.Option(help="Only this part of a data set.")] = None,
) -> None:
    """Embed scene graphs; unknown names and wildcards are treated as in a query.

    Example: scenerank embed run graphs.jsonl --out embeddings.npz
    """
    from model.checkpoint import load_checkpoint
    from model.collection import read_collection
    from training.embed import embed_collection, save_embeddings
    from training.trainer import choose_device

    console = Console()
    checkpoint = load_checkpoint(run)
    checkpoint.encoder.to(choose_device("auto"))
    collection = read_collection(graphs, split=split)
    with _progress(console) as progress:
        task = progress.add_task("embedding", total=collection.total)
        embedded = embed_collection(checkpoint, collection, lambda done: progress.update(task, completed=done))
    save_embeddings(out, embedded)
    console.print(
        f"{len(embedded.ids):,} embeddings of {embedded.embeddings.shape[1]} dimensions written to {out}; "
        f"{embedded.substituted:,} names were not in the vocabulary as they stand; "
        f"{collection.skipped:,} images without objects were left out.",
        soft_wrap=True,
    )


def export(
    run: Annotated[Path, typer.Argument(help="Run directory, or a checkpoint in it.")],
    out: Annotated[Path, typer.Option(help="Checkpoint directory to write.")],
) -> None:
    """Write a checkpoint with half-precision weights, half as large, to pass on.

    Example: scenerank export run --out checkpoint
    """
    from model.checkpoint import load_checkpoint, save_checkpoint

    checkpoint = load_checkpoint(run)
    digest = save_checkpoint(
        out,
        encoder=checkpoint.encoder,
        vocabulary=checkpoint.vocabulary,
        word_vectors=checkpoint.word_vectors,
        metadata=checkpoint.metadata,
        half=True,
    )
    size = sum(path.stat().st_size for path in out.iterdir())
    Console().print(f"{out}: {size / 1e6:.1f} MB, digest {digest[:16]}", highlight=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
