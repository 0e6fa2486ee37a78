"""A question in a model's own chat template, rearranged where that separates letters from images or begins to think.

Templates are written for one image and a conversation. Some write all images before all text, so that no letter stands
beside its image; some end in an open `<think>`, so that the next token is a thought instead of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import jinja2

from vdistill.errors import VdistillError
from vdistill.label.prompts import Part, letters

# How thoughts are opened and closed; a prompt that ends in an open one is closed at once.
THOUGHTS = {"<think>": "</think>", "<thinking>": "</thinking>", "[THINK]": "[/THINK]", "◁think▷": "◁/think▷",
            "<seed:think>": "</seed:think>"}  # fmt: skip
SWITCHES = ("enable_thinking", "thinking")  # variables of templates that turn thinking on and off
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")

Layout = Literal["parts", "inline", "named"]  # images as parts, as tokens in the text, or all before it and named
Content = Sequence[Part[Any]]


class ChatTemplate:
    """Writes prompts that end where the model's answer begins. `image_token` is None where the processor names none."""

    def __init__(self, tokenizer: Any, template: str, image_token: str | None) -> None:
        self._tokenizer, self._template, self.image_token = tokenizer, template, image_token

    @property
    def key_parts(self) -> tuple[str, ...]:
        """What was rearranged, for the key of an answer: nothing for most models."""
        thoughts = ("no-think",) if self._thinks else ()
        return (*self.layout_parts, *thoughts)

    @property
    def layout_parts(self) -> tuple[str, ...]:
        """The same of prompts that end in an open thought."""
        return () if self.layout == "parts" else (self.layout,)

    def prompt(self, system: str, content: Content, *, think: bool = False, effort: str | None = None) -> str:
        """The chat of a system message and a user's texts and images; with `think` it ends in an open thought.

        effort: how much to think, for a template that asks for it.
        Raises VdistillError for a text that would be taken for an image.
        """
        token = self.image_token
        if token and any(kind == "text" and token in str(part) for kind, part in content):
            raise VdistillError(f"a text holds {token}, which stands for an image", hint="leave it out of the query")
        arranged = _arranged(content, self.layout, self.image_token)
        if not think:
            return _close_thoughts(self._render(system, arranged))
        start, _ = self.thought_marks or ("", "")
        prompt = self._render(system, arranged, think=True, effort=effort)
        return prompt if prompt.rstrip().endswith(start) else f"{prompt}{start}\n"

    @cached_property
    def thought_marks(self) -> tuple[str, str] | None:
        """How this template opens and closes a thought; None where it knows no thoughts."""
        return next((marks for marks in THOUGHTS.items() if any(mark in self._template for mark in marks)), None)

    @cached_property
    def layout(self) -> Layout:
        """How images have to be given so that each follows its letter, or is named by its place.

        Raises VdistillError for a template that takes no images.
        """
        if self._stands_between("parts"):
            return "parts"
        if self.image_token is not None and self._stands_between("inline"):
            return "inline"
        if self._takes_images():
            return "named"
        raise VdistillError(
            "its chat template leaves images out", hint="take another model, or ask a server with --endpoint URL"
        )

    def _stands_between(self, layout: Layout) -> bool:
        """Whether an image between two texts puts something between them in the prompt."""
        texts = ["(1st):", "(2nd):", "(3rd)"]
        with_images, without = (
            self._try(_arranged(_probe(texts, images=images), layout, self.image_token)) for images in (True, False)
        )
        return all(_between(with_images, *pair) not in ("", _between(without, *pair)) for pair in pairwise(texts))

    def _takes_images(self) -> bool:
        with_images, without = (self._try(_probe(["(1st):", "(2nd)"], images=images)) for images in (True, False))
        return len(with_images) > len(without) if self.image_token is None else self.image_token in with_images

    def _try(self, content: Content) -> str:
        """The prompt, or "" where the template does not accept lists of parts."""
        try:
            text = self._render("", content)
        except (TypeError, jinja2.TemplateError):
            return ""
        return "" if "{'type':" in text else text

    @cached_property
    def _thinks(self) -> bool:
        """Whether the template as it is lets the model think first."""
        question: Content = [("text", "?")]
        return self._render("", question, think=None) != _close_thoughts(self._render("", question))

    def _render(self, system: str, content: Content, *, think: bool | None = False, effort: str | None = None) -> str:
        """The template's own prompt; where it knows no system role, the system message goes into the user's.

        think: None leaves it to the template.
        """
        parts = [{"type": "text", "text": part} if kind == "text" else {"type": "image"} for kind, part in content]
        told = [{"type": "text", "text": system}]
        try:
            chat = [{"role": "system", "content": told}, {"role": "user", "content": parts}]
            return self._apply(chat, think, effort)
        except jinja2.TemplateError:
            return self._apply([{"role": "user", "content": [*told, *parts]}], think, effort)

    def _apply(self, chat: Sequence[Any], think: bool | None, effort: str | None) -> str:
        # By the tokenizer: SmolVLM's processor needs its video part even for a prompt without any video.
        known = () if think is None else SWITCHES
        switches: dict[str, Any] = {name: think for name in known if name in self._template}
        if effort is not None and "reasoning_effort" in self._template:
            switches["reasoning_effort"] = effort
        return str(
            self._tokenizer.apply_chat_template(
                chat, chat_template=self._template, add_generation_prompt=True, tokenize=False, **switches
            )
        )


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0].strip() if end in text else ""


def _close_thoughts(prompt: str) -> str:
    """The prompt with a thought that it leaves open closed, in the form of Qwen's templates."""
    for start, end in THOUGHTS.items():
        if prompt.rstrip().endswith(start):
            return f"{prompt}\n{end}\n\n" if prompt.endswith("\n") else prompt + end
    return prompt


def _arranged(content: Content, layout: Layout, token: str | None) -> Content:
    if layout == "parts":
        return content
    if layout == "inline":
        texts = (part if kind == "text" else f"{token}\n" for kind, part in content)
        return [("text", "".join(str(text) for text in texts))]
    return _named(content)


def _named(content: Content) -> Content:
    """All images, then one text that gives their letters by their places: "the first is A"."""
    images: list[Part[None]] = [("image", None) for kind, _ in content if kind == "image"]
    known = letters(len(images))
    texts = [str(part) for kind, part in content if kind == "text"]
    rest = [text for text in texts if text not in {f"{letter}:" for letter in known}]
    places = [f"the {place} is {letter}" for place, letter in zip(ORDINALS, known, strict=False)]
    names = [f"Of the images above, {', '.join(places)}."] if len(rest) < len(texts) else []
    return [*images, ("text", "\n".join([*names, *rest]))]


def _probe(texts: Sequence[str], *, images: bool) -> Content:
    """The texts, each with an image after it or without."""
    both: Content = [part for text in texts for part in (("text", text), ("image", None))]
    return both if images else [part for part in both if part[0] == "text"]
