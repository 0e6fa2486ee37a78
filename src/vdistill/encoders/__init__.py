"""Dual encoders and their checkpoints, with torch."""
