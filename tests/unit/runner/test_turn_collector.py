from __future__ import annotations

from agentsession_runner.drivers.claude_code.records import (
    AssistantMessage,
    BlockStart,
    ResultRecord,
    Started,
    StreamStart,
    TextDelta,
    ToolUse,
)
from agentsession_runner.drivers.claude_code.turn import TurnCollector


class Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tools: list[tuple[str, str]] = []

    def text(self, text: str) -> None:
        self.texts.append(text)

    def tool(self, name: str, summary: str) -> None:
        self.tools.append((name, summary))


RESULT = ResultRecord({"result": "x"}, ())
FOREIGN = ResultRecord({"result": "foreign"}, ())


def test_blocks_are_joined_by_blank_lines() -> None:
    heard = Heard()
    turn = TurnCollector("m", heard)
    for record in (
        Started("m"),
        StreamStart("a"),
        BlockStart(),
        TextDelta("one"),
        AssistantMessage("a", "one", (), False),
        AssistantMessage("a", "", (ToolUse("Bash", "ls"),), False),
        StreamStart("b"),
        BlockStart(),
        TextDelta("two"),
        AssistantMessage("b", "two", (), False),
        RESULT,
    ):
        turn.feed(record)
    assert turn.said == "one\n\ntwo" == "".join(heard.texts)
    assert heard.tools == [("Bash", "ls")]
    assert turn.result is RESULT


def test_an_answer_that_was_not_streamed_is_heard_once() -> None:
    heard = Heard()
    turn = TurnCollector("m", heard)
    turn.feed(Started("m"))
    turn.feed(AssistantMessage("a", "whole", (), False))
    turn.feed(AssistantMessage("b", "API Error: 500", (), True))
    assert heard.texts == ["whole"]


def test_a_turn_that_nobody_asked_for_is_left_out() -> None:
    heard = Heard()
    turn = TurnCollector("m", heard)
    for record in (Started("other"), StreamStart("a"), BlockStart(), TextDelta("foreign"), FOREIGN):
        turn.feed(record)
    assert turn.result is None
    assert turn.doubtful_result is FOREIGN
    turn.feed(Started("m"))
    assert turn.doubtful_result is None
    turn.feed(TextDelta("mine"))
    turn.feed(RESULT)
    turn.accept_doubtful_result()
    assert turn.result is RESULT
    assert heard.texts == ["mine"]


def test_a_cli_that_does_not_say_when_it_starts_is_believed_in_the_end() -> None:
    turn = TurnCollector("m", Heard())
    turn.feed(RESULT)
    turn.accept_doubtful_result()
    assert turn.result is RESULT


def test_any_result_ends_an_interrupted_turn() -> None:
    turn = TurnCollector("m", Heard())
    turn.interrupted = True
    turn.feed(RESULT)
    assert turn.result is RESULT
