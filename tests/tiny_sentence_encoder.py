"""A sentence-transformers model of a few words, made in the test and written like a real one."""

from pathlib import Path

import numpy as np

from tests.conftest import skip_or_fail

WORDS = ["a", "man", "horse", "dog", "on", "the", "beach", "table", "woman", "street"]
DIMENSION = 6


def tiny_sentence_encoder(directory: Path, *, pickle: bool = False) -> Path:
    """Write a model that gives a text the mean of its words' random vectors; unknown words count for nothing.

    Skips the test where the extra is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (optional)
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding  # noqa: PLC0415
    except ImportError:
        skip_or_fail("sentence", "no sentence-transformers; pip install 'scenerank[sentence]'")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers  # noqa: PLC0415

    words = {word: number for number, word in enumerate([*WORDS, "?"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(WORDS) + 1, DIMENSION)).astype(np.float32)
    vectors[-1] = 0
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors)], device="cpu")
    model.save_pretrained(str(directory), create_model_card=False, safe_serialization=not pickle)
    return directory
