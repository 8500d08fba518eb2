"""Which claims and Jobs nobody owns any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_operator.cache import Cache
from agentsession_operator.model import ClaimView, JobView, Key
from agentsession_operator.orphans import find_orphans
from agentsession_testing.operator_worlds import UID, make_claim, make_job, make_session

ANNA = Key("agents", "anna")
OWNED = replace(make_claim(), owner_uid="earlier")
OF_EARLIER = make_job(1, session_uid="earlier")


def cache(*, claim: ClaimView | None = None, job: JobView | None = None) -> Cache:
    found = Cache()
    if claim:
        found.claims.put(ANNA, claim.name, claim)
    if job:
        found.jobs.put(ANNA, job.name, job)
    return found


@pytest.mark.parametrize("is_followed", [False, True])
def test_what_a_session_that_is_gone_has_left(is_followed: bool) -> None:
    found = cache(claim=OWNED, job=OF_EARLIER)
    if is_followed:
        found.put_session(ANNA, make_session())
    orphans = {(orphan.kind, orphan.name, orphan.owner) for orphan in find_orphans(found)}
    assert orphans == {("claim", OWNED.name, "earlier"), ("job", OF_EARLIER.name, "earlier")}


@pytest.mark.parametrize(
    "left",
    [
        cache(claim=replace(OWNED, owner_uid=None)),
        cache(claim=replace(OWNED, deleting=True)),
        cache(job=replace(OF_EARLIER, deleting=True)),
        # Not made by us, or not any more.
        cache(job=replace(OF_EARLIER, session_uid="")),
        cache(claim=replace(OWNED, owner_uid=UID), job=make_job(1)),
    ],
)
def test_what_is_kept_owned_or_on_its_way(left: Cache) -> None:
    left.put_session(ANNA, make_session())
    assert list(find_orphans(left)) == []
