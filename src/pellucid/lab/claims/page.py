"""The findings as a page in Markdown, with a figure for each claim, and as data."""

from __future__ import annotations

import json
from itertools import groupby

from pellucid.lab.claims import charts
from pellucid.lab.claims.judgement import shown
from pellucid.lab.claims.results import Finding, Report
from pellucid.lab.files import write
from pellucid.lab.report import words
from pellucid.lab.runs import Run


def write_page(report: Report, place: Run) -> None:
    """Write ``claims.md``, ``claims/NAME.svg`` and ``claims/result.json``."""
    for finding in report.findings:
        write(place.file("claims", f"{finding.name}.svg"), charts.figure(finding.claimed, finding.panels))
    write(place.file("claims", "result.json"), _data(report))
    write(place.file("claims.md"), render(report))


def render(report: Report) -> str:
    """The page."""
    where = report.machine if report.device == "cpu" else f"{report.machine}, {report.device}"
    sets = {
        False: "`pellucid claims`, the full set, which goes on where it was stopped",
        True: "`pellucid claims --quick`, the quick set: few seeds, short sequences and short training",
    }
    there = [sets[quick] for quick in sorted({f.quick for f in report.findings})]
    lines = [
        "<!-- Written by `pellucid claims`: change it there. -->",
        "# What is said of these networks, measured",
        "",
        f"Measured by {', and by '.join(there)}. Pellucid {report.pellucid}, torch {report.torch}, {where}. All units, with their "
        "settings and figures, are in [claims/result.json](claims/result.json).",
        "",
        "A claim's effects (its parts) and the threshold of each are in the code, set before the figures were looked at; where one was mended afterwards the claim says so. "
        "Intervals are 95 %, Student's t over seeds, and end where the figure does (a share at 100 %); each seed draws data, split and weights anew unless the text says "
        "otherwise. A part is *as claimed* where its whole interval reaches the threshold, *not as claimed* where no point "
        "of it does, and *not settled* in between. A claim *holds* if all its parts are as claimed, *does not hold here* if "
        "none is, and *depends* on what is named where parts disagree. With many parts some intervals miss by chance: one "
        "in twenty is expected to.",
        "",
        "| claim | verdict | main effect | parts as claimed | set |",
        "| --- | --- | --- | --: | --- |",
    ]
    for f in report.findings:
        hold = sum(p.verdict == "holds" for p in f.parts)
        lines.append(
            f"| [{f.claimed}](#{f.name}) | {f.verdict} | {f.parts[0].name} {shown(f.parts[0])} | {hold} of {len(f.parts)} | {_set(f)} |"
        )
    for family, findings in groupby(report.findings, lambda f: f.family):
        lines += ["", f"## {family}"]
        for finding in findings:
            lines += _section(finding, "one core" if report.device == "cpu" else f"the {report.device}")
    return "\n".join(lines) + "\n"


def _data(report: Report) -> str:
    """JSON with a finding or a unit on each line, so that versions can be compared."""
    parts = []
    for name, value in report.model_dump(mode="json").items():
        dumped = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            dumped = "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]"
        parts.append(f"{json.dumps(name)}: {dumped}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _section(f: Finding, on: str) -> list[str]:
    said = {"holds": "as claimed", "fails": "not as claimed", "open": "not settled"}
    return [
        "",
        f"### {f.name}",
        "",
        f"**Claimed:** {f.claimed} ({f.source})",
        "",
        f"**Done:** {f.done}",
        "",
        f"**Came out:** {f.verdict[:1].upper()}{f.verdict[1:]}. {f.came_out}",
        "",
        f"![{f.claimed}](claims/{f.name}.svg)",
        "",
        "| part | effect (95 % interval) | needed | |",
        "| --- | --- | --- | --- |",
        *(f"| {p.name} | {shown(p)} | {p.needed} | {said[p.verdict]} |" for p in f.parts),
        "",
        f"{words.seconds(f.seconds)} on {on}, {_set(f)} set, {f.on}."
        if f.seconds
        else "Nothing is trained: it is counted.",
    ]


def _set(f: Finding) -> str:
    return "quick" if f.quick else "full"
