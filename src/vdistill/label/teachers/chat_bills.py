"""What completions cost: by the price table, and in a batch by the provider's discount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vdistill.label.teachers.chat_answers import used_tokens
from vdistill.label.teachers.chat_endpoint import Endpoint
from vdistill.label.teachers.options import TeacherOptions

# Providers whose batch API has OpenAI's form and costs half, by the end of their host's name.
HALF = ("api.openai.com", "openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com", "api.groq.com",
        "api.together.xyz", "api.together.ai", "generativelanguage.googleapis.com", "api.novita.ai")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bill:
    """The tokens of completions, what they cost in US dollars, and those of them that were thoughts."""

    tokens: int = 0
    usd: float = 0.0
    thoughts: int = 0

    def __add__(self, other: Bill) -> Bill:
        """The bill of both."""
        return Bill(self.tokens + other.tokens, self.usd + other.usd, self.thoughts + other.thoughts)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one model: US dollars per million tokens read and written, None where they are not known.

    factor: what a batch costs, as a share of that; None where it is not known.
    """

    prices: tuple[float, float] | None
    factor: float | None

    @classmethod
    def of(cls, options: TeacherOptions, endpoint: Endpoint, *names: str) -> Tariff:
        """The tariff of the model that has these names. Raises TeacherError as `TeacherOptions.price_of`."""
        known = options.price_of(*names)
        factor = known[2] if known is not None and len(known) == 3 else None
        if factor is None and any(endpoint.url.host == host or endpoint.url.host.endswith(f".{host}") for host in HALF):
            factor = 0.5
        return cls(None if known is None else (known[0], known[1]), factor)

    def usd(self, prompt: int, completion: int, *, batched: bool = False) -> float | None:
        """What so many tokens cost; None where no price is known."""
        if self.prices is None:
            return None
        factor = self.factor if batched and self.factor is not None else 1.0
        return factor * (prompt * self.prices[0] + completion * self.prices[1]) / 1e6

    def bill(self, document: Any, *, batched: bool = False) -> Bill:
        """The bill of a completion."""
        used = used_tokens(document)
        usd = self.usd(used.prompt, used.completion, batched=batched) or 0.0
        return Bill(used.prompt + used.completion, usd, used.thoughts)
