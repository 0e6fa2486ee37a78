"""The OpenAI-compatible chat API as a teacher: hosted models, vLLM, SGLang, Ollama."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vdistill.errors import TeacherError
from vdistill.label.habits import Habits
from vdistill.label.prompts import CHARACTERS, Part, longest_rewording, options_of, usual_rewording
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers.chat_answers import Reading, only_thinks, read_answer, read_text
from vdistill.label.teachers.chat_bills import Bill, Tariff
from vdistill.label.teachers.chat_endpoint import read_endpoint
from vdistill.label.teachers.chat_http import Patience
from vdistill.label.teachers.chat_terms import QUIET, Agreement, Terms
from vdistill.label.teachers.endpoints import open_client
from vdistill.label.teachers.model_images import ImageCache, load_each
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE = 768
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 150, 800  # an estimate, for prices
OFFLINE = "http://localhost:8000"  # files for no server are written as vLLM reads them
LONGER = 2  # by how much the cap on tokens is raised, once, where answers are cut by it
FRUITLESS = 3  # questions that brought nothing but thoughts, with no answer to any, end the run
_CUT = "output limit was reached"  # OpenAI's words, with a 400, for a thinking model that came to its cap


class OpenAITeacher:
    """Asks one question per request, for log-probabilities of the letters where the server gives them."""

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
        self.concurrency = options.concurrency * len(options.servers)
        self.hard_answers: bool | None = None  # whether it answers without probabilities; None before that is known
        self._model = model
        self._wording, self._thinking, self._batched = options.wording, options.thinking, options.batch
        self.thoughts = options.thinking.tokens
        self._habits: Habits | None = None
        bounds = f"{MOST_SIDE}px" if options.max_pixels is None else f"{MOST_SIDE}px/{options.max_pixels}px"
        self.none = options.wording.none_version
        self._asked_as = f"{options.wording.version}/{bounds}{options.thinking.version}"
        self._images = ImageCache(MOST_SIDE, options.max_pixels)
        servers = (OFFLINE,) if options.offline else options.servers
        endpoints = [read_endpoint(one, options.key_name) for one in servers]
        endpoint = endpoints[0]
        self._tariff = Tariff.of(options, endpoint, model, f"openai:{model}")
        self.factor = self._tariff.factor
        self._strict = any(one.strict for one in endpoints)
        self._agreement = Agreement(f"server/{endpoint.place}/{model}", options.memory, say)
        self._client = open_client(endpoints, model, self._agreement, options, patience or Patience(), say)
        self._answered = False  # whether any answer could be read
        self._fruitless = 0  # questions that brought nothing but thoughts
        self._longer = False  # whether the cap on tokens was raised
        self._say, self._said, self._lock = say, set[str](), threading.Lock()

    @property
    def prompt(self) -> str:
        """Wording, bounds of the images, thinking, and the sampling fields that the server does not accept."""
        left_out = ",".join(sorted(self._agreement.sampling))
        return f"{self._asked_as}/without {left_out}" if left_out else self._asked_as

    @property
    def settled(self) -> bool:
        """Whether `prompt` stays as it is: what the server accepts is known only with the first answer."""
        return self._agreement.settled

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table, None without one.

        Tokens are those of the answers so far, else estimates with all thoughts that are allowed.
        """
        count = len(question.images)
        prompt, thoughts = TOKENS_OF_TEXT + TOKENS_PER_IMAGE * count, self._thinking.tokens
        if self._habits is not None:
            prompt, thoughts = round(self._habits.besides(count)) - 1, round(self._habits.thought_tokens)
        usd = self._tariff.usd(prompt, 1 + thoughts, batched=self._batched)
        return Price(tokens=prompt + thoughts, usd=usd, seconds=1.0)

    def learn(self, habits: Habits | None) -> None:
        """Price calls by what they took so far."""
        self._habits = habits

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers who would like these images."""
        uris = load_each(images, self._images.data_uri)
        if isinstance(uris, Failure):
            return uris
        return self._write(self._body(self._wording.request(uris, count), 40 * count))

    @property
    def rewording(self) -> str:
        """The version of the prompt that asks for other wordings."""
        return f"{self._wording.rewording_version}{self._thinking.version}"

    def reword(self, query: str, count: int) -> Written | Failure:
        """About `count` other wordings of a query."""
        content: list[Part[str]] = [("text", self._wording.other_words(query, count))]
        body = self._body(content, longest_rewording(query, count))
        body["messages"][0]["content"] = self._wording.system_of_rewording
        return self._write(body)

    def price_of_rewording(self, query: str, count: int) -> Price:
        """Tokens by the length of the texts; dollars by the price table."""
        prompt = len(self._wording.system_of_rewording + self._wording.other_words(query, count)) // CHARACTERS
        completion = usual_rewording(query, count) + self._thinking.tokens
        return Price(tokens=prompt + completion, usd=self._tariff.usd(prompt, completion), seconds=1.0)

    def request(self, question: Question) -> Mapping[str, Any] | Failure:
        """What a question is asked with, in a batch."""
        uris = load_each(question.images, self._images.data_uri)
        if isinstance(uris, Failure):
            return uris
        return self._agreement.terms.applied(self._question_body(question, uris, LONGER if self._longer else 1))

    def read(self, question: Question, document: Any) -> Answer | Failure:
        """The answer in a completion that came in a batch, at its price."""
        reading = read_answer(document, question, thought=bool(self.thoughts))
        self._longer = self._longer or reading.cut
        return self._answer(question, reading, self._tariff.bill(document, batched=True))

    def refused(self, question: Question, words: str) -> bool:
        """Learn from an error in a batch what the server does not accept; whether it refuses a field at all."""
        body = self._question_body(question, [""] * len(question.images), 1)
        self._agreement.refused(words, body, self._agreement.terms.applied(body))
        self._agreement.accepted()
        plain = Terms()  # of a batch all questions fail for what the first one has taught already
        return plain.learnt(words, plain.applied(body)) != plain

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _write(self, body: Mapping[str, Any]) -> Written | Failure:
        """What the model writes. Where thoughts come instead, every way that the server knows to ask for none is tried.

        The tokens and dollars are those of all requests.
        """
        tokens, usd = 0, 0.0
        while True:
            asked = {**body, "temperature": 1}
            effort = self._agreement.terms.applied(asked).get("reasoning_effort", "")
            document = self._client.complete(asked)
            if isinstance(document, Failure):
                return Failure(document.reason, tokens, usd)
            bill = self._tariff.bill(document)
            tokens, usd, text = tokens + bill.tokens, usd + bill.usd, read_text(document)
            if isinstance(text, str):
                return Written(tuple(text.splitlines()), tokens, usd)
            if self._thinking.tokens or not only_thinks(document) or not self._agreement.quieter(effort):
                return Failure(text.reason, tokens, usd)

    def _ask(self, question: Question) -> Answer | Failure:
        uris = load_each(question.images, self._images.data_uri)
        if isinstance(uris, Failure):
            return uris
        return self._answer(question, *self._read(question, uris))

    def _answer(self, question: Question, reading: Reading, bill: Bill) -> Answer | Failure:
        answer = reading.answer
        if isinstance(answer, Failure):
            hint = " (one that thinks first may need --think low)" if reading.mass and not self._thinking.tokens else ""
            return Failure(answer.reason + hint, bill.tokens, bill.usd)
        self._answered = True
        if question.ask == "best":
            self._note_hard(reading)
        coverage = None if reading.mass is None else reading.mass.total
        return replace(answer, tokens=bill.tokens, cost_usd=bill.usd, coverage=coverage, thought_tokens=bill.thoughts)

    def _read(self, question: Question, uris: Sequence[str]) -> tuple[Reading, Bill]:
        """What the model answers, and the bill of all requests for it.

        If thoughts come instead of an answer, every way that the server knows to ask for none is tried. An answer that
        is cut is asked for again with a longer cap. Both hold for all questions from then on.
        """
        longer, bill = self._longer, Bill()
        while True:
            body = self._question_body(question, uris, LONGER if longer else 1)
            effort = self._agreement.terms.applied(body).get("reasoning_effort", "")
            reading, further = self._request(question, body)
            bill += further
            if reading.thinking and not self._thinking.tokens and self._agreement.quieter(effort):
                continue
            if not reading.cut or longer:
                break
            self._longer = longer = True
        return (Reading(self._only_thinks(reading)) if reading.thinking else reading), bill

    def _request(self, question: Question, body: Mapping[str, Any]) -> tuple[Reading, Bill]:
        document = self._client.complete(body)
        if isinstance(document, Failure):
            thought = _CUT in document.reason
            return Reading(document, cut=thought, thinking=thought), Bill()
        self._agreement.accepted(settles=True)
        return read_answer(document, question, thought=bool(self._thinking.tokens)), self._tariff.bill(document)

    def _only_thinks(self, reading: Reading) -> Failure:
        """A failure; where no question brought an answer, the end of the run, as each call would cost as much."""
        remedy = "give --think low, or --think N for N tokens of thoughts"
        if self._thinking.tokens:
            remedy = f"give more than {self._thinking.tokens} tokens with --think N, or a model that thinks less"
        assert isinstance(reading.answer, Failure)
        self._fruitless += 1
        if not self._answered and self._fruitless >= FRUITLESS:
            raise TeacherError(f"{self.name} spends its tokens on thoughts and gives no answer", hint=remedy)
        return Failure(f"{reading.answer.reason}: {remedy}")

    def _note_hard(self, reading: Reading) -> None:
        """Note whether probabilities are to be had: once they came, an answer without them changes nothing."""
        if reading.mass is not None:
            self.hard_answers = False
            if doubt := reading.mass.doubt(self.name):
                self._say_once("doubt", doubt)
        elif self.hard_answers is None and not reading.unreadable:
            self.hard_answers = True
        if self.hard_answers:
            text = (
                "gives no log-probabilities: its hard answers are used, which say less per call; --ask rank says more"
            )
            self._say_once("hard", f"{self.name} {text}")

    def _say_once(self, kind: str, text: str) -> None:
        """Tell the user, if nothing of this kind was told before: many calls, from several threads, would."""
        with self._lock:
            new = kind not in self._said
            self._said.add(kind)
        if new:
            self._say(text)

    def _question_body(self, question: Question, uris: Sequence[str], times: int) -> dict[str, Any]:
        known = options_of(len(question.images), question.none)
        # More than one token, so that "I'm sorry" is not read as the letter I.
        cap = 4 * len(known) if question.ask == "rank" else 4
        body = self._body(self._wording.content(question.query, uris, question.ask, question.none), cap, times)
        body |= {"temperature": 0, "top_p": 1}
        if question.ask == "rank":
            return body
        body |= {"logprobs": True, "top_logprobs": 20}
        if not self._strict:
            # A model's shipped top_k of 1 would hide all letters but one. Servers without these fields ignore them.
            body["top_k"] = -1
            if not self._thinking.tokens:  # thoughts are no letters
                body["structured_outputs"] = {"choice": list(known)}
        return body

    def _body(self, content: Sequence[Part[str]], cap: int, times: int = 1) -> dict[str, Any]:
        """What all requests have; `times` the cap on tokens, thoughts included."""
        parts = [
            {"type": "text", "text": part} if kind == "text" else {"type": "image_url", "image_url": {"url": part}}
            for kind, part in content
        ]
        messages = [{"role": "system", "content": self._wording.system}, {"role": "user", "content": parts}]
        tokens = self._thinking.tokens
        body = {"model": self._model, "messages": messages, "max_tokens": times * (cap + tokens)}
        if not self._strict:  # for servers that fill in a model's chat template
            body["chat_template_kwargs"] = {"enable_thinking": tokens > 0}
        if not self._strict and tokens:
            body["thinking_token_budget"] = tokens  # where vLLM closes the thought
        # Without thinking the effort is sent only to a server whose model thinks unasked (see Terms).
        effort = self._thinking.effort if tokens else QUIET[0]
        return body | ({"reasoning_effort": effort} if effort else {})
