"""Vectors in the database that a shop already runs: written by `index --to`, searched by `query --from`."""
