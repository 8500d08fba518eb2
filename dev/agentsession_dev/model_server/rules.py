"""Rules: which answer the scripted model gives to which conversation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from agentsession_dev.model_server.conversation import Conversation
from agentsession_dev.model_server.templates import (
    TemplateError,
    check_nested,
    check_template,
    render_nested,
    sample_values,
)

NonNegativeSeconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
EFFECTS = ("status", "stall_before", "stall_mid", "cut_mid", "error_mid", "reset")


def _checked_template(text: str) -> str:
    check_template(text)
    return text


def _checked_input(value: dict[str, Any]) -> dict[str, Any]:
    check_nested(value)
    return value


def _checked_regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a valid regular expression: {error}") from None
    return pattern


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not min_length: pydantic counts valid items only and would blame the list for one bad item.
    if not items:
        raise ValueError("at least one is needed")
    return items


Template = Annotated[str, AfterValidator(_checked_template)]
Regex = Annotated[str, Field(min_length=1), AfterValidator(_checked_regex)]


class RuleModel(BaseModel):
    """Base of everything in a rules file: strict, so that a typing error is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Usage(RuleModel):
    """Token counts to report; what is absent is estimated from the texts."""

    input_tokens: int | None = Field(default=None, ge=0)
    output_tokens: int | None = Field(default=None, ge=0)
    cache_creation_input_tokens: int = Field(default=0, ge=0)
    cache_read_input_tokens: int = Field(default=0, ge=0)


class Failure(RuleModel):
    """One way to fail. ``times`` limits it to the first calls; without it every call fails.

    ``stall_before`` and ``stall_mid`` are seconds without a byte, after which the answer goes on;
    ``retry_after`` is in seconds.
    """

    status: int | None = Field(default=None, ge=400, le=599)
    message: str | None = None
    type: str | None = Field(default=None, min_length=1)
    retry_after: NonNegativeSeconds | None = None
    stall_before: PositiveFloat | None = None
    stall_mid: PositiveFloat | None = None
    cut_mid: bool = False
    error_mid: bool = False
    reset: bool = False
    times: PositiveInt | None = None

    @model_validator(mode="after")
    def _exactly_one_effect(self) -> Failure:
        chosen = [name for name in EFFECTS if getattr(self, name)]
        if len(chosen) != 1:
            raise ValueError(
                f"exactly one of {', '.join(EFFECTS)} must be set, not "
                f"{' and '.join(chosen) or 'none of them'}"
            )
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after needs a status")
        return self


class Step(RuleModel):
    """One model call of a turn: text, a tool call or both, and how it is delivered.

    The tool ``shell`` stands for whatever the agent calls its shell tool.
    """

    say: Template | None = None
    tool: str | None = Field(default=None, min_length=1)
    input: Annotated[dict[str, Any], AfterValidator(_checked_input)] = Field(default_factory=dict)
    delay_before_seconds: NonNegativeSeconds = 0
    delay_per_chunk_seconds: NonNegativeSeconds = 0
    chunk_characters: PositiveInt | None = None
    stamp_chunks: bool = False
    usage: Usage = Field(default_factory=Usage)
    fail: Failure | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> Step:
        if self.input and self.tool is None:
            raise ValueError("input needs a tool")
        if self.say is not None or self.tool is not None:
            return self
        if self.fail is None:
            raise ValueError("say, tool or fail must be set")
        if self.fail.status is None and not self.fail.reset:
            raise ValueError("this failure happens to an answer: set say or tool too")
        if self.fail.times is not None:
            raise ValueError("after fail.times calls there must be an answer: set say or tool too")
        return self


class Match(RuleModel):
    """When a rule applies; what is absent does not matter.

    ``text`` is searched in the newest text of the person, ``model`` in the model's name.
    """

    text: Regex | None = None
    model: Regex | None = None
    after_tool_result: bool | None = None


