"""Conditions as filters of Qdrant, over the payload that `vdistill.databases.qdrant` writes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from vdistill.databases.conditions import Compare, Condition, Every, Field, Has, Missing, OneOf, Some, Value, negated

_RANGES = {"<": ("lt",), "<=": ("lte",), ">": ("gt",), ">=": ("gte",), "=": ("gte", "lte")}


def filter_of(condition: Condition) -> Any:
    """The filter (`models.Filter`) that passes the items for which the condition is true."""
    from qdrant_client import models

    if isinstance(condition, Every):
        return models.Filter(must=[filter_of(part) for part in condition.parts])
    if isinstance(condition, Some) and condition.parts:
        return models.Filter(should=[filter_of(part) for part in condition.parts])
    if isinstance(condition, Compare):
        return _compared(condition)
    if isinstance(condition, OneOf):
        return _one_of(condition)
    if isinstance(condition, Missing):
        return _missing(condition.field, negated=condition.negated)
    return _has(condition) if isinstance(condition, Has) else _never()


def _never() -> Any:
    from qdrant_client import models

    return models.Filter(must=[models.HasIdCondition(has_id=[])])


def _key(field: Field) -> str:
    return "id" if field.key is None else f"values.{field.key}"


def _compared(condition: Compare) -> Any:
    from qdrant_client import models

    if condition.sign == "!=":
        return _but_not(condition.field, _compared(Compare(condition.field, "=", condition.value)))
    return models.Filter(must=[_leaf(_key(condition.field), condition)])


def _leaf(key: str, condition: Compare) -> Any:
    from qdrant_client import models

    kind, value = condition.field.kind, condition.value
    bounds = _RANGES[condition.sign]
    if kind in ("date", "time"):
        moment = datetime.fromisoformat(str(value)).replace(tzinfo=timezone.utc)
        return models.FieldCondition(key=key, range=models.DatetimeRange(**dict.fromkeys(bounds, moment)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return models.FieldCondition(key=key, range=models.Range(**dict.fromkeys(bounds, float(value))))
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _one_of(condition: OneOf) -> Any:
    from qdrant_client import models

    field = condition.field
    if not condition.values:
        return _missing(field, negated=True) if condition.negated else _never()
    if field.kind == "text":
        match = models.MatchAny(any=[str(value) for value in condition.values])
        found = models.Filter(must=[models.FieldCondition(key=_key(field), match=match)])
        return _but_not(field, found) if condition.negated else found
    any_of = Some(tuple(Compare(field, "=", value) for value in condition.values))
    return filter_of(negated(any_of) if condition.negated else any_of)


def _has(condition: Has) -> Any:
    from qdrant_client import models

    field = condition.field
    entry = models.FieldCondition(key=f"lists.{field.key}", match=models.MatchValue(value=condition.value))
    alone: list[Value] = [condition.value]
    if field.kind == "mixed" and condition.value.lstrip("-").isdigit():
        alone.append(int(condition.value))
    single = [_leaf(_key(field), Compare(field, "=", value)) for value in alone]
    found = models.Filter(should=[entry, *single])
    return _but_not(field, found) if condition.negated else found


def _missing(field: Field, *, negated: bool) -> Any:
    from qdrant_client import models

    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=_key(field)))
    return models.Filter(must_not=[empty]) if negated else models.Filter(must=[empty])


def _but_not(field: Field, excluded: Any) -> Any:
    """What has a value, and is not excluded."""
    from qdrant_client import models

    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=_key(field)))
    return models.Filter(must_not=[excluded, empty])
