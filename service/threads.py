"""The threads that encode and look up: how many there are, and that each has a core for itself."""

import os
from typing import Final

import faiss
import torch

_MOST: Final = 4  # from there on they would mostly wait for the interpreter's lock


def cores() -> int:
    """How many of this machine's cores searches may use: those that this process may run on, at most four."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST)
    return min(os.cpu_count() or 1, _MOST)


def use_one_thread() -> None:
    """Let the thread that calls this encode and search by itself.

    For one query the threads of PyTorch and FAISS mostly wait for each other: on a busy machine that makes a search
    several times slower.
    """
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
