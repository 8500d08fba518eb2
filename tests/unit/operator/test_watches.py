from __future__ import annotations

from agentsession_operator.watches import Begun, Watches

JOBS, PODS = "/apis/batch/v1/namespaces/agents/jobs", "/api/v1/namespaces/agents/pods"


def lists(watches: Watches, path: str) -> Begun | None:
    return watches.requested(path, watch=False)


def watches_on(watches: Watches, path: str) -> Begun | None:
    return watches.requested(path, watch=True)


def test_the_watches_stand_when_the_last_has_read_its_list() -> None:
    watches = Watches(2)
    assert lists(watches, "/api/v1") is None, "kopf asks what kinds there are"
    assert lists(watches, JOBS) is None
    assert lists(watches, PODS) is None
    assert watches_on(watches, PODS) is Begun.FIRST
    assert lists(watches, JOBS) is None, "its second page, or another try"
    assert watches_on(watches, JOBS) is Begun.LAST


def test_a_watch_that_goes_on_has_missed_nothing() -> None:
    watches = Watches(1)
    lists(watches, JOBS)
    assert watches_on(watches, JOBS) is Begun.LAST
    assert watches_on(watches, JOBS) is None


def test_a_watch_that_lists_again_may_have_missed_a_deletion() -> None:
    watches = Watches(2)
    lists(watches, JOBS)
    watches_on(watches, JOBS)
    for _ in range(2):
        assert lists(watches, JOBS) is None
        assert watches_on(watches, JOBS) is Begun.ANEW
    lists(watches, PODS)
    assert watches_on(watches, PODS) is Begun.LAST
