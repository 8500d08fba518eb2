"""The figures as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workbench.tokens.counting import Spent

PLAIN: Final = "plain loop"
TOOLS: Final = "every tool"
KNOWING: Final = "every tool, skills' texts"
SKILLS: Final = "skills and command"
TOTALS: Final = (
    *("conversation", "agent", TOOLS, KNOWING, SKILLS),
    *(f"beside {TOOLS}", "beside both"),
)
DETAILS: Final = (
    *("conversation", "agent", "carries", "calls", "sent", "answered"),
    *("of it system prompts", "of it tools", "sent, with a prompt cache"),
)
ACROSS: Final = (
    *("conversation", "product", f"{PLAIN}, {TOOLS}", "beside it", f"{PLAIN}, {KNOWING}"),
    *("beside it", "the same with a prompt cache"),
)


@dataclass(frozen=True)
class Measured:
    """One conversation with one agent, by what it carries."""

    title: str
    agent: str
    by_kind: Mapping[str, Spent]


def difference(part: int, whole: int) -> str:
    """By how many per cent `part` is more (+) or less (−) than `whole`."""
    percent = round(100 * (part - whole) / whole)
    return f"{percent:+d} %".replace("-", "−") if percent else "0 %"


def tables(measured: Sequence[Measured], tokenizer: str, tools: int) -> str:
    """All tables. `tools`: how many tools an agent with tools has."""
    one = measured[0].by_kind[TOOLS]
    per_call = one.tools // one.calls
    lines = [
        f"Tokens of {tokenizer}. {tools} tools, whose schemas are {per_call:,} tokens in each request, "
        f"{per_call // tools} a tool. All that was sent and answered:",
        "",
        *_table(TOTALS, [_total(item) for item in measured]),
        "",
        f"Each agent with {SKILLS} beside the {PLAIN}, which has no more than the platform's tools:",
        "",
        *_table(ACROSS, [row for item in measured for row in _across(item, measured)]),
        "",
        "What the first call of the first conversation holds:",
        "",
        *_openings(measured),
        "",
        "In detail:",
        "",
        *_table(DETAILS, [row for item in measured for row in _details(item)]),
    ]
    return "\n".join(lines) + "\n"


def _total(item: Measured) -> Sequence[str]:
    totals = [item.by_kind[kind].total for kind in (TOOLS, KNOWING, SKILLS)]
    tools, knowing, skills = totals
    shown = (f"{total:,}" for total in totals)
    return (item.title, item.agent, *shown, difference(skills, tools), difference(skills, knowing))


def _across(item: Measured, measured: Sequence[Measured]) -> Iterator[Sequence[str]]:
    if item.agent == PLAIN:
        return
    loop = next(each for each in measured if (each.title, each.agent) == (item.title, PLAIN))
    bare, knowing, skills = loop.by_kind[TOOLS], loop.by_kind[KNOWING], item.by_kind[SKILLS]
    yield (
        *(item.title, f"{item.agent}: {skills.total:,}"),
        *(f"{bare.total:,}", difference(skills.total, bare.total)),
        *(f"{knowing.total:,}", difference(skills.total, knowing.total)),
        f"{difference(skills.cached, bare.cached)}, {difference(skills.cached, knowing.cached)}",
    )


def _openings(measured: Sequence[Measured]) -> Iterator[str]:
    first = [item for item in measured if item.title == measured[0].title]
    openings = {item.agent: item.by_kind[SKILLS].opening for item in first}
    names = dict.fromkeys(name for opening in openings.values() for name in opening)
    rows = [
        [name, *(f"{opening[name]:,}" if name in opening else "" for opening in openings.values())]
        for name in names
    ]
    totals = [f"{sum(opening.values()):,}" for opening in openings.values()]
    yield from _table((f"with {SKILLS}", *openings), [*rows, ["all", *totals]])


def _details(item: Measured) -> Iterator[Sequence[str]]:
    for kind, spent in item.by_kind.items():
        counts = (spent.sent, spent.answered, spent.system, spent.tools, spent.cached)
        shown = (f"{count:,}" for count in counts)
        yield (item.title, item.agent, kind, str(spent.calls), *shown)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"
