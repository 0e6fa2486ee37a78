"""The OpenAI-compatible chat API as a teacher: hosted models, vLLM, SGLang, Ollama."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vdistill.errors import ImageError, TeacherError
from vdistill.label.prompts import Part, letters
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers.agreement import Agreement
from vdistill.label.teachers.chat_answers import Reading, read_answer, read_text, used_tokens
from vdistill.label.teachers.chat_endpoint import read_endpoint
from vdistill.label.teachers.chat_http import ChatClient, Patience
from vdistill.label.teachers.image_cache import ImageCache
from vdistill.label.teachers.notices import Notices
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE = 768
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 150, 800  # a guess, for prices
LONGER = 2  # by how much the cap on tokens is raised, once, where answers are cut by it
FRUITLESS = 3  # questions that brought thoughts alone, with no answer to any, end the run
_CUT = "output limit was reached"  # OpenAI's words, with a 400, for a thinking model that came to its cap


class OpenAITeacher:
    """Asks one question a request; log-probabilities of the letters where the server gives them."""

    batch_size = 1
    looks = True

    def __init__(
        self, model: str, options: TeacherOptions, *, say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        """Nothing is sent yet.

        Raises TeacherError without a model's name, and for an endpoint that is not a valid URL, a proxy or certificates
        that cannot be used, and prices that are not numbers.
        """
        if not model.strip():
            raise TeacherError("no model is named", hint="for example --teacher openai:gpt-4o-mini")
        self.name = f"openai:{model}"
        self.concurrency = options.concurrency
        self._model, self._prices = model, options.price_of(model, f"openai:{model}")
        self._say_once = Notices(say).once
        self._wording, self._thinking = options.wording, options.thinking
        bounds = f"{MOST_SIDE}px" if options.max_pixels is None else f"{MOST_SIDE}px/{options.max_pixels}px"
        self._asked_as = f"{options.wording.version}/{bounds}{options.thinking.version}"
        self._images = ImageCache(MOST_SIDE, options.max_pixels)
        endpoint = read_endpoint(options.endpoint, options.key_name)
        self._strict = endpoint.strict
        self._agreement = Agreement(f"server/{endpoint.place}/{model}", options.memory, say)
        self._client = ChatClient(
            endpoint,
            self._agreement,
            concurrency=options.concurrency,
            patience=patience or Patience(),
            calls_per_minute=options.calls_per_minute,
        )
        self.hard_answers: bool | None = None  # whether it answers without probabilities; None before that is known
        self._answered, self._fruitless = (
            False,
            0,
        )  # whether any answer could be read; how often there were thoughts alone
        self._longer = False  # whether the cap on tokens was raised

    @property
    def prompt(self) -> str:
        """Wording, bounds of the images, thinking, and the sampling fields that the server does not take."""
        left_out = ",".join(sorted(self._agreement.sampling))
        return f"{self._asked_as}/without {left_out}" if left_out else self._asked_as

    @property
    def settled(self) -> bool:
        """Whether `prompt` stays as it is: only with the first answer it is known what the server takes."""
        return self._agreement.settled

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table, None without one; tokens are estimated, thoughts at most."""
        tokens, written = TOKENS_OF_TEXT + TOKENS_PER_IMAGE * len(question.images), 1 + self._thinking.tokens
        usd = self._cost(tokens, written) if self._prices else None
        return Price(tokens=tokens + written - 1, usd=usd, seconds=1.0)

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers whom these pictures suit."""
        uris = self._uris(images)
        if isinstance(uris, Failure):
            return uris
        body = self._body(_parts(self._wording.request(uris, count)), 40 * count)
        document = self._client.complete(body | {"temperature": 1})
        if isinstance(document, Failure):
            return document
        text = read_text(document)
        read, written = used_tokens(document)
        if isinstance(text, Failure):
            return Failure(text.reason, read + written, self._cost(read, written))
        return Written(tuple(text.splitlines()), read + written, self._cost(read, written))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, question: Question) -> Answer | Failure:
        uris = self._uris(question.images)
        if isinstance(uris, Failure):
            return uris
        reading, read, written = self._read(question, uris)
        answer = reading.answer
        if isinstance(answer, Failure):
            hint = " (one that thinks first may need --think low)" if reading.mass and not self._thinking.tokens else ""
            return Failure(answer.reason + hint, read + written, self._cost(read, written))
        self._answered = True
        if question.ask == "best":
            self._note_hard(reading)
            if self.hard_answers and reading.mass is None:
                self._say_once("bare", f"{self.name} gives no log-probabilities: its bare answers are used, which say "
                               "less a call; --ask rank says more")  # fmt: skip
            elif reading.mass and (doubt := reading.mass.doubt(self.name)):
                self._say_once("mass", doubt)
        return Answer(answer.probabilities, answer.order, read + written, self._cost(read, written))

    def _read(self, question: Question, uris: Sequence[str]) -> tuple[Reading, int, int]:
        """What the model answers, and the tokens read and written for it.

        Thoughts instead of an answer are asked against in every way that the server knows. An answer that is cut is
        asked for again with a longer cap. Both are done for all others from then on.
        """
        longer, read, written = self._longer, 0, 0
        while True:
            body = self._question_body(question, uris, LONGER if longer else 1)
            effort = self._agreement.applied(body).get("reasoning_effort", "")
            reading, *used = self._once(question, body)
            read, written = read + used[0], written + used[1]
            if reading.thinking and not self._thinking.tokens and self._agreement.quieter(effort):
                continue
            if not reading.cut or longer:
                break
            self._longer = longer = True
        if reading.thinking:
            return Reading(self._only_thinks(reading)), read, written
        return reading, read, written

    def _once(self, question: Question, body: Mapping[str, Any]) -> tuple[Reading, int, int]:
        document = self._client.complete(body)
        if isinstance(document, Failure):
            thought = _CUT in document.reason
            return Reading(document, cut=thought, thinking=thought), 0, 0
        self._agreement.accepted(settles=True)
        return read_answer(document, question), *used_tokens(document)

    def _only_thinks(self, reading: Reading) -> Failure:
        """A failure; where no question brought an answer, an end of the run, as each call would cost as much."""
        remedy = "give --think low, or --think N for N tokens of thoughts"
        if self._thinking.tokens:
            remedy = f"give more than {self._thinking.tokens} tokens with --think N, or a model that thinks less"
        assert isinstance(reading.answer, Failure)
        self._fruitless += 1
        if not self._answered and self._fruitless >= FRUITLESS:
            raise TeacherError(f"{self.name} spends its tokens on thoughts and gives no answer", hint=remedy)
        return Failure(f"{reading.answer.reason}: {remedy}")

    def _note_hard(self, reading: Reading) -> None:
        """Probabilities that came once are to be had: one answer without readable ones takes nothing back."""
        if reading.mass is not None:
            self.hard_answers = False
        elif self.hard_answers is None and not reading.unreadable:
            self.hard_answers = True

    def _uris(self, images: Sequence[ShownImage]) -> list[str] | Failure:
        found = []
        for image in images:
            try:
                found.append(self._images.data_uri(image))
            except ImageError as error:
                return Failure(f"{image.item_id} cannot be read: {error.message}")
        return found

    def _cost(self, read: int, written: int) -> float:
        of_read, of_written = self._prices or (0.0, 0.0)
        return (read * of_read + written * of_written) / 1e6

    def _question_body(self, question: Question, uris: Sequence[str], times: int) -> dict[str, Any]:
        known = letters(len(question.images))
        # More than one token, so that "I'm sorry" is not read as the letter I.
        cap = 4 * len(known) if question.ask == "rank" else 4
        body = self._body(_parts(self._wording.content(question.query, uris, question.ask)), cap, times)
        body |= {"temperature": 0, "top_p": 1}
        if question.ask == "rank":
            return body
        body |= {"logprobs": True, "top_logprobs": 20}
        if not self._strict:
            # A model's shipped top_k of 1 would hide all letters but one. Who does not know these fields ignores them.
            body["top_k"] = -1
            if not self._thinking.tokens:  # thoughts are no letters
                body["structured_outputs"] = {"choice": list(known)}
        return body

    def _body(self, parts: Sequence[Any], cap: int, times: int = 1) -> dict[str, Any]:
        """What all requests have; `times` the cap on tokens, thoughts included."""
        thinking = self._thinking.fields()
        if self._strict:
            thinking.pop("chat_template_kwargs")
        messages = [{"role": "system", "content": self._wording.system}, {"role": "user", "content": parts}]
        return {
            "model": self._model,
            "messages": messages,
            "max_tokens": times * (cap + self._thinking.tokens),
            **thinking,
        }


def _parts(content: Sequence[Part[str]]) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part} if kind == "text" else {"type": "image_url", "image_url": {"url": part}}
        for kind, part in content
    ]
