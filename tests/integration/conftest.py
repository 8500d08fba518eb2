from __future__ import annotations

from agentsession_testing.real_claude import model

__all__ = ["model"]
