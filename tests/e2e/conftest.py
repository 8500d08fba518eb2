from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from agentsession_testing.cluster import ModelServer, Names, Product
from agentsession_testing.release import Upgrade, upgradable


@pytest.fixture(scope="session")
def product() -> Product:
    """The installation under test; `make test` makes it and names it."""
    if "AGENTSESSION_TEST_NAMES" not in os.environ:
        pytest.fail("no installation to test: run `make test ARGS='tests/e2e ...'`", pytrace=False)
    return Product(Names.from_environment())


@pytest.fixture(scope="session")
def model_server(product: Product) -> Iterator[ModelServer]:
    with product.port_forward(f"svc/{product.names.release}-model-server", 8080) as url:
        server = ModelServer(url)
        yield server
        server.close()


@pytest.fixture
def new_name(product: Product, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Names for sessions, deleted after the test (kept for a look when it failed)."""
    made: list[str] = []

    def make(prefix: str) -> str:
        made.append(f"{prefix}-{uuid.uuid4().hex[:6]}")
        return made[-1]

    yield make
    if made and not getattr(request.node, "failed", False):
        product.kubectl("delete", "agentsession", *made, "--ignore-not-found", "--wait=false")


@pytest.fixture
def upgraded(product: Product) -> Iterator[Upgrade]:
    """Upgrades the release under test with some values; it is put back afterwards."""
    with upgradable(product.names) as upgrade:
        yield upgrade


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
