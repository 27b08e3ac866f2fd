"""The demo world: invented scenes in the formats of Visual Genome, COCO and GloVe, for a first run offline."""

from training.data.demo_world.writer import write_demo_world

__all__ = ["write_demo_world"]
