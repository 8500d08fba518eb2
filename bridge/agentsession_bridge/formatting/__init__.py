"""An agent's Markdown as messages that Telegram takes."""

from agentsession_bridge.formatting.messages import Formatted, format_answer

__all__ = ["Formatted", "format_answer"]
