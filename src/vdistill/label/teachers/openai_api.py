"""The OpenAI-compatible chat API as a teacher: hosted models, vLLM, SGLang, Ollama."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from vdistill.errors import ImageError, TeacherError
from vdistill.label.prompts import PROMPT_VERSION, SYSTEM, content, letters
from vdistill.label.teacher import Price
from vdistill.label.teachers.chat_answers import read_answer, used_tokens
from vdistill.label.teachers.chat_http import ChatClient, Patience
from vdistill.label.teachers.pictures import shown
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE = 768
PRICES = "VDISTILL_USD_PER_MILLION"
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 150, 800  # a guess, for prices


class OpenAITeacher:
    """Asks one question a request; log-probabilities of the letters where the server gives them."""

    batch_size = 1
    looks = True
    prompt = f"{PROMPT_VERSION}/{MOST_SIDE}px"

    def __init__(
        self,
        model: str,
        *,
        endpoint: str | None,
        concurrency: int,
        say: Callable[[str], None],
        patience: Patience | None = None,
        usd_per_million: tuple[float, float] | None = None,
    ) -> None:
        """Nothing is sent yet. `usd_per_million`: prices of tokens read and written, by default from the environment.

        Raises TeacherError for no model's name, an endpoint that is no URL, and prices that are no numbers.
        """
        if not model.strip():
            raise TeacherError("no model is named", hint="for example --teacher openai:gpt-4o-mini")
        self.name = f"openai:{model}"
        self.concurrency = concurrency
        self._model, self._say, self._prices = model, say, usd_per_million or _prices()
        self._client = ChatClient(endpoint, concurrency=concurrency, patience=patience or Patience())
        self._hard_said = False

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table; tokens are estimated."""
        tokens = TOKENS_OF_TEXT + TOKENS_PER_IMAGE * len(question.images)
        return Price(tokens=tokens, usd=self._cost(tokens, 1), seconds=1.0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, question: Question) -> Answer | Failure:
        uris = []
        for image in question.images:
            try:
                uris.append(_data_uri(image))
            except ImageError as error:
                return Failure(f"{image.item_id} cannot be read: {error.message}")
        body = self._body(question, uris)
        document = self._client.complete(body)
        if isinstance(document, Failure):
            return document
        answer, soft = read_answer(document, question)
        if isinstance(answer, Failure):
            return answer
        if question.ask == "best" and not soft:
            self._say_hard()
        read, written = used_tokens(document)
        return Answer(answer.probabilities, answer.order, read + written, self._cost(read, written))

    def _say_hard(self) -> None:
        if not self._hard_said:
            self._hard_said = True
            self._say(f"{self.name} gives no log-probabilities: its bare answers are used, which say less a call")

    def _cost(self, read: int, written: int) -> float:
        return (read * self._prices[0] + written * self._prices[1]) / 1e6

    def _body(self, question: Question, uris: Sequence[str]) -> dict[str, Any]:
        parts = [
            {"type": "text", "text": part} if kind == "text" else {"type": "image_url", "image_url": {"url": part}}
            for kind, part in content(question.query, uris, question.ask)
        ]
        known = letters(len(question.images))
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}],
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


def _prices() -> tuple[float, float]:
    """Dollars for a million tokens read and written; nothing where nobody says."""
    said = os.environ.get(PRICES, "").strip()
    try:
        read, written = (float(price) for price in (said or "0,0").split(","))
    except ValueError as error:
        raise TeacherError(f"{PRICES} is {said!r}", hint=f"two prices, for example {PRICES}=0.15,0.60") from error
    return read, written


@lru_cache(maxsize=256)
def _data_uri(image: ShownImage) -> str:
    """The picture as an inline JPEG; pools are shared by queries, so the same ones come again and again."""
    data = io.BytesIO()
    shown(image.path, most_side=MOST_SIDE).save(data, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
