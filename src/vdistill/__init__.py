"""vdistill: a vision-language model's judgment, distilled into a dual encoder that searches in milliseconds."""

__version__ = "0.1.0"
