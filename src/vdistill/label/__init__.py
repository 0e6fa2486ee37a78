"""Stage one: a teacher judges a sample of the catalog."""
