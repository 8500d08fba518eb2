"""With a token go those that were made with it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from agentsession_core.problems import ProblemError
from agentsession_testing.orchestrator import Orchestrator, problem
from orchestrator_api import revoking
from orchestrator_api.callers import token_caller

SCOPES = ["read", "tokens"]


async def make(client: httpx.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/tokens", json={"name": name, "scopes": SCOPES, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def works(orchestrator: Orchestrator, made: dict[str, Any]) -> bool:
    async with orchestrator.client(made["token"]) as client:
        return (await client.get("/v1/tokens/self")).status_code == 200


async def own_id(client: httpx.AsyncClient) -> str:
    actor: str = (await client.get("/v1/tokens/self")).json()["actor"]
    return actor.removeprefix("token:")


async def actions(orchestrator: Orchestrator, user: str) -> list[tuple[str, str]]:
    async with orchestrator.client(await orchestrator.token(user, "read")) as client:
        items = (await client.get("/v1/audit")).json()["items"]
    return [(item["action"], item["target"].removeprefix("token/")) for item in items]


async def test_what_was_made_with_it_and_with_that(orchestrator: Orchestrator) -> None:
    root = await orchestrator.token("root", "tokens", "read", "admin")
    async with orchestrator.client(root) as admin:
        leaked = await make(admin, "leaked")
        other = await make(admin, "other")
        async with orchestrator.client(leaked["token"]) as thief:
            child = await make(thief, "child")
        async with orchestrator.client(child["token"]) as thief:
            grandchild = await make(thief, "grandchild")
        assert child["created_by"] == f"token:{leaked['id']}"
        path = f"/v1/tokens/{leaked['id']}"
        expected = {"id": leaked["id"], "made_with_it": [child["id"], grandchild["id"]]}
        assert (await admin.delete(f"{path}?dry_run=true")).json() == expected
        assert await works(orchestrator, grandchild)
        assert (await admin.delete(path)).json() == expected
        for gone in (leaked, child, grandchild):
            assert not await works(orchestrator, gone)
        assert await works(orchestrator, other)
        assert (await admin.delete(path)).json()["made_with_it"] == [], "once"
    revoked = [
        target for action, target in await actions(orchestrator, "root") if "revoke" in action
    ]
    assert revoked == [leaked["id"], leaked["id"], grandchild["id"], child["id"]]


async def test_another_users_token_ends_with_a_word_in_their_audit_log(
    orchestrator: Orchestrator,
) -> None:
    async with (
        orchestrator.client(await orchestrator.token("root", "tokens", "read", "admin")) as admin,
        orchestrator.client(await orchestrator.token("root", "tokens", "read", "admin")) as other,
    ):
        bobs = await make(admin, "laptop", user_id="bob")
        assert (await other.delete(f"/v1/tokens/{await own_id(admin)}")).status_code == 200
    assert not await works(orchestrator, bobs)
    assert await actions(orchestrator, "bob") == [("token.revoke", bobs["id"])]


async def test_changing_one_for_another(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("ada", *SCOPES)) as old:
        old_id = await own_id(old)
        new = await make(old, "new")
        third = await make(old, "third")
    async with orchestrator.client(new["token"]) as client:
        refused = await client.delete(f"/v1/tokens/{old_id}")
        assert problem(refused) == (409, "own_token_made_with_it")
        assert await works(orchestrator, third), "nothing of it was done"
        kept = await client.delete(f"/v1/tokens/{old_id}?keep_made=true")
        assert kept.json() == {"id": old_id, "made_with_it": []}
        assert await works(orchestrator, third)
        assert (await client.delete(f"/v1/tokens/{new['id']}")).status_code == 200, "its own"
    assert not await works(orchestrator, new)


async def test_one_that_is_made_in_that_moment(orchestrator: Orchestrator) -> None:
    """Whoever found a token makes another while it is revoked: either it is none, or it goes, too."""
    root = await orchestrator.token("root", "tokens", "read", "admin")
    async with orchestrator.client(root) as admin:
        leaked = await make(admin, "leaked")
        async with orchestrator.client(leaked["token"]) as thief:
            wish = {"name": "x", "scopes": ["read"]}
            answers = await asyncio.gather(
                *(thief.post("/v1/tokens", json=wish) for _ in range(4)),
                admin.delete(f"/v1/tokens/{leaked['id']}"),
                *(thief.post("/v1/tokens", json=wish) for _ in range(4)),
            )
    made = [one for one in answers if one.status_code == 201]
    for one in answers:
        assert one.status_code in (200, 201) or problem(one) == (401, "token_revoked")
    for one in made:
        assert not await works(orchestrator, one.json())


async def test_a_token_that_was_revoked_since_the_call_began(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(await orchestrator.token("ada", *SCOPES)) as ada:
        own = await own_id(ada)
        caller = token_caller("ada", own, frozenset(), None)
        async with orchestrator.database.writing() as session:
            await revoking.require_valid(session, caller)
        assert (await ada.delete(f"/v1/tokens/{own}")).status_code == 200
        with pytest.raises(ProblemError, match="401 token_revoked"):
            async with orchestrator.database.writing() as session:
                await revoking.require_valid(session, caller)
