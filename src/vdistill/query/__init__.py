"""Stage four: a text or a picture in, pictures out; nothing here may import torch."""
