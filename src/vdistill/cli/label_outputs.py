"""What `vdistill label` shows: a run, a plan or an audit, of one teacher or of several."""

from typing import Any

from vdistill.cli import console
from vdistill.cli.audit_table import audit_table
from vdistill.cli.jury_tables import comparison_table, jury_table


def show_audit(found: dict[str, Any], *, as_json: bool) -> None:
    """An audit, or several side by side."""
    shown = comparison_table if "teachers" in found else audit_table
    console.document(found) if as_json else console.result(shown(found))


def show_report(found: dict[str, Any], *, planned: bool, batched: bool, as_json: bool) -> None:
    """What was done, or would be; without what there is nothing of, except as JSON."""
    if not as_json:
        if teachers := found.pop("teachers", None):
            console.result(jury_table(teachers))
        without = ("" if batched else "batch", "" if found["paraphrase_calls"] else "paraphrase")
        absent = tuple(name for name in without if name)
        found = {name: value for name, value in found.items() if not name.startswith(absent)}
        found["skipped"] = len(found["skipped"])
    console.facts("planned, nothing was asked" if planned else "labelled", found, as_json=as_json)
