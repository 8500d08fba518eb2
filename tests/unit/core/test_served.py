from __future__ import annotations

import copy
from typing import Any

from agentsession_core.crd.definitions import session_definition, template_definition
from agentsession_core.crd.served import missing_fields


def served() -> dict[str, Any]:
    return {
        definition["spec"]["names"]["kind"]: copy.deepcopy(
            definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        )
        for definition in (session_definition(), template_definition())
    }


def test_our_own_schema_lacks_nothing() -> None:
    assert missing_fields(served()) == []


def test_a_newer_schema_lacks_nothing() -> None:
    newer = served()
    newer["AgentSession"]["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    assert missing_fields(newer) == []


def test_an_older_schema_is_named_field_by_field() -> None:
    older = served()
    del older["AgentSession"]["properties"]["spec"]["properties"]["mailbox"]
    del older["AgentSession"]["properties"]["status"]["properties"]["usage"]["properties"][
        "costUSD"
    ]
    del older["AgentSessionTemplate"]
    missing = missing_fields(older)
    assert missing[:2] == ["AgentSession.spec.mailbox", "AgentSession.status.usage.costUSD"]
    assert "AgentSessionTemplate.spec" in missing
