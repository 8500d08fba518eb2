"""Every name the product gives to something in a cluster, as pure functions.

Kubernetes limits a name used as a label value or host name to 63 characters; a session's name is
limited to 50 in the CRD so that every name derived from it fits (`tests/unit/core/test_naming.py`).
"""

from __future__ import annotations

import re
from typing import Final

GROUP: Final = "agentsession.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

SESSION_KIND: Final = "AgentSession"
SESSION_PLURAL: Final = "agentsessions"
TEMPLATE_KIND: Final = "AgentSessionTemplate"
TEMPLATE_PLURAL: Final = "agentsessiontemplates"
DEFAULT_TEMPLATE: Final = "default"

# For people and selectors only: whoever may create pods can set any label, so no right follows from one.
LABEL_SESSION: Final = f"{GROUP}/session"
LABEL_SESSION_UID: Final = f"{GROUP}/session-uid"
LABEL_USER: Final = f"{GROUP}/user"
LABEL_RUN: Final = f"{GROUP}/run"
# Which kind of agent the bridge gave to a person: cli-agent or other.
LABEL_ROUTE: Final = f"{GROUP}/route"
LABEL_CREDENTIALS: Final = f"{GROUP}/credentials"
# On run pods only; the chart's NetworkPolicies select by it (docs/adr/0003).
LABEL_NETWORK: Final = f"{GROUP}/network"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "agentsession-operator"

ANNOTATION_SCHEMA_VERSION: Final = f"{GROUP}/schema-version"
ANNOTATION_CONFIG_HASH: Final = f"{GROUP}/config-hash"

# On ServiceAccount agentsession-cli of a session namespace: where `kubectl agents` finds the gateway.
ANNOTATION_GATEWAY: Final = f"{GROUP}/gateway"

RUNNER_SERVICE_ACCOUNT: Final = "agentsession-runner"
# Whoever may ask for its tokens may talk to the sessions of its namespace (docs/adr/0009).
CLI_SERVICE_ACCOUNT: Final = "agentsession-cli"
RUNNER_CONTAINER: Final = "agent"
OPERATOR_FIELD_MANAGER: Final = "agentsession-operator"

AUDIENCE_GATEWAY: Final = "agentsession-gateway"
AUDIENCE_TERMINAL: Final = "agentsession-terminal"
AUDIENCE_ORCHESTRATOR: Final = "orchestrator-api"
# The gateway's own, for the files that the bridge fetches (docs/adr/0013).
AUDIENCE_BRIDGE: Final = "agentsession-bridge"
BRIDGE_TOKEN_FILE: Final = "/var/run/secrets/agentsession.dev/bridge/token"
TOKEN_DIRECTORY: Final = "/var/run/secrets/agentsession.dev/gateway"
TOKEN_FILE: Final = f"{TOKEN_DIRECTORY}/token"
ORCHESTRATOR_TOKEN_DIRECTORY: Final = "/var/run/secrets/agentsession.dev/orchestrator"
ORCHESTRATOR_TOKEN_FILE: Final = f"{ORCHESTRATOR_TOKEN_DIRECTORY}/token"
WORKSPACE: Final = "/workspace"

# The mailbox of a task's agent; its runs have a share of their own.
TASK_MAILBOX_PREFIX: Final = "task-"

SESSION_NAME_LIMIT: Final = 50
IDENTIFIER_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"

_RUN_SUFFIX = re.compile(r"^-r([1-9][0-9]{0,8})$")


def job_name(session: str, run: int) -> str:
    """Name of the Job that carries run number `run` (from 1) of a session."""
    return f"{session}-r{run}"


def run_number(session: str, job: str) -> int | None:
    """The run number in a Job's name, or None when the Job is not named like one of the session's."""
    if not job.startswith(session):
        return None
    match = _RUN_SUFFIX.match(job[len(session) :])
    return int(match.group(1)) if match else None


def volume_claim_name(session: str) -> str:
    """Name of the PersistentVolumeClaim that holds a session's workspace."""
    return f"{session}-workspace"


def run_id(session_uid: str, run: int) -> str:
    """The identity of a run, as Redis and the runner protocol carry it."""
    return f"{session_uid}/{run}"


def is_task(mailbox: str) -> bool:
    """Whether the mailbox is that of an engineering task, not of a chat."""
    return mailbox.startswith(TASK_MAILBOX_PREFIX)


def run_labels(session: str, session_uid: str, user: str, run: int) -> dict[str, str]:
    """Labels of a Job and its pod."""
    return {**workspace_labels(session, session_uid, user), LABEL_RUN: str(run)}


def workspace_labels(session: str, session_uid: str, user: str) -> dict[str, str]:
    """Labels of everything that belongs to a session."""
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_SESSION: session,
        LABEL_SESSION_UID: session_uid,
        LABEL_USER: user,
    }
