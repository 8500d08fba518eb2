"""Request bodies as models."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from agentsession_core.problems import ProblemError
from agentsession_core.wire import WireModel

M = TypeVar("M", bound=WireModel)


def parse_body(model: type[M], body: bytes) -> M:
    """The body as a model. Raises ProblemError 422."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise ProblemError(422, "body_invalid", f"{where}: {first['msg']}") from None
