"""The processor of a vision-language model, for pictures alone: no video, and no torchvision for its sake."""

from __future__ import annotations

from typing import Any


def load_processor(source: str) -> Any:
    """The model's own processor; where its video part cannot be had, the same class without that part.

    Raises OSError or ValueError as transformers does, where the model has no processor.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source)
    except ImportError:  # the video processors of transformers 5 need torchvision
        processor = _for_pictures(source).from_pretrained(source)
    if processor.chat_template is None:
        processor.chat_template = processor.tokenizer.chat_template
    return processor


def _for_pictures(source: str) -> Any:
    """A subclass of the model's processor class that knows of no video processor."""
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    kind = AutoConfig.from_pretrained(source).model_type
    base: Any = getattr(transformers, str(PROCESSOR_MAPPING_NAMES[kind]))

    def attributes(cls: Any) -> list[str]:
        return [name for name in base.get_attributes() if name != "video_processor"]

    return type(base.__name__, (base,), {"get_attributes": classmethod(attributes)})
