"""The web service: a catalogue of images, an index over their scene graphs, and search over HTTP."""
