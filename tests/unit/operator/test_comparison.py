"""The cache against lists, while watches go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agentsession_core import naming
from agentsession_operator import comparison as module
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Page
from agentsession_operator.cluster_errors import UnavailableError
from agentsession_operator.comparison import Comparison
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Body, Key
from agentsession_operator.workqueue import WorkQueue
from agentsession_testing.operator_worlds import make_claim, make_job, make_session
from agentsession_testing.serving import until_true

ANNA, BEN = Key("agents", "anna"), Key("agents", "ben")


class ListedCluster:
    """Answers lists by the last part of their path; `meanwhile` happens while a list is read."""

    def __init__(self) -> None:
        self.listed: dict[str, list[Body]] = {}
        self.meanwhile: dict[str, Callable[[], None]] = {}
        self.failures: list[Exception] = []
        self.lists = 0

    async def list_pages(self, path: str, *, ours_only: bool) -> AsyncIterator[Page]:
        plural = path.rpartition("/")[2]
        assert ours_only != plural.startswith("agentsession")
        self.lists += 1
        if self.failures:
            raise self.failures.pop()
        bodies = self.listed.get(plural, [])
        self.meanwhile.pop(plural, lambda: None)()
        yield Page(bodies, begins_anew=True)


class RecordingQueue(WorkQueue):
    """Has no workers; remembers what was added."""

    def __init__(self) -> None:
        self.looked: list[Key] = []

    def add(self, key: Key) -> None:
        self.looked.append(key)


class Stage:
    def __init__(self) -> None:
        self.cache, self.cluster, self.queue = Cache(), ListedCluster(), RecordingQueue()
        self.handlers = Handlers(self.cache, self.queue)
        self.comparison = Comparison(
            self.cache,
            self.cluster,  # type: ignore[arg-type]
            self.queue,
            self.handlers,
            ("agents",),
        )


@pytest.fixture
def stage() -> Stage:
    return Stage()


def session_body(name: str, uid: str | None = None, **metadata: Any) -> Body:
    base = {
        "name": name,
        "namespace": "agents",
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": "1",
        **metadata,
    }
    return {"metadata": base, "spec": {"user": {"id": name}}}


def job_body(session: str, name: str) -> Body:
    owner = {"kind": naming.SESSION_KIND, "name": session, "uid": f"uid-of-{session}"}
    return {
        "metadata": {
            "name": name,
            "namespace": "agents",
            "uid": f"uid-of-{name}",
            "labels": {naming.LABEL_SESSION: session},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "status": {},
    }


async def test_a_deletion_that_no_watch_reported_is_noticed(stage: Stage) -> None:
    stage.cache.put_session(ANNA, make_session())
    stage.cache.jobs.put(ANNA, "anna-r1", make_job())
    stage.cache.claims.put(ANNA, "anna-workspace", make_claim())
    await stage.comparison.run()
    assert stage.cache.session(ANNA) is None
    assert stage.cache.children(ANNA).jobs == ()
    assert stage.cache.children(ANNA).claim is None
    assert ANNA in stage.queue.looked


async def test_what_no_watch_reported_is_found(stage: Stage) -> None:
    stage.cluster.listed["agentsessions"] = [session_body("anna")]
    await stage.comparison.run()
    assert stage.cache.session(ANNA) is not None
    assert stage.queue.looked == [ANNA]


async def test_other_namespaces_are_left_alone(stage: Stage) -> None:
    elsewhere = Key("elsewhere", "anna")
    stage.cache.put_session(elsewhere, make_session())
    await stage.comparison.run()
    assert stage.cache.session(elsewhere) is not None


async def test_one_that_is_made_while_the_list_is_read_is_not_missing(stage: Stage) -> None:
    def made() -> None:
        stage.handlers.session(session_body("anna"), deleted=False)
        stage.handlers.job(job_body("anna", "anna-r1"), deleted=False)

    stage.cluster.meanwhile["agentsessions"] = made
    await stage.comparison.run()
    assert stage.cache.session(ANNA) is not None
    assert stage.cache.gone(ANNA, "anna") == [], "or its mailbox would be emptied"


async def test_one_that_is_deleted_while_the_list_is_read_does_not_come_back(stage: Stage) -> None:
    stage.handlers.session(session_body("anna"), deleted=False)
    stage.handlers.job(job_body("anna", "anna-r1"), deleted=False)
    stage.cluster.listed = {
        "agentsessions": [session_body("anna"), session_body("ben")],
        "jobs": [job_body("anna", "anna-r1")],
    }
    stage.cluster.meanwhile = {
        "agentsessions": lambda: stage.handlers.session(session_body("anna"), deleted=True),
        "jobs": lambda: stage.handlers.job(job_body("anna", "anna-r1"), deleted=True),
    }
    await stage.comparison.run()
    assert list(stage.cache.sessions()) == [BEN]
    assert stage.cache.children(ANNA).jobs == ()


async def test_one_that_is_replaced_while_the_list_is_read_is_the_new_one(stage: Stage) -> None:
    stage.handlers.session(session_body("anna", "old"), deleted=False)
    stage.cluster.listed["agentsessions"] = []

    def replaced() -> None:
        stage.handlers.session(session_body("anna", "old"), deleted=True)
        stage.handlers.session(session_body("anna", "new"), deleted=False)

    stage.cluster.meanwhile["agentsessions"] = replaced
    await stage.comparison.run()
    session = stage.cache.session(ANNA)
    assert session is not None
    assert session.metadata.uid == "new"
    assert stage.cache.gone(ANNA, "anna") == [("anna", "old")]


async def test_what_a_watch_told_meanwhile_is_newer_than_the_list(stage: Stage) -> None:
    stage.cluster.listed["agentsessions"] = [session_body("anna", resourceVersion="1")]
    stage.cluster.meanwhile["agentsessions"] = lambda: stage.handlers.session(
        session_body("anna", resourceVersion="2"), deleted=False
    )
    await stage.comparison.run()
    session = stage.cache.session(ANNA)
    assert session is not None
    assert session.metadata.resource_version == "2"


async def test_a_template_that_went_unseen_has_its_sessions_looked_at(stage: Stage) -> None:
    stage.handlers.session(session_body("anna"), deleted=False)
    template = {"metadata": {"name": "default", "namespace": "agents", "uid": "t"}, "spec": {}}
    stage.handlers.template(template, deleted=False)
    stage.cluster.listed["agentsessions"] = [session_body("anna")]
    stage.queue.looked.clear()
    await stage.comparison.run()
    assert stage.cache.template(Key("agents", "default")) is None
    assert ANNA in stage.queue.looked


async def test_it_is_done_soon_after_it_was_asked_for_and_again_if_it_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    stage.cluster.failures = [UnavailableError(503, "starting")]
    stage.cluster.listed["agentsessions"] = [session_body("anna")]
    errors: list[Exception] = []
    task = asyncio.create_task(stage.comparison.when_asked(errors.append))
    for _ in range(3):
        stage.comparison.ask()
    await until_true(lambda: stage.cluster.lists == 1 + 5, "a failed list and all five")
    task.cancel()
    assert stage.cache.session(ANNA) is not None
    assert [type(error) for error in errors] == [UnavailableError]
