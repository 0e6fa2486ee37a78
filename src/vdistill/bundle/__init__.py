"""The index on disk: file formats and their readers, without torch. `index` writes a bundle, `query` searches it."""
