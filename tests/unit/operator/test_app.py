"""What kopf is told not to do."""

from __future__ import annotations

import kopf

from agentsession_operator.app import configure


class Watched(dict[str, object]):
    """An object of ten thousand: whoever copies it is caught."""

    def __deepcopy__(self, memo: dict[int, object]) -> Watched:
        raise AssertionError("copied")


def test_kopf_remembers_and_copies_nothing_of_an_object() -> None:
    settings = kopf.OperatorSettings()
    configure(settings, 70.0)
    body = kopf.Body(kopf.RawBody(metadata={"labels": {}}, spec=Watched()))
    storage = settings.persistence.diffbase_storage
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None
