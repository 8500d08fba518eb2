"""Requests of the Anthropic Messages API, as far as the scripted server reads them.

Unknown fields are kept and ignored: clients send beta fields faster than a stand-in can follow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

JsonObject = dict[str, Any]

# Union members are tagged with this prefix, so that error paths can leave the tags out.
_TAG = "as:"


class WireModel(BaseModel):
    """Base of everything read from a request: immutable, tolerant of unknown fields."""

    model_config = ConfigDict(extra="allow", frozen=True)


class TextBlock(WireModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ToolUseBlock(WireModel):
    """A tool call the model made earlier in the conversation."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: JsonObject


class OtherBlock(WireModel):
    """A block the server does not interpret (image, thinking, document, ...)."""

    type: str


def _text_or_list(value: object) -> str:
    return f"{_TAG}text" if isinstance(value, str) else f"{_TAG}blocks"


class ToolResultBlock(WireModel):
    """The outcome of a tool call, reported by the client."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: Annotated[
        Annotated[str, Tag(f"{_TAG}text")] | Annotated[list[OtherBlock], Tag(f"{_TAG}blocks")],
        Discriminator(_text_or_list),
    ] = ""
    is_error: bool | None = None

    def as_text(self) -> str:
        """Return the text of the result, its text blocks joined by line breaks."""
        if isinstance(self.content, str):
            return self.content
        texts = [(block.model_extra or {}).get("text", "") for block in self.content]
        return "\n".join(text for text in texts if isinstance(text, str) and text)


def _block_type(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    known = kind if kind in ("text", "tool_use", "tool_result") else "other"
    return f"{_TAG}{known}"


ContentBlock = Annotated[
    Annotated[TextBlock, Tag(f"{_TAG}text")]
    | Annotated[ToolUseBlock, Tag(f"{_TAG}tool_use")]
    | Annotated[ToolResultBlock, Tag(f"{_TAG}tool_result")]
    | Annotated[OtherBlock, Tag(f"{_TAG}other")],
    Discriminator(_block_type),
]
AnyBlock = TextBlock | ToolUseBlock | ToolResultBlock | OtherBlock


class Message(WireModel):
    """One message of the conversation; clients also put ``system`` messages in the middle."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[
        Annotated[str, Tag(f"{_TAG}text")] | Annotated[list[ContentBlock], Tag(f"{_TAG}blocks")],
        Discriminator(_text_or_list),
    ]

    def blocks(self) -> list[AnyBlock]:
        """Return the content as blocks, a plain string as one text block."""
        if isinstance(self.content, str):
            return [TextBlock(type="text", text=self.content)]
        return list(self.content)


class Tool(WireModel):
    """A tool the client offers."""

    name: str = Field(min_length=1, max_length=128)


class CountTokensRequest(WireModel):
    """Body of ``POST /v1/messages/count_tokens``."""

    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1)
    system: Annotated[
        Annotated[str, Tag(f"{_TAG}text")] | Annotated[list[TextBlock], Tag(f"{_TAG}blocks")],
        Discriminator(_text_or_list),
    ] = ""
    tools: list[Tool] = Field(default_factory=list)

    def tool_names(self) -> tuple[str, ...]:
        """Return the names of the offered tools in the order of the request."""
        return tuple(tool.name for tool in self.tools)


class MessagesRequest(CountTokensRequest):
    """Body of ``POST /v1/messages``."""

    max_tokens: int = Field(ge=1)
    stream: bool = False
    temperature: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: list[str] | None = None
    output_config: JsonObject | None = None

    def output_schema(self) -> JsonObject | None:
        """Return the JSON schema the answer must follow, if the client asked for one."""
        output_format = (self.output_config or {}).get("format")
        if not isinstance(output_format, dict) or output_format.get("type") != "json_schema":
            return None
        schema = output_format.get("schema")
        return schema if isinstance(schema, dict) else None


class InvalidRequestError(ValueError):
    """The body is not a valid request; the text names the field and what is wrong with it."""


RequestT = TypeVar("RequestT", bound=CountTokensRequest)


def parse_request(model: type[RequestT], body: bytes) -> RequestT:
    """Validate a request body.

    Raises:
        InvalidRequestError: naming the first wrong field and what is wrong with it.
    """
    try:
        request = model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequestError(describe_first_error(error)) from None
    _check_message_order(request.messages)
    return request


def describe_first_error(error: ValidationError) -> str:
    """Return ``field.path: what is wrong`` for the first problem of a validation."""
    problem = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(_TAG))
    return f"{path}: {problem['msg']}" if path else str(problem["msg"])


def _check_message_order(messages: list[Message]) -> None:
    """Refuse what the real API refuses: tool results without a call, calls without a result."""
    if messages[0].role == "assistant":
        raise InvalidRequestError("messages.0.role: the first message must have the role user")
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        for position, block in enumerate(message.blocks()):
            if isinstance(block, ToolUseBlock):
                open_calls.add(block.id)
            elif isinstance(block, ToolResultBlock):
                if block.tool_use_id not in open_calls:
                    raise InvalidRequestError(
                        f"messages.{index}.content.{position}.tool_use_id: no tool_use block "
                        f"with the id {block.tool_use_id!r} comes before this tool_result"
                    )
                open_calls.discard(block.tool_use_id)
    if open_calls:
        raise InvalidRequestError(
            "messages: tool_use ids were found without tool_result blocks after them: "
            + ", ".join(sorted(open_calls))
        )
