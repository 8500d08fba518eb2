"""`agentsession-bridge`: the process, its arguments and its end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from telegram.error import InvalidToken, TelegramError

from agentsession_bridge.access import AccessError, AccessFile
from agentsession_bridge.lease import LeaseLostError
from agentsession_bridge.service import serve
from agentsession_core import kube, logs
from agentsession_core.settings import (
    CONFIG_FILE,
    SECRETS_DIRECTORY,
    USE_CLI_AGENT,
    SecretFiles,
    SettingsError,
    load_settings,
    with_cli_agent,
)

ACCESS_FILE = "/etc/agentsession/access/access.yaml"


def main() -> None:
    """Entry point of the console script."""
    parser = argparse.ArgumentParser(
        description="Telegram on one side, AgentSessions on the other."
    )
    parser.add_argument("--config", type=Path, default=Path(CONFIG_FILE))
    parser.add_argument("--secrets", type=Path, default=Path(SECRETS_DIRECTORY))
    parser.add_argument("--access", type=Path, default=Path(ACCESS_FILE))
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 -- inside of a pod
    # A pod's name: its container comes again as the same holder of the lease.
    parser.add_argument("--holder", default=socket.gethostname())
    arguments = parser.parse_args()
    try:
        settings = with_cli_agent(
            load_settings(arguments.config), os.environ.get(USE_CLI_AGENT, "")
        )
        access = AccessFile(arguments.access)
        access.load()
        logs.configure(settings.log_level, "agentsession-bridge")
        # Until the server takes it: a stop that was asked for is no failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        secret_files = SecretFiles(arguments.secrets)
        asyncio.run(serve(settings, secret_files, access, arguments.host, arguments.holder))
    except InvalidToken:
        # Its own text holds the token.
        sys.exit(
            "agentsession-bridge: Telegram refuses the bot's token; ask @BotFather for a new one"
        )
    except (SettingsError, AccessError, kube.KubeConfigError, LeaseLostError) as error:
        sys.exit(f"agentsession-bridge: {error}")
    except TelegramError as error:
        sys.exit(f"agentsession-bridge: Telegram: {type(error).__name__}")


if __name__ == "__main__":
    main()
