"""Telegram on one side, Redis and AgentSessions on the other: a thin bridge."""

import os

# python-telegram-bot's times are timedeltas in its next major version; until then it warns unless this
# is set.
os.environ.setdefault("PTB_TIMEDELTA", "true")
