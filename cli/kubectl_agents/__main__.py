"""The console script `kubectl-agents`, which kubectl finds as `kubectl agents`."""

from __future__ import annotations

from kubectl_agents.app import main

if __name__ == "__main__":
    main()
