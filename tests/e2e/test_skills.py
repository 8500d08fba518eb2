"""Skills in a run pod: the image's, an operator's, and what is unfit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentsession_testing.cluster import Body, ModelServer, Product, condition, reply_of
from agentsession_testing.skill_texts import skill

NewName = Callable[[str], str]
CONFIG = "/workspace/.agentsession/claude-code/skills"


def config_map(product: Product, name: str, **data: str) -> Body:
    texts = {key.replace("_md", ".md"): text for key, text in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": product.names.sessions_namespace},
        "data": texts,
    }


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def test_the_agent_knows_the_skills_loads_one_and_uses_the_command(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("skilled")
    answered = product.answer(product.apply(product.manifest(name, prompt=f"deploy {name}")))
    listed = json.loads(reply_of(answered).partition("\n")[2])
    assert [(item["name"], item["user_id"]) for item in listed] == [(name, name)]

    bodies = [model_server.body(record) for record in model_server.requests(f"deploy {name}")]
    assert len(bodies) == 4
    assert all("Put a project online, follow a deployment" in body for body in bodies)
    assert [("orchestrator deploy trigger todo-app" in body) for body in bodies] == [False] + [
        True
    ] * 3

    said = reply_of(
        product.answer(
            product.patch(
                name,
                prompt=f"run: ls {CONFIG}; readlink {CONFIG}/deploy; orchestrator version; "
                "command -v orchestrator; "
                f"echo x 2>&1 >> {CONFIG}/deploy/SKILL.md || echo refused",
            )
        )
    )
    for wanted in (
        *("admin\ndeploy\ndiagnose\nengineering\ninfrastructure\nproject\n",),
        *("/opt/agentsession/skills/deploy\n", "/usr/local/bin/orchestrator\n", "refused"),
    ):
        assert wanted in said, said


def test_an_operators_skills_and_what_is_wrong_with_them(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("team")
    fit = skill("invoices", description=f"Invoices of {name}. Use when one is asked for.")
    unfit = config_map(product, name, invoices_md=fit, pay_md="How to pay, without a frontmatter.")
    template = product.template(name, skills=named(name, f"{name}-gone"))
    with product.applied(unfit, template):
        manifest = product.manifest(
            name, prompt=f"what is there for {name}?", templateRef={"name": name}
        )
        body = product.apply(manifest)
        refused = product.wait_reason(name, "Accepted", "SkillsUnfit")
        message = condition(refused, "Accepted")["message"]
        assert f"key pay.md of ConfigMap {name}" in message
        assert f"there is no ConfigMap {name}-gone" in message
        first = product.answer(body)
        product.wait_event(name, "SkillsUnfit")
        (seen,) = model_server.requests(f"what is there for {name}?")
        assert f"Invoices of {name}" in model_server.body(seen)
        assert "without a frontmatter" not in model_server.body(seen)

        pay = skill("pay", description=f"Payments of {name}. Use when one is due.")
        product.apply(config_map(product, name, invoices_md=fit, pay_md=pay))
        product.apply(product.template(name, skills=named(name), instructions=f"Told to {name}."))
        product.wait_reason(name, "Suspended", "Outdated")
        answered = product.answer(product.patch(name, prompt=f"and now, {name}?"))
        assert condition(answered, "Accepted")["reason"] == "Valid"
        # The same conversation, and the new text is in it.
        assert answered["status"]["agentSessionID"] == first["status"]["agentSessionID"]
        (seen,) = model_server.requests(f"and now, {name}?")
        for wanted in (f"Payments of {name}", f"Told to {name}.", f"what is there for {name}?"):
            assert wanted in model_server.body(seen), wanted
