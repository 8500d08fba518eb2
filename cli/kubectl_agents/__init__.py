"""`kubectl agents`: AgentSessions from a terminal."""
