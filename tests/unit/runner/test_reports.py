from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_runner.reports import (
    CUT_MARK,
    ERROR_MESSAGE_LIMIT,
    RESULT_LIMIT_BYTES,
    Problem,
    TurnReport,
    encode,
    fit_text,
    result_object,
    split_text,
    well_formed,
)

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=300)


@given(text=TEXTS, limit=st.integers(min_value=60, max_value=400))
def test_a_cut_text_fits_and_is_marked(text: str, limit: int) -> None:
    cut = fit_text(text, limit, " [cut]")
    assert len(json.dumps(cut, ensure_ascii=False).encode()) <= limit
    assert cut == text or (cut.endswith(" [cut]") and text.startswith(cut.removesuffix(" [cut]")))


@given(text=TEXTS, limit=st.integers(min_value=20, max_value=100))
def test_pieces_fit_and_make_the_whole(text: str, limit: int) -> None:
    pieces = split_text(text, limit)
    assert "".join(pieces) == text
    assert all(len(json.dumps(piece, ensure_ascii=False).encode()) <= limit for piece in pieces)


@pytest.mark.parametrize("text", ["x" * 3_000_000, "\x01" * 2_000_000, "🙂" * 1_000_000])
def test_a_result_never_exceeds_its_limit(text: str) -> None:
    problem = Problem("c" * 500, "ü" * 100_000)
    content = result_object(TurnReport("Failed", text, "id", problem))
    assert len(encode(content)) <= RESULT_LIMIT_BYTES
    assert content["text"].endswith(CUT_MARK)
    assert len(content["error"]["message"]) == ERROR_MESSAGE_LIMIT
    assert len(content["error"]["code"]) == 64


def test_half_pairs_are_replaced() -> None:
    assert well_formed("a\ud83dz") == "a?z"
    assert encode(result_object(TurnReport("Succeeded", "\ud83d")))
