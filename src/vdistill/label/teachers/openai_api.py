"""The OpenAI-compatible chat API as a teacher: hosted models, vLLM, SGLang, Ollama."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from vdistill.errors import ImageError, TeacherError
from vdistill.label.prompts import Part, letters
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers.chat_answers import read_answer, read_text, used_tokens
from vdistill.label.teachers.chat_http import ChatClient, Patience
from vdistill.label.teachers.notices import Notices
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.pictures import shown
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE = 768
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 150, 800  # a guess, for prices


class OpenAITeacher:
    """Asks one question a request; log-probabilities of the letters where the server gives them."""

    batch_size = 1
    looks = True

    def __init__(
        self, model: str, options: TeacherOptions, *, say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        """Nothing is sent yet.

        Raises TeacherError for no model's name, an endpoint that is no URL, and prices that are no numbers.
        """
        if not model.strip():
            raise TeacherError("no model is named", hint="for example --teacher openai:gpt-4o-mini")
        self.name = f"openai:{model}"
        self.concurrency = options.concurrency
        self._model, self._prices = model, options.price_of(model)
        self._say_once = Notices(say).once
        self._wording, self._most_pixels = options.wording, options.max_pixels
        bounds = f"{MOST_SIDE}px" if options.max_pixels is None else f"{MOST_SIDE}px/{options.max_pixels}px"
        self.prompt = f"{options.wording.version}/{bounds}"
        self._client = ChatClient(
            options.endpoint,
            concurrency=options.concurrency,
            patience=patience or Patience(),
            calls_per_minute=options.calls_per_minute,
        )
        self.bare: bool | None = None  # whether it answers without probabilities; not known before the first answer

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table; tokens are estimated."""
        tokens = TOKENS_OF_TEXT + TOKENS_PER_IMAGE * len(question.images)
        return Price(tokens=tokens, usd=self._cost(tokens, 1), seconds=1.0)

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers whom these pictures suit."""
        uris = self._uris(images)
        if isinstance(uris, Failure):
            return uris
        parts = _parts(self._wording.request(uris, count))
        messages = [{"role": "system", "content": self._wording.system}, {"role": "user", "content": parts}]
        document = self._client.complete(
            {"model": self._model, "messages": messages, "temperature": 1, "max_tokens": 40 * count}
        )
        if isinstance(document, Failure):
            return document
        text = read_text(document)
        if isinstance(text, Failure):
            return text
        read, written = used_tokens(document)
        return Written(tuple(text.splitlines()), read + written, self._cost(read, written))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, question: Question) -> Answer | Failure:
        uris = self._uris(question.images)
        if isinstance(uris, Failure):
            return uris
        body = self._body(question, uris)
        document = self._client.complete(body)
        if isinstance(document, Failure):
            return document
        reading = read_answer(document, question)
        answer = reading.answer
        if isinstance(answer, Failure):
            return answer
        if question.ask == "best":
            self.bare = reading.mass is None
            if reading.mass is None:
                self._say_once("bare", f"{self.name} gives no log-probabilities: its bare answers are used, which say "
                               "less a call; --ask rank says more")  # fmt: skip
            elif doubt := reading.mass.doubt(self.name):
                self._say_once("mass", doubt)
        read, written = used_tokens(document)
        return Answer(answer.probabilities, answer.order, read + written, self._cost(read, written))

    def _uris(self, images: Sequence[ShownImage]) -> list[str] | Failure:
        found = []
        for image in images:
            try:
                found.append(_data_uri(image, self._most_pixels))
            except ImageError as error:
                return Failure(f"{image.item_id} cannot be read: {error.message}")
        return found

    def _cost(self, read: int, written: int) -> float:
        return (read * self._prices[0] + written * self._prices[1]) / 1e6

    def _body(self, question: Question, uris: Sequence[str]) -> dict[str, Any]:
        parts = _parts(self._wording.content(question.query, uris, question.ask))
        known = letters(len(question.images))
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": self._wording.system}, {"role": "user", "content": parts}],
            "temperature": 0,
            "top_p": 1,
        }
        if question.ask == "rank":
            return body | {"max_tokens": 4 * len(known)}
        # More than one token, so that "I'm sorry" is not read as the letter I.
        body |= {"max_tokens": 4, "logprobs": True, "top_logprobs": 20}
        if not self._client.is_public:
            # A model's shipped top_k of 1 would hide all letters but one. Who does not know these fields ignores them.
            body |= {"top_k": -1, "structured_outputs": {"choice": list(known)}}
        return body


def _parts(content: Sequence[Part[str]]) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part} if kind == "text" else {"type": "image_url", "image_url": {"url": part}}
        for kind, part in content
    ]


@lru_cache(maxsize=256)
def _data_uri(image: ShownImage, most_pixels: int | None) -> str:
    """The picture as an inline JPEG; pools are shared by queries, so the same ones come again and again."""
    data = io.BytesIO()
    shown(image.path, most_side=MOST_SIDE, most_pixels=most_pixels).save(data, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
