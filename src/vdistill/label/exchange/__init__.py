"""Judgments in and out, as preference pairs for other tools."""
