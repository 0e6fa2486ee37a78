"""Embedding, search, memory and disk on this machine."""
