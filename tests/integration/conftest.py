from __future__ import annotations

from agentsession_testing.real_claude import claude_binary, model, volume

__all__ = ["claude_binary", "model", "volume"]
