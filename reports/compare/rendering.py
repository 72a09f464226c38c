"""A comparison as text for a terminal, Markdown for a job summary, JUnit XML and plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from reports import escape
from reports.compare.findings import NOT_COMPARABLE, NOTE, PASSED, REGRESSION, Comparison

GATES = ("cells", "exact", "quality", "speed")
SHOWN = 40
"""Sentences of one verdict that text and Markdown show."""
NO_EVIDENCE = "No evidence of a regression is no proof that there is none."
_HEADINGS = {REGRESSION: "Regressions", NOT_COMPARABLE: "Not comparable", NOTE: "Notes"}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not allow in a document."""


def text(found: Comparison) -> str:
    """A line a finding that is worth one, then the verdict."""
    lines = [f"{found.base} against {found.head}: {_counted(found)}"]
    for verdict in _HEADINGS:
        sentences = [
            f"{verdict} ({finding.gate}) {escape.printable(finding.sentence)}" for finding in found.of(verdict)
        ]
        lines += [*sentences[:SHOWN], *_more(sentences)]
    return "\n".join([*lines, _verdict(found)]) + "\n"


def markdown(found: Comparison) -> str:
    """The verdict, a count by gate and the findings under headings."""
    parts = [f"## bench compare: {_verdict(found)}", f"`{found.base}` against `{found.head}`", _table(found)]
    for verdict, heading in _HEADINGS.items():
        sentences = [f"- **{finding.gate}**: {escape.markdown(finding.sentence)}" for finding in found.of(verdict)]
        if sentences:
            parts.append(
                "\n".join([f"### {heading}\n", *sentences[:SHOWN], *(f"- {said}" for said in _more(sentences))])
            )
    return "\n\n".join(parts) + "\n"


def junit(found: Comparison) -> str:
    """A test suite a gate, a test case a finding: regressions are failures, what cannot be compared is skipped."""
    root = ElementTree.Element("testsuites", name="bench compare")
    for gate in GATES:
        cases = [finding for finding in found.findings if finding.gate == gate]
        if not cases:
            continue
        counts = Counter(finding.verdict for finding in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=gate, tests=str(len(cases)), failures=str(counts[REGRESSION]), errors="0",
            skipped=str(counts[NOT_COMPARABLE]),
        )  # fmt: skip
        for finding in cases:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"bench.{gate}", name=_printable(finding.subject)
            )
            kind = {REGRESSION: "failure", NOT_COMPARABLE: "skipped"}.get(finding.verdict, "system-out")
            said = _printable(finding.sentence)
            if kind == "system-out":
                ElementTree.SubElement(case, kind).text = said
            else:
                ElementTree.SubElement(case, kind, message=said)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def plain(found: Comparison) -> dict[str, Any]:
    """Everything, as plain data."""
    return {
        "base": found.base,
        "head": found.head,
        "exit_code": found.exit_code,
        "counts": dict(Counter(finding.verdict for finding in found.findings)),
        "findings": [{**asdict(finding), "sentence": finding.sentence} for finding in found.findings],
    }


def _counted(found: Comparison) -> str:
    """``exact 14, quality 28``: what each gate looked at."""
    counts = Counter(finding.gate for finding in found.findings)
    return ", ".join(f"{gate} {counts[gate]}" for gate in GATES if counts[gate])


def _verdict(found: Comparison) -> str:
    regressions, others, notes = (len(found.of(verdict)) for verdict in (REGRESSION, NOT_COMPARABLE, NOTE))
    aside = f", {_several(notes, 'note')}" if notes else ""
    if regressions:
        also = f", {others} not comparable" if others else ""
        return f"{_several(regressions, 'regression')}{also}{aside}."
    if others:
        return f"{others} not comparable, no regression in the rest{aside}."
    return f"no regression found{aside}. {NO_EVIDENCE}"


def _table(found: Comparison) -> str:
    counts = Counter((finding.gate, finding.verdict) for finding in found.findings)
    verdicts = (REGRESSION, NOT_COMPARABLE, NOTE, PASSED)
    lines = [f"| gate | {' | '.join(verdicts)} |", f"|:---|{'---:|' * len(verdicts)}"]
    for gate in GATES:
        row = [counts[gate, verdict] for verdict in verdicts]
        if any(row):
            lines.append(f"| {gate} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _more(sentences: Sequence[str]) -> list[str]:
    left = len(sentences) - SHOWN
    return [f"and {left} more: --json has them all"] if left > 0 else []


def _printable(said: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", said)
