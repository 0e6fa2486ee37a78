"""Stage three: the catalog becomes a memory-mapped bundle of vectors, items and exported encoders."""
