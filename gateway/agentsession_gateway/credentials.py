"""The model API's real key: read here, sent upstream, nowhere else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import SecretStr

from agentsession_core import naming
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.settings import ANTHROPIC_API_KEY, ANTHROPIC_OAUTH_TOKEN, SecretFiles
from agentsession_core.ttl import TTLCache

SECRET_CACHE_SECONDS: Final = 30.0
DATA_FIELD: Final = "apiKey"
OAUTH_BETA: Final = "oauth-2025-04-20"


class NoCredentialsError(Exception):
    """There is no key to call the model API with; the message says where one is expected."""


class KeySource:
    """Finds the key of a session's model calls."""

    def __init__(self, files: SecretFiles, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._files = files
        self._cluster = cluster
        self._secrets: TTLCache[tuple[str, str], SecretStr] = TTLCache(
            SECRET_CACHE_SECONDS, 1000, clock
        )

    async def anthropic(self, namespace: str, secret: str | None) -> dict[str, str]:
        """Headers that authenticate at the Anthropic API: the template's key, else the gateway's.

        A template's key that cannot be used is an error: falling back would bill another key.
        Raises NoCredentialsError, ClusterUnavailableError.
        """
        if secret is not None:
            return {"x-api-key": (await self._of_template(namespace, secret)).get_secret_value()}
        key = self._files.read(ANTHROPIC_API_KEY)
        if key is not None:
            return {"x-api-key": key.get_secret_value()}
        token = self._files.read(ANTHROPIC_OAUTH_TOKEN)
        if token is not None:
            return {
                "authorization": f"Bearer {token.get_secret_value()}",
                "anthropic-beta": OAUTH_BETA,
            }
        raise NoCredentialsError(
            "the gateway has no model key; set gateway.models.anthropic.apiKey or .existingSecret"
        )

    async def _of_template(self, namespace: str, name: str) -> SecretStr:
        known = self._secrets.get((namespace, name))
        if known is None:
            body = await self._cluster.read(Resource.SECRET, namespace, name)
            known = key_of_secret(namespace, name, body)
            self._secrets.put((namespace, name), known)
        return known


def key_of_secret(namespace: str, name: str, body: Mapping[str, Any] | None) -> SecretStr:
    """The key in a template's credentials Secret. Raises NoCredentialsError."""
    if body is None:
        raise NoCredentialsError(f"the template's Secret {namespace}/{name} does not exist")
    labels = (body.get("metadata") or {}).get("labels") or {}
    if naming.LABEL_CREDENTIALS not in labels:
        # Else whoever may write templates could have the gateway send any Secret upstream.
        raise NoCredentialsError(
            f"the template's Secret {namespace}/{name} lacks the label {naming.LABEL_CREDENTIALS}"
        )
    encoded = (body.get("data") or {}).get(DATA_FIELD)
    try:
        value = base64.b64decode(encoded or "", validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        value = ""
    if not value:
        raise NoCredentialsError(
            f"the template's Secret {namespace}/{name} has no usable value at {DATA_FIELD}"
        )
    return SecretStr(value)
