"""How a session stands, in words for the person who waits for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agentsession_bridge import texts
from agentsession_bridge.session_index import HeldMailbox
from agentsession_core.api.values import Phase
from agentsession_core.mailbox.model import MailboxState


def why_it_waits(held: HeldMailbox | None) -> str:
    """What is in a message's way; "" where the agent is awake."""
    if held is None:
        return texts.WAKING
    if held.is_awake:
        return ""
    if held.phase == Phase.QUEUED:
        return texts.queued(held.queue_position)
    if held.phase == Phase.FAILED:
        return texts.not_starting(held.problem)
    return texts.WAKING


def status_text(held: HeldMailbox | None, state: MailboxState, place_in_queue: int | None) -> str:
    """The answer to /status."""
    if held is None and not state.waiting:
        return texts.NO_AGENT
    lines = [_now(held, state, place_in_queue)]
    behind = state.waiting_behind_turn
    if behind:
        lines.append(f"Messages that wait: {behind}.")
    lines.append(f"Conversation: {state.conversation}.")
    if held is not None and held.expires_at:
        when = held.expires_at.replace("T", " ").removesuffix("Z")
        lines.append(f"It is deleted at {when} UTC if nothing happens; /keep keeps it.")
    return "\n".join(lines)


def _now(held: HeldMailbox | None, state: MailboxState, place_in_queue: int | None) -> str:
    if state.turn is not None and not state.turn.cut_run:
        return f"Your agent works since {_since(state.now - state.turn.started_at)}."
    if place_in_queue is not None:
        return texts.queued(place_in_queue)
    if held is None:
        return texts.WAKING
    if held.phase == Phase.FAILED:
        return texts.not_starting(held.problem)
    if held.is_awake:
        return "Your agent is awake and waits for you."
    if held.phase == Phase.SUSPENDED:
        return "Your agent sleeps. A message wakes it."
    return f"Your agent: {held.phase or 'starts'}."


def _since(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def usage_text(state: MailboxState, today: Mapping[str, int]) -> str:
    """The answer to /usage; `today` are the person's sums of the day."""
    usage = state.usage
    cost = _dollars(usage.cost_nanousd)
    lines = [
        f"This agent: {usage.turns} turns, {usage.input_tokens:,} tokens in, "
        f"{usage.output_tokens:,} out{cost}."
    ]
    if today:
        spent = None if "unpriced" in today else today.get("cost_nanousd", 0)
        lines.append(
            f"Today: {today.get('input_tokens', 0):,} tokens in, "
            f"{today.get('output_tokens', 0):,} out{_dollars(spent)}."
        )
    return "\n".join(lines)


def _dollars(nano: int | None) -> str:
    return f", ${nano / 1e9:.2f}" if nano else ""
