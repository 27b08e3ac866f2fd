"""From the official annotation files to a data set directory, step by step."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from model.dataset import SPLITS, SceneGraphDataset, check_replaceable, save_dataset
from model.errors import ConfigError, DataError
from model.files import Opener, open_plain
from model.visual_genome import VisualGenome, read_visual_genome, visual_genome_files
from model.word_vectors import WordVectors, words_of
from training.data.captions import TextVectors, TokenizedTexts, mean_text_vectors, read_captions, tokenize
from training.data.filtering import filter_graphs, kept_attributes
from training.data.report import Report
from training.data.sentences import SentenceEncoder, load_sentence_encoder, mean_sentence_vectors
from training.data.splits import SplitFile, check_shares, random_split, read_split_file
from training.data.word_vectors import read_word_vectors


def prepare(
    *,
    visual_genome: Path,
    captions: Sequence[Path],
    word_vectors: Path,
    sentence_encoder: str | None = None,
    out: Path,
    min_count: int = 25,
    min_objects: int = 3,
    max_objects: int = 40,
    min_relationships: int = 1,
    split: tuple[int, int, int] = (70, 20, 10),
    split_file: Path | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> Report:
    """Read Visual Genome, COCO captions and GloVe, filter, split, and write a data set directory.

    The defaults are those of Maheshwari et al. 2021, "Data".

    Args:
        visual_genome: directory in Visual Genome format, see `model.visual_genome`.
        captions: COCO `captions_*.json` files, joined over the images' COCO ids; may be none.
        word_vectors: GloVe text file.
        sentence_encoder: embeds the captions a second time, see `training.data.sentences`; the paper's GloVe vectors
            are made in any case.
        out: the directory to write; an older data set there is replaced.
        min_count: object types and predicates seen less often go.
        min_objects: images with fewer objects go.
        max_objects: images with more objects go.
        min_relationships: images with fewer relationships go.
        split: shares of train, val and test among the images with captions (region phrases, where none has captions).
        split_file: a fixed split instead, see `training.data.splits`.
        seed: of the random split.
        console: shows progress, where it is a terminal, and the table of what was kept.

    Returns:
        What was kept and dropped, step by step; the data set's manifest holds it too.

    Raises:
        ConfigError: an impossible setting.
        DataError: a file is missing, damaged or of another kind, or nothing is left.
    """
    settings = {
        "min_count": min_count,
        "min_objects": min_objects,
        "max_objects": max_objects,
        "min_relationships": min_relationships,
    }
    _check_settings(**settings)
    check_shares(split)
    check_replaceable(out)
    fixed = read_split_file(split_file) if split_file is not None else None
    sources = {"captions": captions, "word_vectors": [word_vectors], "split_file": [split_file] if split_file else []}
    _check_files(visual_genome, [path for paths in sources.values() for path in paths])
    encoder = _sentence_encoder(sentence_encoder, captions)
    sources["sentence_encoder"] = encoder.weights if encoder is not None else []

    report = Report()
    with _progress(console) as progress:
        opener = _opener(progress)
        columns = read_visual_genome(visual_genome, opener=opener)
        _report_input(report, columns)
        all_ids = columns.image_ids.astype(np.str_)
        only_images = fixed.listed(all_ids) if fixed is not None and fixed.names_train else None
        kept = filter_graphs(columns, **settings, only_images=only_images, report=report)
        if not len(kept.images):
            remedy = "lower --min-count, --min-objects or --min-relationships"
            raise DataError(f"no image of {visual_genome} is left; {remedy}")
        image_ids = all_ids[kept.images]
        attributes, attribute_offsets, attribute_names = kept_attributes(columns, kept.objects)
        caption_lines = _captions(captions, columns.coco_ids[kept.images], visual_genome, opener, report)
        phrase_lines = [columns.phrases[image] for image in kept.images.tolist()]
        names = (*kept.vocabulary.objects, *kept.vocabulary.predicates, *attribute_names)
        caption_vectors, phrase_vectors, table = _embed(
            caption_lines, phrase_lines, names, word_vectors, opener=opener, report=report
        )
    sentence_vectors = _embed_sentences(caption_lines, encoder, console, report) if encoder is not None else None

    if fixed is not None:
        split_of_image = fixed.assign(image_ids)
        _report_split_file(report, fixed, image_ids)
    else:
        supervised = caption_vectors.counts > 0 if captions else phrase_vectors.counts > 0
        if not supervised.any():
            remedy = "name COCO caption files with --captions, or a split with --split-file"
            raise DataError(f"no image of {visual_genome} has texts to learn from; {remedy}")
        split_of_image = random_split(supervised, split, np.random.default_rng(seed))
    _report_split(report, split_of_image, caption_vectors)

    dataset = SceneGraphDataset(
        image_ids=image_ids,
        graphs=kept.graphs,
        boxes=columns.boxes[kept.objects],
        attributes=attributes,
        attribute_offsets=attribute_offsets,
        attribute_names=attribute_names,
        urls=[columns.urls[image] for image in kept.images.tolist()],
        widths=columns.widths[kept.images],
        heights=columns.heights[kept.images],
        split=split_of_image,
        caption_vectors=caption_vectors.vectors,
        caption_counts=caption_vectors.counts,
        phrase_vectors=phrase_vectors.vectors,
        phrase_counts=phrase_vectors.counts,
        vocabulary=kept.vocabulary,
        word_vectors=table,
        manifest={
            "settings": {**settings, **_split_settings(split, seed, split_file)},
            "sources": {
                "visual_genome": [_source(path) for path in visual_genome_files(visual_genome)],
                **{kind: [_source(path) for path in paths] for kind, paths in sources.items()},
            },
            "report": report.to_json(),
        },
        sentence_vectors=sentence_vectors,
        sentence_encoder=encoder.name if encoder is not None else None,
    )
    save_dataset(out, dataset, _texts(image_ids, caption_lines, phrase_lines))
    if console is not None:
        console.print(report.table())
    return report


def _check_settings(*, min_count: int, min_objects: int, max_objects: int, min_relationships: int) -> None:
    if min_count < 1:
        raise ConfigError(f"min_count is {min_count}; it must be at least 1")
    if not 1 <= min_objects <= max_objects:
        raise ConfigError(
            f"min_objects {min_objects} and max_objects {max_objects}: 1 <= min_objects <= max_objects must hold"
        )
    if min_relationships < 0:
        raise ConfigError(f"min_relationships is {min_relationships}; it must not be negative")


def _check_files(visual_genome: Path, files: Sequence[Path]) -> None:
    """Say what is missing before the minutes of reading, not after."""
    if not visual_genome.is_dir():
        raise DataError(f"{visual_genome} is not a directory; name the one with objects.json and relationships.json")
    for path in files:
        if not path.is_file():
            raise DataError(f"{path} does not exist or is no file; correct the path or download the file")


def _sentence_encoder(name: str | None, captions: Sequence[Path]) -> SentenceEncoder | None:
    """The encoder, loaded before the minutes of reading, so that one that is missing is told at once."""
    if name is None:
        return None
    if not captions:
        raise ConfigError("--sentence-encoder has nothing to embed; name COCO caption files with --captions")
    return load_sentence_encoder(name)


def _captions(
    paths: Sequence[Path], coco_ids: NDArray[np.int64], visual_genome: Path, opener: Opener, report: Report
) -> Sequence[str]:
    """The captions of each image, one a line."""
    captions = read_captions(paths, coco_ids, opener=opener)
    if paths and not any(captions.texts):
        raise DataError(
            f"none of the {captions.read:,} captions belongs to an image that is left; "
            f"image_data.json in {visual_genome} must give the images' coco_id"
        )
    if paths:
        # Images of one COCO id share captions, which count once for each image, here as in all that follows.
        given = _texts_in(captions.texts)
        report.add("captions of these images", given, given + captions.of_unknown_images)
    return captions.texts


def _embed(
    captions: Sequence[str],
    phrases: Sequence[str],
    names: Iterable[str],
    word_vectors: Path,
    *,
    opener: Opener,
    report: Report,
) -> tuple[TextVectors, TextVectors, WordVectors]:
    """Mean vectors of the captions and of the region phrases, and the vectors of all words in use."""
    caption_tokens, phrase_tokens = tokenize(captions), tokenize(phrases)
    wanted = {word for name in names for word in words_of(name)}.union(caption_tokens.words, phrase_tokens.words)
    table = read_word_vectors(word_vectors, wanted, opener=opener)
    report.add("words with a vector", len(wanted.intersection(table.words)), len(wanted))
    caption_vectors = mean_text_vectors(caption_tokens, table)
    phrase_vectors = mean_text_vectors(phrase_tokens, table)
    _report_texts(report, "caption", caption_tokens, caption_vectors)
    _report_texts(report, "region phrase", phrase_tokens, phrase_vectors)
    return caption_vectors, phrase_vectors, table


def _embed_sentences(
    captions: Sequence[str], encoder: SentenceEncoder, console: Console | None, report: Report
) -> NDArray[np.float32]:
    """Mean sentence vectors of the captions."""
    with _progress(console, MofNCompleteColumn()) as progress:
        task = progress.add_task(f"captions, {encoder.name}")
        vectors, counts = mean_sentence_vectors(
            captions, encoder.encode, lambda done, total: progress.update(task, completed=done, total=total)
        )
    report.add("captions with a sentence vector", int(counts.sum()), _texts_in(captions))
    return vectors


def _texts_in(lines_of_images: Sequence[str]) -> int:
    """How many texts the images have, one a line."""
    return sum(lines.count("\n") + 1 for lines in lines_of_images if lines)


def _progress(console: Console | None, amount: ProgressColumn | None = None) -> Progress:
    """Bars, shown only on a terminal; an amount is bytes of a file unless another column says it."""
    columns = (TextColumn("{task.description}"), BarColumn(), amount or DownloadColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=console is None or not console.is_terminal)


def _opener(progress: Progress) -> Opener:
    """Opens files with a bar that shows how much of them has been read."""
    if progress.disable:
        return open_plain
    return lambda path: progress.open(path, "rb", description=path.name)


def _report_input(report: Report, columns: VisualGenome) -> None:
    report.note(columns.oddities)
    report.add("images", len(columns))
    report.add("objects", len(columns.objects))
    report.add("relationships", len(columns.predicates))


def _report_texts(report: Report, kind: str, tokens: TokenizedTexts, vectors: TextVectors) -> None:
    texts = len(tokens.text_offsets) - 1
    if not texts:
        return
    report.add(f"{kind}s with a known word", int(vectors.counts.sum()), texts)
    report.add(f"{kind} tokens with a vector", vectors.known_tokens, len(tokens.tokens))
    report.add(f"images with {kind}s", int((vectors.counts > 0).sum()), len(vectors.counts))


def _report_split_file(report: Report, fixed: SplitFile, image_ids: NDArray[np.str_]) -> None:
    present = set(image_ids.tolist())
    for name in SPLITS:
        listed = [image_id for image_id, split in fixed.split_of.items() if split == name]
        if listed:
            found = sum(image_id in present for image_id in listed)
            report.add(f"images of the split file's {name!r}", found, len(listed))


def _report_split(report: Report, split_of_image: NDArray[np.int8], caption_vectors: TextVectors) -> None:
    for number, name in enumerate(SPLITS):
        members = split_of_image == number
        report.add(f"{name} images", int(members.sum()))
        report.add(f"{name} images with captions", int((members & (caption_vectors.counts > 0)).sum()))


def _texts(image_ids: NDArray[np.str_], captions: Sequence[str], phrases: Sequence[str]) -> Iterator[dict[str, Any]]:
    for image_id, caption_lines, phrase_lines in zip(image_ids.tolist(), captions, phrases, strict=True):
        yield {"image_id": image_id, "captions": caption_lines.splitlines(), "phrases": phrase_lines.splitlines()}


def _split_settings(split: Sequence[int], seed: int, split_file: Path | None) -> dict[str, Any]:
    """What decided the split: the file if there was one, else shares and seed, and never what had no say."""
    if split_file is None:
        return {"split": list(split), "seed": seed}
    return {"split_file": split_file.name, "split_file_sha256": _source(split_file)["sha256"]}


def _source(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "name": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
