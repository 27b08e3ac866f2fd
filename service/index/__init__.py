"""The index: vectors on the disk in versions, and in memory for searching."""
