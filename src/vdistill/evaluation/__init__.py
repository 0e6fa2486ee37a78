"""What a ranking is measured by: for `distill` and `bench`."""
