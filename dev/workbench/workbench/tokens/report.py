"""The figures as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.tokens.counting import Spent

TOOLS = "plain agent, every tool"
KNOWING = "plain agent, every tool and the skills' texts"
SKILLS = "plain agent, skills and command"
CLAUDE = "Claude Code, skills and command"
COLUMNS = (
    *("conversation", "agent", "calls", "sent", "answered", "total"),
    *("beside every tool", "beside every tool and texts", "sent, with a prompt cache"),
)
PARTS = ("conversation", "calls", "its system prompt", "its tools", "all else", "all else a call")


@dataclass(frozen=True)
class Measured:
    """One conversation, by agent."""

    title: str
    by_agent: Mapping[str, Spent]


def difference(part: int, whole: int) -> str:
    """By how many per cent `part` is more (+) or less (−) than `whole`."""
    percent = round(100 * (part - whole) / whole)
    return f"{percent:+d} %".replace("-", "−") if percent else "0 %"


def tables(measured: Sequence[Measured], tokenizer: str, tools: int) -> str:
    """All tables. `tools`: how many tools the agent with tools has."""
    one = measured[0].by_agent[TOOLS]
    per_call = one.tools // one.calls
    lines = [
        f"Tokens of {tokenizer}. {tools} tools, whose schemas are {per_call:,} tokens in each request, "
        f"{per_call // tools} a tool.",
        "",
        *_table(COLUMNS, [row for item in measured for row in _rows(item)]),
        "",
        f"{CLAUDE}, taken apart:",
        "",
        *_table(PARTS, [_parts(item) for item in measured]),
    ]
    return "\n".join(lines) + "\n"


def _rows(item: Measured) -> Iterator[Sequence[str]]:
    lean, knowing = item.by_agent[TOOLS], item.by_agent[KNOWING]
    for agent, spent in item.by_agent.items():
        compared = spent is not lean and spent is not knowing
        yield (
            item.title,
            agent,
            str(spent.calls),
            f"{spent.sent:,}",
            f"{spent.answered:,}",
            f"{spent.total:,}",
            difference(spent.total, lean.total) if compared else "",
            difference(spent.total, knowing.total) if compared else "",
            f"{spent.cached:,}",
        )


def _parts(item: Measured) -> Sequence[str]:
    spent = item.by_agent[CLAUDE]
    rest = spent.total - spent.system - spent.tools
    counts = (spent.calls, spent.system, spent.tools, rest, rest // spent.calls)
    return (item.title, *(f"{count:,}" for count in counts))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"
