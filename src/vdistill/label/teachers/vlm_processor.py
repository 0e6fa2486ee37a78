"""The processor of a vision-language model, for pictures alone: no video, and no torchvision for its sake."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jinja2
from PIL import Image

from vdistill.errors import VdistillError


def load_processor(source: str) -> Any:
    """The model's own processor; where its video part cannot be had, the same class without that part.

    Batches are padded on the left, so that the last position is the answer's in every row. Raises OSError, ValueError
    or ImportError as transformers does, and VdistillError for a model that cannot be talked to.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source, backend="pil", trust_remote_code=False)
    except (ImportError, ValueError):  # the video processors of transformers 5 need torchvision
        processor = _for_pictures(source)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ValueError(f"it has a {type(processor).__name__}, where pictures and text are wanted")
    processor.tokenizer.padding_side = "left"
    if getattr(processor, "chat_template", None) is None:
        processor.chat_template = processor.tokenizer.chat_template
    if processor.chat_template is None:
        raise VdistillError(
            f"{source} has no chat template: it completes texts, and answers no questions",
            hint="take the instruction-tuned variant of the model (its name often ends in -Instruct or -it)",
        )
    if getattr(processor.image_processor, "do_image_splitting", False):  # a dozen tiles a picture would be too many
        processor.image_processor.do_image_splitting = False
    return processor


def model_inputs(processor: Any, chats: Sequence[Any], pictures: Sequence[Sequence[Image.Image]]) -> Any:
    """One batch of tensors, the prompt of each chat ending where the model's answer begins."""
    texts = [_prompt(processor, chat) for chat in chats]
    start = processor.tokenizer.bos_token
    twice = bool(start) and texts[0].startswith(start)  # some templates write it, and the tokenizer would again
    options = {"add_special_tokens": False} if twice else {}
    return processor(text=texts, images=[list(shown) for shown in pictures], padding=True, return_tensors="pt",
                     **options)  # fmt: skip


def letter_ids(processor: Any, letter: str) -> list[int]:
    """The tokens that say this letter at the start of an answer: with and without a blank before it.

    Raises VdistillError for a vocabulary that has no token for it.
    """
    tokenizer = processor.tokenizer
    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in (letter, f" {letter}")]
    bare = tokenizer.convert_tokens_to_ids(letter)  # sentence pieces encode "A" as " A"
    found = {ids[0] for ids in [*encoded, [bare]] if len(ids) == 1 and ids[0] is not None}
    found.discard(tokenizer.unk_token_id)
    if not found:
        raise VdistillError(f"the teacher's tokenizer has no token for the letter {letter}", hint="use another model")
    return sorted(found)


def _prompt(processor: Any, chat: Sequence[Any]) -> str:
    """The chat in the model's own template; one that knows no system role gets those words with the user's."""
    # By the tokenizer: SmolVLM's processor asks its video part even for a prompt without any video.
    render = partial(
        processor.tokenizer.apply_chat_template,
        chat_template=processor.chat_template,
        add_generation_prompt=True,
        tokenize=False,
    )
    try:
        return str(render(chat))
    except jinja2.TemplateError:
        system, user = chat
        return str(render([{"role": "user", "content": [*system["content"], *user["content"]]}]))


def _for_pictures(source: str) -> Any:
    """The model's processor, of a subclass that knows of no video processor."""
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if type(config) not in PROCESSOR_MAPPING:
        raise ValueError(f"no processor is known for {config.model_type}")
    base: Any = PROCESSOR_MAPPING[type(config)]

    def attributes(cls: Any) -> list[str]:
        return [name for name in base.get_attributes() if name != "video_processor"]

    pictures_alone: Any = type(base.__name__, (base,), {"get_attributes": classmethod(attributes)})
    settings, _ = base.get_processor_dict(source)
    return pictures_alone.from_args_and_dict(
        [],
        {name: value for name, value in settings.items() if name != "video_processor"},
        image_processor=AutoImageProcessor.from_pretrained(source, backend="pil", trust_remote_code=False),
        tokenizer=AutoTokenizer.from_pretrained(source, trust_remote_code=False),
        video_processor=None,
    )
