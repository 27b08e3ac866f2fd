"""Training steps with and without a busy process beside them, by how long OpenMP's threads spin (GOMP_SPINCOUNT).

Each measurement is a process of its own, since the value is read when PyTorch is loaded. Prints graphs per second and,
as last line, the ratios to libgomp's default as one JSON object.

    python benchmarks/training_threads.py
"""

import json
import os
import subprocess
import sys
import time

SECONDS = 8.0
SPIN_COUNTS = ("default", "0", "1000", "30000")


def measure() -> float:
    """Graphs per second of training steps of the paper's recipe on graphs of 4 objects and 3 relationships."""
    import numpy as np
    import torch

    from model.batch import PackedGraphs
    from model.encoder import EncoderConfig, SceneGraphEncoder
    from model.resolution import ResolvedGraph

    random = np.random.default_rng(0)
    graphs = PackedGraphs.pack(
        ResolvedGraph(
            objects=random.integers(2, 1000, 4).tolist(),
            subjects=random.integers(0, 4, 3).tolist(),
            predicates=random.integers(2, 500, 3).tolist(),
            targets=random.integers(0, 4, 3).tolist(),
            substitutions=(),
        )
        for _ in range(48)
    )
    encoder = SceneGraphEncoder(EncoderConfig(object_names=1000, predicates=500)).train()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-4)
    steps, started = -3, time.perf_counter()
    while steps < 0 or time.perf_counter() - started < SECONDS:
        if steps == 0:
            started = time.perf_counter()
        anchor, positive, negative = encoder(graphs.to_batch()).chunk(3)
        optimizer.zero_grad(set_to_none=True)
        (anchor * (negative - positive)).sum().backward()
        optimizer.step()
        steps += 1
    return 48 * steps / (time.perf_counter() - started)


def main() -> None:
    speeds: dict[str, float] = {}
    for beside in ("alone", "beside a busy process"):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside != "alone" else None
        try:
            for count in SPIN_COUNTS:
                environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
                environment |= {} if count == "default" else {"GOMP_SPINCOUNT": count}
                command = [sys.executable, __file__, "--measure"]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                speeds[f"{beside}, {count}"] = float(done.stdout)
                print(f"{beside}, GOMP_SPINCOUNT {count}: {float(done.stdout):,.0f} graphs/s", flush=True)
        finally:
            if busy is not None:
                busy.kill()
                busy.wait()
    print(
        json.dumps({name: round(speed / speeds[f"{name.split(',')[0]}, default"], 2) for name, speed in speeds.items()})
    )


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(measure())
    else:
        main()
