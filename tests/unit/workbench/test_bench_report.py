"""From what was seen to tables."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from workbench.bench.figures import Figure, Section, Stage, Statistic, Target, Unit
from workbench.bench.messages import RestedMessages
from workbench.bench.passthrough import batches, merged, report_passthrough, request_body
from workbench.bench.report import markdown, missed, number, row, to_json
from workbench.bench.starts import Pairs, report_starts
from workbench.bench.table import show

STAGES = (Stage("sent → stored", (0.5, 0.5)), Stage("stored → seen", (1.0, 1.2)))
WAY = Figure("way", "the way", Unit.SECONDS, (1.5, 1.7), Target(1.5), STAGES)
COUNT = Figure("count", "writes", Unit.COUNT, (9.0, 8.0), Target(9, Statistic.MAX))
SIZE = Figure("size", "image", Unit.MEBIBYTES, (12.34,))
SECTIONS = (
    Section("Ways", (WAY, COUNT), ("Read this.",)),
    Section("Sizes", (SIZE,)),
    Section("Nothing", notes=("Not counted here.",)),
)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.12345, Unit.SECONDS, "0.123"),
        (1.2345, Unit.MILLISECONDS, "1.23"),
        (104.25, Unit.MEBIBYTES, "104.2"),
        (9.0, Unit.COUNT, "9"),
        (9.5, Unit.COUNT, "9.5"),
    ],
)
def test_numbers_have_their_units_decimals(value: float, unit: Unit, text: str) -> None:
    assert number(value, unit) == text


def test_a_row_says_target_and_verdict() -> None:
    assert row(WAY) == (
        *("the way, s", "2", "1.500", "1.600", "1.690", "1.700", "p50 ≤ 1.5 s", "missed"),
    )
    assert row(COUNT)[-2:] == ("max ≤ 9", "met")


def test_a_missed_target_is_said_with_what_bounds_it() -> None:
    assert list(missed(SECTIONS)) == [
        "the way: p50 is 1.600 s, the target is 1.5 s; most of it: stored → seen 1.100 s, "
        "sent → stored 0.500 s."
    ]


def test_markdown_is_ready_to_paste() -> None:
    text = markdown("2026-11-25: figures", "2 cores", SECTIONS, ["writes: no log"])
    assert text == (
        "# 2026-11-25: figures\n\n2 cores.\n\n"
        "- Missed: the way: p50 is 1.600 s, the target is 1.5 s; most of it: stored → seen 1.100 s, "
        "sent → stored 0.500 s.\n"
        "- Not measured: writes: no log\n\n"
        "## Ways\n\n"
        "|  | n | min | p50 | p95 | max | target |  |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| the way, s | 2 | 1.500 | 1.600 | 1.690 | 1.700 | p50 ≤ 1.5 s | missed |\n"
        "| writes | 2 | 8 | 8.5 | 8.9 | 9 | max ≤ 9 | met |\n\n"
        "Stages of “the way”:\n\n"
        "| stage | n | min | p50 | p95 | max |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| sent → stored, s | 2 | 0.500 | 0.500 | 0.500 | 0.500 |\n"
        "| stored → seen, s | 2 | 1.000 | 1.100 | 1.190 | 1.200 |\n\n"
        "Read this.\n\n"
        "## Sizes\n\n|  | value |\n| --- | --- |\n| image, MiB | 12.3 |\n\n"
        "## Nothing\n\nNot counted here.\n"
    )


def test_json_holds_every_value() -> None:
    report = json.loads(json.dumps(to_json({"cores": 2}, 2, SECTIONS, [])))
    assert report["machine"] == {"cores": 2}
    assert report["figures"]["way"]["values"] == [1.5, 1.7]
    assert report["figures"]["way"]["stages"][1]["values"] == [1.0, 1.2]
    assert report["figures"]["way"]["target"] == {
        "statistic": "p50",
        "atMost": 1.5,
        "measured": 1.6,
        "met": False,
        "boundBy": ["stored → seen", "sent → stored"],
    }
    assert report["unmeasured"] == []


def test_the_terminal_shows_the_same() -> None:
    file = io.StringIO()
    show(Console(file=file, width=120), "2 cores", SECTIONS, ["writes: no log"])
    text = file.getvalue()
    for words in ("Ways", "the way, s", "stored → seen, s", "missed: the way", "not measured:"):
        assert words in text


def marks(start: float, **after: float) -> dict[str, float | None]:
    return {"created": start, **{key: start + value for key, value in after.items()}}


OURS = marks(
    100.0, run_begun=0.02, job_posted=0.03, pod_bound=0.05, process_made=0.5, hello=0.7, request=1.4
)
PLAIN = marks(200.0, pod_bound=0.01, process_made=0.44, first_instruction=0.48)


def figures(pairs: Pairs) -> dict[str, Figure]:
    return {figure.key: figure for figure in report_starts(pairs).figures}


def test_starts_are_compared_pair_by_pair_and_stage_by_stage() -> None:
    found = figures(Pairs([OURS], [PLAIN]))
    assert found["start.difference"].values == pytest.approx((0.22,))
    assert found["start.difference_before_container"].values == pytest.approx((0.06,))
    # What the runtime itself needs is the plain Job's 0.04 s.
    assert found["start.container_to_hello"].values == pytest.approx((0.16,))
    stages = {stage.name: stage.values[0] for stage in found["start.difference"].stages}
    assert list(stages.values()) == pytest.approx([0.03, 0.01, 0.02, 0.16])
    assert sum(stages.values()) == pytest.approx(found["start.difference"].values[0])
    assert len(found["start.difference_before_container"].bounds) == 3


def test_without_an_audit_log_the_stages_are_fewer_and_their_sum_the_same() -> None:
    ours = {**OURS, "job_posted": None, "pod_bound": None}
    plain = {**PLAIN, "pod_bound": None}
    found = figures(Pairs([ours, OURS], [plain, PLAIN]))
    stages = found["start.difference"].stages
    assert [stage.values[0] for stage in stages] == pytest.approx([0.02, 0.04, 0.16])
    assert stages[0].name == "AgentSession created → run begun"


def test_messages_after_a_rest_say_how_long_it_was() -> None:
    way = marks(0.0, changed=0.0, message=0.01, turn=0.02, request=0.09)
    section = RestedMessages([way, way], [61.2, 125.0]).section()
    assert section.figures[0].values == (0.09, 0.09)
    assert [stage.values[0] for stage in section.figures[0].stages] == pytest.approx(
        [0.01, 0.01, 0.07]
    )
    assert "61, 125 s" in section.notes[0]


@pytest.mark.parametrize(
    ("rounds", "parts"), [(1, [1]), (10, [10]), (11, [10, 1]), (30, [10, 10, 10])]
)
def test_pass_through_goes_in_batches(rounds: int, parts: list[int]) -> None:
    assert batches(rounds) == parts


def test_what_the_gateway_adds() -> None:
    def seen(direct: float, gateway: float) -> dict[str, dict[str, list[float]]]:
        return {
            "direct": {"requests": [direct], "chunks": [direct]},
            "gateway": {"requests": [gateway], "chunks": [gateway]},
        }

    both = merged([seen(0.001, 0.003), seen(0.002, 0.005)])
    found = {f.key: f.values for f in report_passthrough(both, 2048).figures}
    assert found["passthrough.request_added"] == pytest.approx((2.0, 3.0))
    assert found["passthrough.chunk_added"] == pytest.approx((2.0, 3.0))
    assert found["passthrough.request_direct"] == pytest.approx((1.0, 2.0))


def test_a_replayed_call_keeps_everything_but_the_persons_words() -> None:
    real: dict[str, Any] = {"model": "m", "tools": [1], "messages": [{"role": "user"}] * 3}
    assert json.loads(request_body(real, "bench-short")) == {
        "model": "m",
        "tools": [1],
        "messages": [{"role": "user", "content": "bench-short"}],
        "stream": True,
    }
