"""What was measured, for people: a table, a page, plots, and files for CI."""
