"""If-Match and If-None-Match (RFC 9110, 13.1): whether a caller speaks of the version that there is."""

from __future__ import annotations

_WEAK = "W/"


def may_change(if_match: str | None, etag: str) -> bool:
    """Whether what has that strong ETag may be changed: no condition, any version, or one of those named.

    A weak tag never does: it does not say that a version is the very same.
    """
    return if_match is None or if_match.strip() == "*" or etag in _tags(if_match)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has that version already; proxies that pack answers make tags weak."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag in {tag.removeprefix(_WEAK) for tag in _tags(if_none_match)}


def _tags(header: str) -> set[str]:
    # Ours have no comma in them.
    return {tag.strip() for tag in header.split(",")}
