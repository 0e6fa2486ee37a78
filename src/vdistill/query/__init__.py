"""Stage four, `vdistill query`: searches a bundle by text and image, without torch."""
