"""Stage two: the judgments train a LoRA adapter on the image tower."""
