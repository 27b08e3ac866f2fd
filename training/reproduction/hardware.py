"""What a run was computed on, as a report names it."""

import os
import platform
from pathlib import Path

import torch


def describe_hardware(device: str) -> dict[str, str | int]:
    """Processor, cores that may be used, threads, device, and versions.

    Args:
        device: the name of the device that was trained on, or "cpu".
    """
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": device,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def hardware_line(hardware: dict[str, str | int]) -> str:
    """The same in a line."""
    return (
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['threads']} threads; device {hardware['device']}; "
        f"{hardware['system']}; Python {hardware['python']}, PyTorch {hardware['torch']}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
