"""Telegram on one side, Redis and AgentSessions on the other: a thin bridge."""
