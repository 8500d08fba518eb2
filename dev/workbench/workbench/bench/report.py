"""A bench as JSON for programs and as Markdown for docs/reports. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from workbench.bench.figures import Figure, Section, Stage, Target, Unit, judge
from workbench.bench.statistics import summarise

DECIMALS = {
    **{Unit.SECONDS: 3, Unit.MILLISECONDS: 2, Unit.MEBIBYTES: 1, Unit.COUNT: 0},
    **{Unit.KIBIBYTES: 1, Unit.PERCENT: 2, Unit.PER_SECOND: 2},
}
COLUMNS = ("", "n", "min", "p50", "p95", "max", "target", "")


def number(value: float, unit: Unit) -> str:
    """A value with as many decimals as its unit deserves; half a write is shown as one."""
    decimals = DECIMALS[unit]
    if unit is Unit.COUNT and value != int(value):
        decimals = 1
    return f"{value:.{decimals}f}"


def target_words(target: Target, unit: Unit) -> str:
    """e.g. `p50 ≤ 0.15`."""
    return f"{target.statistic} ≤ {target.at_most:g}{f' {unit}' if unit else ''}"


def verdict_words(figure: Figure) -> str:
    """`met`, `missed` or nothing."""
    verdict = judge(figure)
    if verdict is None:
        return ""
    return "met" if verdict.met else "missed"


def row(figure: Figure) -> tuple[str, ...]:
    """The figure's cells under COLUMNS."""
    seen = figure.summary
    values = (number(value, figure.unit) for value in (seen.min, seen.p50, seen.p95, seen.max))
    target = target_words(figure.target, figure.unit) if figure.target else ""
    title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
    return (title, str(seen.n), *values, target, verdict_words(figure))


def cells(figures: Sequence[Figure]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a table; where each figure is one value, that value alone."""
    rows = [row(figure) for figure in figures]
    if all(len(figure.values) == 1 and figure.target is None for figure in figures):
        return ("", "value"), [(title, middle) for title, _, _, middle, *_ in rows]
    return COLUMNS, rows


def missed(sections: Sequence[Section]) -> Iterator[str]:
    """A sentence for each missed target, with what bounds the figure."""
    for figure in [figure for section in sections for figure in section.figures]:
        verdict = judge(figure)
        if verdict is None or verdict.met or figure.target is None:
            continue
        unit = f" {figure.unit}" if figure.unit else ""
        text = (
            f"{figure.title}: {figure.target.statistic} is {number(verdict.measured, figure.unit)}"
            f"{unit}, the target is {figure.target.at_most:g}{unit}"
        )
        if verdict.bound_by:
            text += f"; most of it: {', '.join(_stage(s, figure.unit) for s in verdict.bound_by)}"
        yield f"{text}."


def _stage(stage: Stage, unit: Unit) -> str:
    return f"{stage.name} {number(summarise(stage.values).p50, unit)} {unit}".rstrip()


def markdown(
    title: str, machine: str, sections: Sequence[Section], unmeasured: Sequence[str]
) -> str:
    """The tables, ready to be put into a report."""
    lines = [f"# {title}", "", machine[:1].upper() + machine[1:] + ".", ""]
    lines += [f"- Missed: {text}" for text in missed(sections)]
    lines += [f"- Not measured: {text}" for text in unmeasured]
    for section in sections:
        lines += ["", f"## {section.title}"]
        if section.figures:
            columns, rows = cells(section.figures)
            lines += ["", *table_lines(columns, rows)]
        for figure in section.figures:
            if figure.stages:
                rows = [row(Figure("", s.name, figure.unit, s.values))[:6] for s in figure.stages]
                lines += ["", f"Stages of “{figure.title}”:", ""]
                lines += list(table_lines(("stage", *COLUMNS[1:6]), rows))
        for note in section.notes:
            lines += ["", note]
    return "\n".join(lines).rstrip() + "\n"


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' --- |' * (len(columns) - 1)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"


def to_json(
    machine: dict[str, Any], rounds: int, sections: Sequence[Section], unmeasured: Sequence[str]
) -> dict[str, Any]:
    """Everything, every single value among it."""
    return {
        "machine": machine,
        "rounds": rounds,
        "figures": {
            figure.key: _figure_json(figure) for section in sections for figure in section.figures
        },
        "notes": {section.title: list(section.notes) for section in sections if section.notes},
        "missed": list(missed(sections)),
        "unmeasured": list(unmeasured),
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    content: dict[str, Any] = {
        "title": figure.title,
        "unit": figure.unit.value,
        **asdict(figure.summary),
        "values": list(figure.values),
    }
    if figure.stages:
        content["stages"] = [
            {"name": stage.name, "p50": summarise(stage.values).p50, "values": list(stage.values)}
            for stage in figure.stages
        ]
    verdict = judge(figure)
    if figure.target is not None and verdict is not None:
        content["target"] = {
            "statistic": figure.target.statistic.value,
            "atMost": figure.target.at_most,
            "measured": verdict.measured,
            "met": verdict.met,
            "boundBy": [stage.name for stage in verdict.bound_by],
        }
    return content
