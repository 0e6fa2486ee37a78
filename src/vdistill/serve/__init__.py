"""`vdistill serve`: the index over HTTP, as JSON, from one process without torch. Needs the extra `serve`."""
