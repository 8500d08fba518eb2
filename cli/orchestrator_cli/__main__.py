"""`python -m orchestrator_cli`."""

from __future__ import annotations

from orchestrator_cli.app import main

if __name__ == "__main__":
    main()
