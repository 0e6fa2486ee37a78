"""The outcome for CI: JUnit XML, and Markdown for a job's summary page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from vdistill.bench.report.table import judged, rerank_facts
from vdistill.bench.results import BenchReport
from vdistill.evaluation.metrics import Interval
from vdistill.workspace import write_file, writing


def write_junit(report: BenchReport, path: Path) -> None:
    """A test suite with one case per gate. Raises VdistillError where `path` cannot be written."""
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite("vdistill bench")
    for gate in report.gates:
        kind = f"no worse than {gate.against}" if gate.against else f"at least {gate.threshold:g}"
        case = TestCase(f"{gate.metric} {kind}", classname="vdistill.bench")
        if not gate.passed:
            case.result = [Failure(str(gate))]
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    file = io.BytesIO()
    document.write(file)
    write_file(path, file.getvalue())


def append_summary(report: BenchReport, path: Path) -> None:
    """Add the outcome to a Markdown file, as CI servers collect them. Raises VdistillError where that fails."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(markdown(report))


def markdown(report: BenchReport) -> str:
    """The verdict, the gates and the table."""
    lines = ["## vdistill bench", "", _escaped(report.verdict), ""]
    lines += [f"- {'✅' if gate.passed else '❌'} {_escaped(str(gate))}" for gate in report.gates]
    head = ["metric", *report.present, *(["gain", "p"] if report.p_values else [])]
    lines += ["", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for name in report.metrics:
        cells = [
            _cell(found.get(name), report.ci95.get(model, {}).get(name)) for model, found in report.present.items()
        ]
        if report.p_values:
            gain = report.gain(name)
            cells += ["", ""] if gain is None else [_cell(gain.value, gain.ci95, "+.3f"), _p(gain.p)]
        lines.append(_row([name, *cells]))
    if facts := rerank_facts(report):
        lines += ["", _escaped("The teacher beside it: " + "; ".join(f"{name} {text}" for name, text in facts.items()))]
    return "\n".join([*lines, "", f"{_escaped(judged(report))}; 95 % bootstrap intervals.", ""])


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cell(value: float | None, interval: Interval | None, form: str = ".3f") -> str:
    if value is None:
        return ""
    return format(value, form) + ("" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Text that neither holds markup nor ends a table's cell."""
    return " ".join(re.sub(r"[\\|`[]", r"\\\g<0>", text).replace("<", "&lt;").split())
