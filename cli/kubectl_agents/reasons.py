"""What to do about each reason in a session's conditions. A test holds it to the API's closed list."""

from __future__ import annotations

from typing import Final

# Parts of an ordinary life: nothing is to be done.
ORDINARY: Final = frozenset(
    {
        "Valid",
        "RunnerConnected",
        "NothingToDo",
        "WaitingForWorkspace",
        "WaitingForPod",
        "WaitingForRunner",
        "PreviousRunEnding",
        "NotAccepted",
        "Terminating",
        "TurnRunning",
        "WaitingForInput",
        "NoRun",
        "Idle",
        "NeverStarted",
        "Draining",
        "Exporting",
        "Awake",
        "VolumeBound",
        "VolumePending",
        "NotCreated",
        "Healthy",
        "Outdated",
        "RunDeadlineNear",
        "Yielded",
        "LifetimeOver",
    }
)

_DESCRIBE = "kubectl describe agentsession {name} has the whole story."
_LOGS = "kubectl logs of the run's pod ({pod}) says more."
_MODEL = "Mend it at the model's side or in the template, then send the message again."

ADVICE: Final[dict[str, str]] = {
    "TemplateNotFound": "Create that template; the session goes on by itself.",
    "InvalidIdlePolicy": "Set both times in spec.idlePolicy.",
    "InvalidRunPolicy": "Set both times in spec.run.",
    "ResourcesTooLarge": "Ask for less in spec.pod.resources, or raise the template's maxResources.",
    "AgentTypePinned": "Nothing, if the old agent is fine; else make a new session.",
    "AgentTypeUnavailable": "Set an image in the template or in the chart's values.",
    "SkillsUnfit": "Mend the ConfigMaps that it names; the next run reads them anew.",
    "ModelNotAllowed": "Choose a model from the template's list.",
    "BackingOff": "It tries again by itself.",
    "MailboxTaken": "Delete the session that has the mailbox, or give this one another.",
    "Queued": "It starts when a place is free; if there never is one, raise maxConcurrentRuns.",
    "ImagePullFailed": "Mend the image's name or its pull secret; the kubelet tries again by itself.",
    "Unschedulable": "Make room on a node, or ask for less; it starts when a node takes it.",
    "QuotaExceeded": "Raise the namespace's quota, or delete other sessions; it tries again by itself.",
    "PodRefused": "Change what refuses the pod, or the template; it tries again by itself.",
    "ContainerCannotStart": "Create the Secret or ConfigMap it names; the kubelet tries again by itself.",
    "NodeLost": "Bring the node back. If it is off for good, delete the node object.",
    "RunFailed": _LOGS,
    "RunOutOfMemory": "Raise spec.pod.resources.limits.memory.",
    "RunDeadlineExceeded": "Raise spec.run.activeDeadlineSeconds.",
    "RunEvicted": "Raise the limit that the message names, or use less of it.",
    "RunnerSilent": _LOGS,
    "SuspendedByUser": "kubectl agents resume {name} wakes it; messages wait until then.",
    "VolumeStuck": "kubectl describe pvc {name}-workspace says what the storage waits for.",
    "VolumeRefused": "Change the template's workspace to what the API server accepts.",
    "VolumeLost": "Restore the volume, or delete the claim {name}-workspace to begin with an empty one.",
    "StorageClassNotFound": "Create the StorageClass, or name another in the template.",
    "WorkspaceConflict": "Delete the claim {name}-workspace of the other user, or rename the session.",
    "PreviousWorkspaceTerminating": "Wait: it starts when the old claim has gone.",
    "ModelAuthenticationFailed": "Replace the model's key (Secret of the release or the template's).",
    "ModelUnavailable": "Send the message again when the model answers.",
    "ModelRefused": _MODEL,
    "ModelBillingFailed": "Pay the model's account, then send the message again.",
    "ModelNotFound": "Choose another model in the session or its template.",
    "ModelRateLimited": "Wait, then send the message again.",
    "ConversationTooLong": "kubectl agents new {name} begins a new conversation; files stay.",
    "DeadLettered": "Mend the cause that the message names, then send it again.",
    "TurnFailed": "Send the message again.",
    "TurnTimedOut": "Raise spec.run.turnTimeoutSeconds, or ask for less at once.",
    "WorkspaceFull": "Ask the agent to delete files, or give it a larger volume.",
    "WorkspaceReadOnly": "Ask whoever runs the storage: the volume takes no writes.",
    "RedisUnavailable": "Bring Redis back; nothing is suspended or deleted meanwhile.",
    "RedisStateLost": "Messages that had no answer are lost: send them again.",
}


def advice(reason: str, name: str, pod: str) -> str:
    """The next thing to do; a reason of a newer release gets the general one."""
    if reason in ORDINARY:
        return ""
    return ADVICE.get(reason, _DESCRIBE).format(name=name, pod=pod or "see kubectl get pods")
