"""Public test sets by name: fetched as they are published, and turned into files that every command reads."""
