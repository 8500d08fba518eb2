"""What the operator must be allowed in every session namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from agentsession_core import naming

_WATCH: Final = ("list", "watch")
# Group, resource, verbs. The chart's Role has them all (a test compares).
NEEDED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (naming.GROUP, naming.SESSION_PLURAL, ("get", *_WATCH, "delete")),
    (naming.GROUP, f"{naming.SESSION_PLURAL}/status", ("patch",)),
    (naming.GROUP, naming.TEMPLATE_PLURAL, _WATCH),
    ("batch", "jobs", ("get", *_WATCH, "create", "delete")),
    ("", "pods", _WATCH),
    ("", "persistentvolumeclaims", ("get", *_WATCH, "create", "patch")),
    ("", "events", ("create", "list")),
)


def missing_rights(rules: Iterable[Mapping[str, Any]]) -> list[str]:
    """The needed rights that no rule of a SelfSubjectRulesReview grants, as `kubectl auth can-i`
    takes them: `create jobs.batch`."""
    granted = [rule for rule in rules if not rule.get("resourceNames")]
    return [
        f"{verb} {resource}.{group}".rstrip(".")
        for group, resource, verbs in NEEDED
        for verb in verbs
        if not any(
            _fits(rule.get("apiGroups"), group)
            and _fits(rule.get("resources"), resource)
            and _fits(rule.get("verbs"), verb)
            for rule in granted
        )
    ]


def _fits(given: Iterable[str] | None, wanted: str) -> bool:
    names = set(given or ())
    # `*/status` is every kind's.
    parts = {f"*/{part}" for _, _, part in [wanted.partition("/")] if part}
    return bool(names & {wanted, "*", *parts})
