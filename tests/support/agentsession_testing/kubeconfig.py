"""Access to an API server of a test."""

from __future__ import annotations

import json
from pathlib import Path


def write_kubeconfig(path: Path, url: str, token: str) -> Path:
    """A kubeconfig for the API server, or the proxy before it, at `url`; its certificate is not checked."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