class Rule(RuleModel):
    """A match and the steps of the turn it answers."""

    name: str = Field(min_length=1, max_length=100)
    match: Match = Field(default_factory=Match)
    steps: Annotated[tuple[Step, ...], AfterValidator(_not_empty)]

    @model_validator(mode="after")
    def _ends_with_words(self) -> Rule:
        if self.steps[-1].tool is not None:
            raise ValueError(
                "the last step calls a tool: add a step with say that answers after it"
            )
        return self

    @model_validator(mode="after")
    def _templates_can_be_rendered(self) -> Rule:
        groups = re.compile(self.match.text).groupindex if self.match.text else {}
        sample = sample_values(dict.fromkeys(groups, "sample"))
        for number, step in enumerate(self.steps):
            try:
                render_nested([step.say, step.input], sample)
            except TemplateError as problem:
                raise ValueError(f"steps.{number}: {problem}") from None
        return self

    def groups(self, conversation: Conversation, model: str) -> dict[str, str] | None:
        """Return the named groups of the text if the rule applies, else None."""
        if self.match.model is not None and not re.search(self.match.model, model):
            return None
        wanted = self.match.after_tool_result
        if wanted is not None and wanted != conversation.ends_with_tool_result:
            return None
        if self.match.text is None:
            return {}
        found = re.search(self.match.text, conversation.last_user_text)
        return None if found is None else found.groupdict(default="")

    def step_index(self, conversation: Conversation) -> int:
        """Return which step answers now; after the last one, the last one again."""
        # A rule for tool results has no step for the call that asked for the tool.
        start = 1 if self.match.after_tool_result else 0
        return min(max(conversation.step - start, 0), len(self.steps) - 1)


class RuleBook(RuleModel):
    """A rules file. The first rule that applies answers; ``models`` empty means any model."""

    models: tuple[str, ...] = ()
    rules: Annotated[tuple[Rule, ...], AfterValidator(_not_empty)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> RuleBook:
        names = [rule.name for rule in self.rules]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"rule names must be unique, these are not: {', '.join(doubled)}")
        return self

    def choose(self, conversation: Conversation, model: str) -> tuple[Rule, dict[str, str]] | None:
        """Return the first rule that applies with its named groups, or None."""
        for rule in self.rules:
            groups = rule.groups(conversation, model)
            if groups is not None:
                return rule, groups
        return None


class InvalidRulesError(ValueError):
    """A rules file that cannot be used; the text names the rule and the field."""


def parse_rules(data: bytes) -> RuleBook:
    """Read a rules file's content.

    Raises:
        InvalidRulesError: one line per problem, each naming the rule and the field.
    """
    try:
        return RuleBook.model_validate_json(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        names = _rule_names(data)
        lines = [_describe(problem["loc"], str(problem["msg"]), names) for problem in problems]
        raise InvalidRulesError("\n".join(lines)) from None


def load_rules(path: Path) -> RuleBook:
    """Read a rules file.

    Raises:
        InvalidRulesError: when it is missing, unreadable or wrong; the text names the file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidRulesError(f"{path}: {error.strerror or error}") from None
    try:
        return parse_rules(data)
    except InvalidRulesError as error:
        raise InvalidRulesError(f"{path}: {error}") from None


def _rule_names(data: bytes) -> list[str]:
    """Return the names of the rules as far as the content shows them."""

    class _Named(BaseModel):
        rules: list[Any] = []

    try:
        rules: Iterable[Any] = _Named.model_validate_json(data).rules
    except ValidationError:
        return []
    return [str(rule.get("name", "")) if isinstance(rule, dict) else "" for rule in rules]


def _describe(location: tuple[int | str, ...], message: str, names: list[str]) -> str:
    parts = list(location)
    where = ""
    if len(parts) >= 2 and parts[0] == "rules" and isinstance(parts[1], int):
        name = names[parts[1]] if parts[1] < len(names) else ""
        where = f"rule {name!r}" if name else f"rule number {parts[1] + 1}"
        parts = parts[2:]
    field = ".".join(str(part) for part in parts)
    subject = ", ".join(filter(None, [where, field and f"field {field}"]))
    return f"{subject}: {message}" if subject else message
