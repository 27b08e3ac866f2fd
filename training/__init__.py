"""Offline: data preparation, training, evaluation."""
