"""When plain Jobs' pods begin to run: the baseline that sessions are held against."""

from __future__ import annotations

import asyncio
import time

from agentsession_core import naming
from sessionload.api import Api, core_path
from sessionload.pods import MANAGED_BY_LOAD, running_pod
from sessionload.tracker import LateError

SECONDS = 300.0


class PlainPods:
    """Follows the pods of load's own Jobs."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._path = core_path(namespace, "pods")
        self._began: dict[str, asyncio.Future[float]] = {}

    async def run(self) -> None:
        """Follows until cancelled."""
        selector = f"{naming.LABEL_MANAGED_BY}={MANAGED_BY_LOAD}"
        async for change in self._api.watch(self._path, selector):
            job = change.body["metadata"]["labels"].get("batch.kubernetes.io/job-name", "")
            future = self._future(job)
            if running_pod(change.body) is not None and not future.done():
                future.set_result(time.time())

    async def first_instruction(self, job: str) -> float:
        """When the Job's process began: played pods begin when they are said to run. LateError."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._future(job)), SECONDS)
        except TimeoutError:
            raise LateError(f"Job {job}: no running pod within {SECONDS:.0f} s") from None
        finally:
            self._began.pop(job, None)

    def _future(self, job: str) -> asyncio.Future[float]:
        loop = asyncio.get_running_loop()
        return self._began.setdefault(job, loop.create_future())
