"""The closed sets of values in the API."""

from __future__ import annotations

from enum import StrEnum


class AgentType(StrEnum):
    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    DROID = "droid"


class ProcessMode(StrEnum):
    PERSISTENT = "Persistent"
    PER_TURN = "PerTurn"


class OperatingMode(StrEnum):
    RUNNING = "Running"
    SUSPENDED = "Suspended"


class Network(StrEnum):
    NONE = "None"
    INTERNET = "Internet"


class WhenDeleted(StrEnum):
    DELETE = "Delete"
    RETAIN = "Retain"


class Approvals(StrEnum):
    DESTRUCTIVE = "Destructive"
    ALL = "All"


class Phase(StrEnum):
    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    IDLE = "Idle"
    WORKING = "Working"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    FAILED = "Failed"
    TERMINATING = "Terminating"


class LaunchType(StrEnum):
    COLD = "cold"
    RESUME = "resume"
    WARM = "warm"


class TurnOutcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    MODEL_ERROR = "ModelError"
    DEAD_LETTERED = "DeadLettered"


class ConditionType(StrEnum):
    ACCEPTED = "Accepted"
    READY = "Ready"
    ACTIVE = "Active"
    SUSPENDED = "Suspended"
    WORKSPACE_READY = "WorkspaceReady"
    DEGRADED = "Degraded"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition has its status. Closed: alerts, docs and people rely on these words."""

    # Accepted
    VALID = "Valid"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    INVALID_IDLE_POLICY = "InvalidIdlePolicy"
    INVALID_RUN_POLICY = "InvalidRunPolicy"
    RESOURCES_TOO_LARGE = "ResourcesTooLarge"
    AGENT_TYPE_PINNED = "AgentTypePinned"
    AGENT_TYPE_UNAVAILABLE = "AgentTypeUnavailable"
    MODEL_NOT_ALLOWED = "ModelNotAllowed"
    SKILLS_UNFIT = "SkillsUnfit"
    # Ready
    RUNNER_CONNECTED = "RunnerConnected"
    NOTHING_TO_DO = "NothingToDo"
    WAITING_FOR_WORKSPACE = "WaitingForWorkspace"
    WAITING_FOR_POD = "WaitingForPod"
    WAITING_FOR_RUNNER = "WaitingForRunner"
    PREVIOUS_RUN_ENDING = "PreviousRunEnding"
    QUEUED = "Queued"
    BACKING_OFF = "BackingOff"
    NOT_ACCEPTED = "NotAccepted"
    MAILBOX_TAKEN = "MailboxTaken"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    NODE_LOST = "NodeLost"
    RUN_FAILED = "RunFailed"
    RUN_OUT_OF_MEMORY = "RunOutOfMemory"
    RUN_DEADLINE_EXCEEDED = "RunDeadlineExceeded"
    RUN_EVICTED = "RunEvicted"
    RUNNER_SILENT = "RunnerSilent"
    RUN_DEADLINE_NEAR = "RunDeadlineNear"
    OUTDATED = "Outdated"
    TERMINATING = "Terminating"
    # Active
    TURN_RUNNING = "TurnRunning"
    WAITING_FOR_INPUT = "WaitingForInput"
    NO_RUN = "NoRun"
    # Suspended
    IDLE = "Idle"
    YIELDED = "Yielded"
    NEVER_STARTED = "NeverStarted"
    SUSPENDED_BY_USER = "SuspendedByUser"
    LIFETIME_OVER = "LifetimeOver"
    DRAINING = "Draining"
    EXPORTING = "Exporting"
    AWAKE = "Awake"
    # WorkspaceReady
    VOLUME_BOUND = "VolumeBound"
    VOLUME_PENDING = "VolumePending"
    VOLUME_STUCK = "VolumeStuck"
    VOLUME_REFUSED = "VolumeRefused"
    VOLUME_LOST = "VolumeLost"
    STORAGE_CLASS_NOT_FOUND = "StorageClassNotFound"
    NOT_CREATED = "NotCreated"
    WORKSPACE_CONFLICT = "WorkspaceConflict"
    PREVIOUS_WORKSPACE_TERMINATING = "PreviousWorkspaceTerminating"
    # Degraded
    HEALTHY = "Healthy"
    MODEL_AUTHENTICATION_FAILED = "ModelAuthenticationFailed"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    MODEL_REFUSED = "ModelRefused"
    MODEL_BILLING_FAILED = "ModelBillingFailed"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_RATE_LIMITED = "ModelRateLimited"
    CONVERSATION_TOO_LONG = "ConversationTooLong"
    TURN_FAILED = "TurnFailed"
    WORKSPACE_FULL = "WorkspaceFull"
    WORKSPACE_READ_ONLY = "WorkspaceReadOnly"
    TURN_TIMED_OUT = "TurnTimedOut"
    DEAD_LETTERED = "DeadLettered"
    REDIS_UNAVAILABLE = "RedisUnavailable"
    REDIS_STATE_LOST = "RedisStateLost"
