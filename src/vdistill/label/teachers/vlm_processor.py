"""The processor of a vision-language model, for images alone: without video, tiles, or a need for torchvision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vdistill.encoders.checkpoint import Checkpoint
from vdistill.encoders.hub import Files
from vdistill.errors import VdistillError
from vdistill.label.prompts import OPTIONS
from vdistill.label.teachers.vlm_template import ChatTemplate, Content

# Switches for tiles, which cost several times the tokens of one view.
TILES = ("do_image_splitting", "crop_to_patches", "do_pan_and_scan")
PINPOINTS = "image_grid_pinpoints"
NOT_IN_KEY = ("do_image_splitting",)  # switched off since the first release, so not part of the key of answers


@dataclass(frozen=True, slots=True)
class Processor:
    """Makes prompts and tensors.

    views: settings of the image processor that keep it from cutting tiles; cuts: whether it would have cut them.
    letter_ids: for each letter its tokens at the start of an answer, with and without a space before it.
    """

    own: Any
    template: ChatTemplate
    views: Mapping[str, Any]
    cuts: bool
    letter_ids: Mapping[str, Sequence[int]]

    @property
    def key_parts(self) -> tuple[str, ...]:
        """How prompts differ from what the model's own settings would make, for the key of an answer."""
        return (*self.template.key_parts, *self._views_part)

    @property
    def thinking_key_parts(self) -> tuple[str, ...]:
        """The same of prompts that end in an open thought."""
        return (*self.template.layout_parts, *self._views_part)

    @property
    def _views_part(self) -> tuple[str, ...]:
        return ("whole",) if self.cuts else ()

    def inputs(self, prompts: Sequence[str], images: Sequence[Sequence[Image.Image]]) -> Any:
        """One batch of tensors: `input_ids` (prompts, tokens), padded on the left, and what any images became."""
        start = self.own.tokenizer.bos_token
        # Some templates write the start token, and the tokenizer would write it again.
        options: dict[str, Any] = {"add_special_tokens": False} if start and prompts[0].startswith(start) else {}
        if not any(images):
            return self.own.tokenizer(list(prompts), padding=True, return_tensors="pt", **options)
        if self.views:
            options["images_kwargs"] = dict(self.views)
        return self.own(
            text=list(prompts), images=[list(row) for row in images], padding=True, return_tensors="pt", **options
        )

    def fit(self, model: Any) -> None:
        """Pass on to the model the changed settings that it has to know."""
        if PINPOINTS in self.views:
            model.config.image_grid_pinpoints = self.views[PINPOINTS]


def _ids(tokenizer: Any, letter: str) -> list[int]:
    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in (letter, f" {letter}")]
    bare = tokenizer.convert_tokens_to_ids(letter)  # sentence pieces encode "A" as " A"
    found = {ids[0] for ids in [*encoded, [bare]] if len(ids) == 1 and ids[0] is not None}
    found.discard(tokenizer.unk_token_id)
    if not found:
        raise VdistillError(f"the teacher's tokenizer has no token for the letter {letter}", hint="use another model")
    return sorted(found)


def load_processor(files: Files, config: Any) -> Processor:
    """The processor of the class that the model's files name, without its video part where that cannot be had.

    Batches are padded on the left, so that the answer begins after the last position of every row. Raises OSError,
    ValueError or ImportError as transformers does, and VdistillError for a model without a chat template or without
    tokens for the letters.
    """
    from transformers import AutoProcessor

    try:
        own = AutoProcessor.from_pretrained(files.name, backend="pil", trust_remote_code=False, **files.where)
    except (ImportError, ValueError, OSError):  # the video part needs torchvision, or a file that is not there
        own = _for_images(files, config)
    if not hasattr(own, "tokenizer") or not hasattr(own, "image_processor"):
        raise ValueError(f"it has a {type(own).__name__}, not one for images and text")
    own.tokenizer.padding_side = "left"
    image_token = getattr(own, "image_token", None) or getattr(own.tokenizer, "image_token", None)
    template = ChatTemplate(own.tokenizer, _template(own, files.name), image_token)
    views = _views(own.image_processor)
    cuts = _cuts(own, views)
    for name, value in views.items():  # some processors count tokens by them, whatever they are called with
        setattr(own.image_processor, name, value)
    processor = Processor(own, template, views, cuts, {letter: _ids(own.tokenizer, letter) for letter in OPTIONS})
    # Asked about two blank images, it raises now what it would raise later.
    question: Content = [("text", "A:"), ("image", None), ("text", "B:"), ("image", None)]
    processor.inputs([template.prompt("", question)], [[Image.new("RGB", (64, 64), "white")] * 2])
    return processor


def _template(own: Any, source: str) -> str:
    template = getattr(own, "chat_template", None) or own.tokenizer.chat_template
    if isinstance(template, Mapping):  # several, by name
        template = template.get("default") or next(iter(template.values()))
    if not template:
        raise VdistillError(
            f"{source} has no chat template: it completes text, and does not answer questions",
            hint="take the instruction-tuned variant of the model (its name often ends in -Instruct or -it)",
        )
    return str(template)


def _views(image_processor: Any) -> dict[str, Any]:
    """The settings, of those that this class knows, that keep an image in one view."""
    views: dict[str, Any] = {name: False for name in TILES if hasattr(image_processor, name)}
    if type(image_processor).__name__.startswith("LlavaNextImage"):  # always a whole view and tiles: let it be one tile
        size = image_processor.size
        side = size.get("shortest_edge") or size.get("height")
        views[PINPOINTS] = [[side, side]]
    return views


def _cuts(own: Any, views: Mapping[str, Any]) -> bool:
    """Whether it would otherwise have cut tiles; a processor's class may have defaults of its own."""
    typed = getattr(getattr(own, "valid_processor_kwargs", None), "_defaults", {})
    defaults = {**getattr(own, "images_kwargs", {}), **typed.get("images_kwargs", {})}
    usual = {name: defaults.get(name, getattr(own.image_processor, name, None)) for name in views}
    return any(usual[name] for name, value in views.items() if name not in NOT_IN_KEY and usual[name] != value)


def _for_images(files: Files, config: Any) -> Any:
    """The model's processor, of a subclass without a video processor."""
    from transformers import AutoImageProcessor, AutoTokenizer

    source, where = files.name, files.where
    base = _processor_class(files, config)

    def attributes(cls: Any) -> list[str]:
        return [name for name in base.get_attributes() if name != "video_processor"]

    images_alone: Any = type(base.__name__, (base,), {"get_attributes": classmethod(attributes)})
    settings, _ = base.get_processor_dict(source, **where)
    return images_alone.from_args_and_dict(
        [],
        {name: value for name, value in settings.items() if name != "video_processor"},
        image_processor=AutoImageProcessor.from_pretrained(source, backend="pil", trust_remote_code=False, **where),
        tokenizer=AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where),
        video_processor=None,
    )


def _processor_class(files: Files, config: Any) -> Any:
    """The class that the files name, else the one for the model's type. Raises ImportError for a missing package."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    named = getattr(transformers, _named_class(files), None)
    if named is None and type(config) not in PROCESSOR_MAPPING:
        raise ValueError(f"no processor is known for {config.model_type}")
    found: Any = named or PROCESSOR_MAPPING[type(config)]
    found.get_attributes()  # transformers' stand-in for a class whose packages are not there raises here
    return found


def _named_class(files: Files) -> str:
    checkpoint = Checkpoint(files.name, files.name, files.revision)
    names = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
    found = ((checkpoint.json(name) or {}).get("processor_class") for name in names)
    return next((str(each) for each in found if each), "")
