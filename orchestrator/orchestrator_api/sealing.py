"""Secrets at rest: AES-256-GCM with a key that the database does not have."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

NONCE_BYTES: Final = 12
ID_BYTES: Final = 4


class SealError(Exception):
    """A key or a sealed value cannot be used; the message never holds either."""


class Sealer:
    """Seals with the first key, opens with any: a new key goes first, the old ones stay."""

    def __init__(self, keys: SecretStr) -> None:
        """`keys`: one a line, each 32 bytes in base64. Raises SealError."""
        found = [_key(line) for line in keys.get_secret_value().split()]
        if not found:
            raise SealError("there is no encryption key")
        self._keys = {_id(key): AESGCM(key) for key in found}
        self._first = _id(found[0])
        self._fingerprints = hashlib.sha256(b"fingerprint" + found[0]).digest()

    def seal(self, value: str, place: str) -> bytes:
        """The sealed value; it can be opened for the same place only."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, value.encode(), place.encode())
        return self._first + nonce + sealed

    def open(self, sealed: bytes, place: str) -> str:
        """The value. Raises SealError when it was sealed for another place or with a lost key."""
        key = self._keys.get(sealed[:ID_BYTES])
        if key is None:
            raise SealError("it was sealed with a key that is not there any more")
        nonce, rest = sealed[ID_BYTES : ID_BYTES + NONCE_BYTES], sealed[ID_BYTES + NONCE_BYTES :]
        try:
            return key.decrypt(nonce, rest, place.encode()).decode()
        except InvalidTag:
            raise SealError("it was sealed for another place") from None

    def fingerprint(self, text: str) -> str:
        """The same for the same text only; says nothing about it to whoever has no key."""
        return hmac.new(self._fingerprints, text.encode(), hashlib.sha256).hexdigest()


def _key(line: str) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise SealError("an encryption key is 32 bytes in base64: openssl rand -base64 32")
    return key


def _id(key: bytes) -> bytes:
    return hashlib.sha256(b"id" + key).digest()[:ID_BYTES]
