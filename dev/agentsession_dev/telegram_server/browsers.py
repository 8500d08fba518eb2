"""Which browsers' pages may call the stand-in: its own, at this machine's own name.

The page has no password. Whoever is on the port acts for anyone, but a page of somewhere else, open in
the same browser, must not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_FRIENDLY_SITES = frozenset({"same-origin", "none"})


class OwnPageAlone:
    """Refuses with 403 what another site's page sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        reason = refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        if reason is None:
            await self._app(scope, receive, send)
        else:
            refused = JSONResponse({"ok": False, "description": reason}, 403)
            await refused(scope, receive, send)


def refusal(headers: Mapping[str, str]) -> str | None:
    """Return why a request is refused, or None. Header names are lower case.

    What no browser sent has neither header, and passes.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and site is None:
        return None
    host = headers.get("host", "")
    if not _is_own(host):
        # A name of somebody else that leads here: what asks is that somebody's page.
        return f"open the page as localhost or by an address, not as {host}"
    if origin is not None and urlsplit(origin).netloc != host:
        return "another site's page may not call this one"
    if site is not None and site not in _FRIENDLY_SITES:
        return "another site's page may not call this one"
    return None


def _is_own(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
