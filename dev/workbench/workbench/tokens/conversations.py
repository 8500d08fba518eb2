"""The three scripted conversations, as both kinds of agent have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """What the person says, the skill that the work needs, the commands, and what is answered.

    `commands` are command lines without `orchestrator` and `--json`, each a call of a tool. `lines` are
    what goes into one call of a shell, where a skill joins commands of which one needs the other by `&&`.
    """

    said: str
    commands: tuple[str, ...]
    answer: str
    skill: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def shell_lines(self) -> tuple[str, ...]:
        """What an agent with a shell carries out, one call each."""
        return self.lines or self.commands


@dataclass(frozen=True)
class Conversation:
    """Turns in order; `before` is what the platform has already, as command lines of the person."""

    title: str
    turns: tuple[Turn, ...]
    before: tuple[str, ...] = ()


PROJECTS = (
    "project create todo-app --description 'Lists for two' --repository-url https://git.example.com/todo.git",
    "project create analytics --description 'Counts visits'",
    "project create landing-page",
    "infra allocate 1",
)

LISTING = Conversation(
    "list projects and their status",
    (
        Turn(
            "Which projects do I have?",
            ("project list",),
            "You have three projects: todo-app (1), analytics (2) and landing-page (3). None of them "
            "has been deployed yet.",
        ),
        Turn(
            "And how does todo-app stand?",
            ("project status 1",),
            "todo-app was created and has one port on web-1. Nothing is queued for it, and nothing is "
            "deployed.",
        ),
        Turn(
            "Does analytics have secrets?",
            ("secret list 2",),
            "No, analytics has no secrets.",
        ),
    ),
    before=PROJECTS,
)

DEPLOYING = Conversation(
    "create and deploy",
    (
        Turn(
            "Make a project shop from https://git.example.com/shop.git, please.",
            ("project create shop --repository-url https://git.example.com/shop.git",),
            "The project shop is there, its number is 1.",
            skill="project",
        ),
        Turn(
            "Put it online.",
            (
                "deploy check 1",
                "infra allocate 1",
                "deploy trigger 1",
            ),
            "shop has a port on web-1 now, and its deployment is queued. No worker has taken it yet; ask "
            "me again in a while.",
            skill="deploy",
            lines=(
                "deploy check 1 && deploy trigger 1",
                "infra allocate 1 && deploy trigger 1",
            ),
        ),
        Turn(
            "How far is it?",
            ("deploy list 1",),
            "It still waits in its queue: no worker has taken it yet.",
        ),
    ),
)

DIAGNOSING = Conversation(
    "diagnose",
    (
        Turn(
            "todo-app does not answer. What is wrong?",
            (
                "project list",
                "diagnose health",
                "project status 1",
                "deploy logs 1 --lines 100",
                "task list --project 1",
            ),
            "The platform itself is well. The deployment of todo-app is still queued: no worker has taken "
            "it, so nothing runs that could answer.",
            skill="diagnose",
        ),
        Turn(
            "Is that known? Tell somebody.",
            (
                "diagnose incidents --open",
                "search deployment",
                "escalate 'Deployments are not taken' --project 1 --description 'Queued, no worker'",
            ),
            "Nobody had reported it. I opened an incident, number 1.",
        ),
    ),
    before=(*PROJECTS, "deploy trigger 1"),
)

CONVERSATIONS = (LISTING, DEPLOYING, DIAGNOSING)
