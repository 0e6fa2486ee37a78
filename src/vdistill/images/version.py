"""The version of how image files are decoded; apart from the decoder, which imports Pillow."""

# To be raised whenever some files are decoded differently than before: vectors of an older decoder are recomputed.
DECODER_VERSION = 2
