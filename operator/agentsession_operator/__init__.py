"""Makes the cluster match the AgentSessions; the only writer of their status."""
