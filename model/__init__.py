"""Scene graphs, and how one becomes a unit vector."""
