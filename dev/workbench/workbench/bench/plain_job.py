"""The baseline: a run's own pod in a plain Job, with another command."""

from __future__ import annotations

import copy
import json
import time
import uuid
from dataclasses import dataclass

from agentsession_core import naming
from workbench.bench.ground import Body, Ground
from workbench.bench.processes import read_process

# The first instruction is bash's own; what comes after it only helps to read the container's clock.
COMMAND = (
    "bash",
    "-c",
    'echo "$EPOCHREALTIME"; exec python3 -I -c "$0"',
    "import json, os, time; boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME); "
    "print(json.dumps({'boot': boot, 'ticks': os.sysconf('SC_CLK_TCK'), "
    "'stat': open('/proc/1/stat').read()}))",
)


@dataclass(frozen=True)
class PlainStart:
    """One plain Job's start; Unix seconds."""

    job: str
    created: float
    process_made: float
    first_instruction: float


def plain_pod(run_pod: Body, claim: str) -> Body:
    """A run's pod spec with the bench's command on the bench's claim; everything else is kept."""
    spec = copy.deepcopy(run_pod)
    container = spec["containers"][0]
    container["command"] = list(COMMAND)
    container.pop("args", None)
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["claimName"] = claim
    return spec


def read_output(log: str) -> tuple[float, float]:
    """When the process was made and when its first instruction ran. Raises ValueError."""
    first, _, rest = log.strip().partition("\n")
    seen = json.loads(rest)
    made = read_process(seen["stat"], seen["boot"], seen["ticks"]).started_at
    # A locale may write the decimal point as a comma.
    return made, float(first.replace(",", "."))


class PlainJobs:
    """Starts plain Jobs like a run's."""

    def __init__(self, ground: Ground, run_pod: Body) -> None:
        self._ground = ground
        self._run_pod = run_pod

    def start(self, claim: str) -> PlainStart:
        """Starts one, waits for its end and removes it. Raises WorkbenchError."""
        ground = self._ground
        name = f"bench-plain-{uuid.uuid4().hex[:8]}"
        body = {
            "metadata": {"name": name, "labels": ground.label()},
            "spec": {
                "backoffLimit": 0,
                "parallelism": 1,
                "completions": 1,
                "template": {
                    "metadata": {"labels": ground.label()},
                    "spec": plain_pod(self._run_pod, claim),
                },
            },
        }
        created = time.time()
        ground.batch.create_namespaced_job(ground.namespace, body)
        selector = f"batch.kubernetes.io/job-name={name}"
        pod = ground.wait_pod(
            selector, "the end of its process", lambda p: p["status"].get("phase") == "Succeeded"
        )
        log = ground.core.read_namespaced_pod_log(
            pod["metadata"]["name"], ground.namespace, container=naming.RUNNER_CONTAINER
        )
        made, first = read_output(log)
        ground.batch.delete_namespaced_job(name, ground.namespace, propagation_policy="Background")
        ground.wait_no_pods(selector)
        return PlainStart(name, created, made, first)
