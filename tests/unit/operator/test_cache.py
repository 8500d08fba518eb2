from __future__ import annotations

from agentsession_core.api import AgentSession
from agentsession_operator.cache import Cache
from agentsession_operator.model import Key
from agentsession_testing.operator_worlds import make_session

ANNA, BEN = Key("agents", "anna"), Key("agents", "ben")


def session(name: str, uid: str, age: float = 10, mailbox: str = "m") -> AgentSession:
    return make_session(age=age, mailbox=mailbox, metadata={"name": name, "uid": uid})


def test_the_oldest_session_holds_the_mailbox_then_the_smaller_uid() -> None:
    cache = Cache()
    cache.put_session(ANNA, session("anna", "b", age=10))
    cache.put_session(BEN, session("ben", "a", age=20))
    assert cache.mailbox_holder("m") == BEN
    cache.put_session(BEN, session("ben", "a", age=10))
    assert cache.mailbox_holder("m") == BEN
    cache.drop_session(BEN)
    assert cache.mailbox_holder("m") == ANNA
    cache.drop_session(ANNA)
    assert cache.mailbox_holder("m") is None


def test_the_heir_of_a_mailbox_sees_that_it_is_not_cleaned_up_yet() -> None:
    cache = Cache()
    cache.put_session(ANNA, session("anna", "old"))
    cache.put_session(BEN, session("ben", "new"))
    cache.drop_session(ANNA)
    assert cache.gone(BEN, "m") == [("m", "old")]
    assert cache.gone(ANNA, None) == [("m", "old")]
    cache.forget_gone("m", "old")
    assert cache.gone(BEN, "m") == []


def test_a_session_recreated_under_its_name_is_another_one() -> None:
    cache = Cache()
    cache.put_session(ANNA, session("anna", "old"))
    cache.put_session(ANNA, session("anna", "new"))
    assert cache.gone(ANNA, "m") == [("m", "old")]
    assert cache.mailbox_holder("m") == ANNA


def test_sessions_of_a_template_by_name_and_by_default() -> None:
    cache = Cache()
    named = make_session(templateRef={"name": "blue"})
    cache.put_session(ANNA, named)
    cache.put_session(BEN, session("ben", "b"))
    assert cache.sessions_of_template(Key("agents", "blue")) == [ANNA]
    assert cache.sessions_of_template(Key("agents", "default")) == [BEN]
    assert cache.sessions_of_template(Key("elsewhere", "default")) == []
