"""What callers are told where a text has another form: in words, and never the text itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError

from orchestrator_api import forms
from orchestrator_api.app import ROUTERS
from orchestrator_api.routes.deployments import NewDeployment
from orchestrator_api.routes.projects import NewProject, ProjectChange
from orchestrator_api.routes.servers import NewServer

SERVER = {"name": "vps-1", "kind": "ssh", "host": "vps-1.example.com"}


def patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        for part in value.values():
            yield from patterns(part)
    elif isinstance(value, list):
        for part in value:
            yield from patterns(part)


def test_every_form_of_the_api_has_words() -> None:
    routes = [route for router in ROUTERS for route in router.routes]
    described = get_openapi(title="orchestrator", version="0", routes=routes)
    assert set(patterns(described)) == set(forms.WORDS)


@pytest.mark.parametrize(
    ("model", "said", "told"),
    [
        (NewProject, {"name": "Todo_App"}, f"name: {forms.WORDS[forms.NAME]}"),
        (NewProject, {"name": "42"}, "name: digits alone are a project's number"),
        (NewProject, {}, "name: it is needed"),
        (NewProject, {"name": "a", "nmae": "hidden"}, "nmae: there is no such field"),
        (NewProject, "hidden", "body: a JSON object is needed"),
        (
            ProjectChange,
            {"repository_url": "https://hidden@git.example.com/a"},
            "repository_url: https://... or ssh://..., without a password",
        ),
        (NewDeployment, {"image": "-hidden"}, "image: an image's name, like"),
        (
            NewServer,
            {**SERVER, "first_port": 300, "last_port": 200},
            "body: first_port is above last_port",
        ),
    ],
)
def test_mistakes(model: type[BaseModel], said: Any, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(said)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    found = forms.why_invalid(errors)
    assert found.startswith(told)
    assert "hidden" not in found


def test_what_is_no_json() -> None:
    error = {
        "type": "json_invalid",
        "loc": ("body", 1),
        "msg": "JSON decode error",
        "ctx": {"error": "Expecting value"},
    }
    assert forms.why_invalid([error]) == "body: no JSON: Expecting value"
