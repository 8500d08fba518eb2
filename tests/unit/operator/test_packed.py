"""Sessions at rest in little room."""

from __future__ import annotations

from typing import Any

from agentsession_core.api import AgentSession, Phase
from agentsession_operator.cache import Cache
from agentsession_operator.handlers import Handlers
from agentsession_operator.model import Key
from agentsession_operator.packed import pack
from agentsession_operator.workqueue import WorkQueue

ANNA, BEN = Key("agents", "anna"), Key("agents", "ben")


def body(name: str = "anna", version: str = "7", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "agents",
            "uid": f"uid-of-{name}",
            "generation": 3,
            "resourceVersion": version,
            "creationTimestamp": "2026-11-25T05:00:00Z",
            "labels": {"team": "blue"},
            "managedFields": [{"manager": "somebody", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"user": {"id": "42"}, "prompt": "Grüße, 世界 👋", **spec},
        "status": {"phase": "Suspended", "runs": 2, "lastActivityTime": "2026-11-25T05:01:00Z"},
    }


class Looks(WorkQueue):
    """Has no workers; counts what was added."""

    def __init__(self) -> None:
        self.added: list[Key] = []

    def add(self, key: Key) -> None:
        self.added.append(key)


def test_a_packed_session_comes_out_as_it_went_in() -> None:
    session = AgentSession.from_api(body())
    for packed in (pack(session, body()), pack(session)):
        assert packed.unpack().to_api() == session.to_api()


def test_what_is_asked_of_all_at_once_is_at_hand() -> None:
    packed = pack(AgentSession.from_api(body(mailbox="g1.t2", templateRef={"name": "blue"})))
    assert (packed.uid, packed.version) == ("uid-of-anna", "7")
    assert (packed.mailbox, packed.user, packed.template) == ("g1.t2", "42", "blue")
    assert packed.phase is Phase.SUSPENDED
    assert packed.created == 1_795_582_800.0


def test_a_session_is_at_rest_while_its_status_speaks_of_its_newest_spec() -> None:
    resting = body()
    resting["status"] |= {"observedGeneration": 3, "expirationTime": "2026-11-25T06:00:00Z"}
    packed = pack(AgentSession.from_api(resting))
    assert (packed.at_rest, packed.expires) == (True, packed.created + 3600)
    changes: list[dict[str, Any]] = [
        {"metadata": {**resting["metadata"], "generation": 4}},
        {"metadata": {**resting["metadata"], "deletionTimestamp": "2026-11-25T05:30:00Z"}},
        {"status": {**resting["status"], "phase": "Idle"}},
        {"status": {}},
    ]
    for change in changes:
        assert not pack(AgentSession.from_api({**resting, **change})).at_rest


def test_a_session_takes_a_small_part_of_what_the_api_server_says_of_it() -> None:
    words = " ".join(f"word{number % 50}" for number in range(2000))
    packed = pack(AgentSession.from_api(body(prompt=words)), body(prompt=words))
    assert len(packed.data) < len(words) / 4


def test_keys_are_walked_over_without_unpacking_anything() -> None:
    cache = Cache()
    cache.put_session(ANNA, AgentSession.from_api(body()))
    cache.put_session(BEN, AgentSession.from_api(body("ben", mailbox="b")))
    sessions = cache.sessions()
    cache.drop_session(BEN)
    assert (list(sessions), len(sessions), BEN in sessions) == ([ANNA, BEN], 2, True)
    assert sessions[BEN].metadata.name == "ben"
    assert list(cache.index()) == [ANNA]


def test_a_list_that_shows_a_session_unchanged_has_nobody_look_at_it() -> None:
    queue = Looks()
    handlers = Handlers(Cache(), queue)
    for version in ("7", "7", "8", "8"):
        handlers.session(body(version=version), deleted=False)
    assert queue.added == [ANNA, ANNA]
    again = body(version="8")
    again["metadata"]["uid"] = "another"
    handlers.session(again, deleted=False)
    assert len(queue.added) == 3


def test_a_list_that_shows_a_template_unchanged_has_nobody_look_at_its_sessions() -> None:
    queue, cache = Looks(), Cache()
    cache.put_session(ANNA, AgentSession.from_api(body()))
    handlers = Handlers(cache, queue)
    template: dict[str, Any] = {
        "metadata": {
            "name": "default",
            "namespace": "agents",
            "uid": "template-1",
            "resourceVersion": "1",
        },
        "spec": {},
    }
    handlers.template(template, deleted=False)
    handlers.template(template, deleted=False)
    assert queue.added == [ANNA]
    handlers.template({**template, "spec": {"instructions": "Be kind."}}, deleted=False)
    assert queue.added == [ANNA, ANNA]
