from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core import naming

names = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?\Z")
runs = st.integers(min_value=1, max_value=999_999_999)


@given(names, runs)
def test_everything_derived_from_a_name_fits_a_label(name: str, run: int) -> None:
    for derived in (naming.job_name(name, run), naming.volume_claim_name(name)):
        assert len(derived) <= 63
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", derived)


@given(names, runs)
def test_run_number_is_read_back(name: str, run: int) -> None:
    assert naming.run_number(name, naming.job_name(name, run)) == run


@pytest.mark.parametrize(
    "job", ["anna", "anna-r", "anna-r0", "anna-r01", "anna-rx", "annab-r1", "ann-r1"]
)
def test_other_names_are_no_runs(job: str) -> None:
    assert naming.run_number("anna", job) is None


def test_a_run_of_a_session_whose_name_begins_alike_is_not_ours() -> None:
    assert naming.run_number("anna", naming.job_name("anna-r1", 2)) is None
