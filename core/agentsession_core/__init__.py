"""What the parts of the agent-session operator share, and nothing else."""
