"""What the Agent Skills format asks of a skill."""

from __future__ import annotations

import pytest

from agentsession_gateway.skill_format import problem_of

GOOD = "---\nname: pay\ndescription: Pays bills. Use for bills.\n---\n\n# Pay\n"
# Ten lines that are a billion texts when they are written out.
BOMB = "metadata:\n  l0: &l0 [x]\n" + "\n".join(
    f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)
)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(
            "bills.\n", "bills.\nlicense: MIT\nmetadata: {team: red}\nallowed-tools: Bash\n", 1
        ),
        GOOD.replace("Pays bills. Use for bills.", "x" * 1024),
        GOOD + "\n---\n\nA line between paragraphs.\n",
    ],
)
def test_fit(text: str) -> None:
    assert problem_of("pay", text) is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Pay", GOOD, "a name is"),
        ("pay-", GOOD, "a name is"),
        ("pay--x", GOOD, "a name is"),
        ("a" * 65, GOOD, "a name is"),
        ("pay\n", GOOD, "a name is"),
        ("pay", "# Pay\n", "frontmatter"),
        ("pay", "\n" + GOOD, "frontmatter"),
        ("pay", "---\nname: pay\n", "frontmatter"),
        ("pay", "---\nname: [\n---\nx", "no YAML"),
        ("pay", "---\npay\n---\nx", "no fields"),
        ("bill", GOOD, "'pay', not 'bill'"),
        ("pay", GOOD.replace("name: pay\n", ""), "None, not 'pay'"),
        ("pay", "---\nname: pay\n---\nx", "no description"),
        ("pay", "---\nname: pay\ndescription: ' '\n---\nx", "no description"),
        ("pay", "---\nname: pay\ndescription: 3\n---\nx", "no description"),
        ("pay", GOOD.replace("Pays bills. Use for bills.", "x" * 1025), "1025 characters"),
        ("pay", GOOD.replace("name: pay", "name: pay\nhooks: {}"), "'hooks'"),
        ("pay", GOOD.replace("name: pay", "name: pay\nmetadata: {a: 1}"), "metadata"),
        ("pay", GOOD.replace("name: pay", "name: pay\nallowed-tools: [Bash]"), "allowed-tools"),
        ("pay", GOOD.replace("name: pay", f"name: pay\ncompatibility: {'x' * 501}"), "500"),
        ("pay", GOOD.replace("name: pay", "name: 2026-99-99"), "no YAML"),
        ("pay", GOOD.replace("name: pay", "name: !!int x"), "no YAML"),
        ("pay", GOOD.replace("name: pay", "name: !!bool x"), "no YAML"),
        ("pay", GOOD.replace("name: pay", "name: !!timestamp x"), "no YAML"),
        ("pay", GOOD.replace("name: pay", f"name: {'[' * 5000}"), "no YAML"),
        ("pay", GOOD.replace("name: pay", f"{BOMB}\nname: *l9"), "no text, not 'pay'"),
        ("pay", GOOD.removesuffix("\n# Pay\n"), "no text"),
    ],
)
def test_unfit(name: str, text: str, said: str) -> None:
    assert said in (problem_of(name, text) or "nothing")
