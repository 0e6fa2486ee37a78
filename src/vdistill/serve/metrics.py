"""What the server counts, in Prometheus's text format. No query, no id and no address is in it."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from vdistill.query.second_stage import SecondStage
from vdistill.serve.limits import Admission, Pools
from vdistill.serve.reload import Indexes

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one server."""

    def __init__(
        self, indexes: Indexes, pools: Pools, admission: Admission, second: SecondStage | None = None
    ) -> None:  # fmt: skip
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("vdistill_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "vdistill_request_seconds", "Seconds to an answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        _gauge(registry, "vdistill_requests_in_flight", "Requests being answered.", lambda: admission.requests)
        _gauge(registry, "vdistill_index_loads", "Indexes opened since the start.", lambda: indexes.loads)
        _gauge(registry, "vdistill_index_items", "Items of the index that answers.", lambda: _items(indexes))
        if second is not None:
            _gauge(registry, "vdistill_teacher_calls", "Teacher calls of searches.", lambda: second.spent[0])
            _gauge(registry, "vdistill_teacher_usd", "US dollars that they cost.", lambda: second.spent[1])
        work = Gauge("vdistill_work", "Work being done or waiting.", ["pool"], registry=registry)
        for pool in pools.all:
            work.labels(pool.name).set_function(partial(getattr, pool, "held"))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer.  route: its pattern, not its path."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


def _gauge(registry: CollectorRegistry, name: str, told: str, value: object) -> None:
    Gauge(name, told, registry=registry).set_function(value)  # type: ignore[arg-type]


def _items(indexes: Indexes) -> int:
    found = indexes.current()
    return len(found.named(None)) if found else 0
