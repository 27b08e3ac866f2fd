"""A search keeps to one core, so that each process and each thread has its own."""

import faiss
import torch


def use_one_thread() -> None:
    """Let the thread that calls this encode and search by itself.

    For one query the threads of PyTorch and FAISS mostly wait for each other: on a busy machine that makes a search
    several times slower.
    """
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
