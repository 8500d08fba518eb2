"""`make bench-api`: calls a second that the orchestrator's API answers, and its command's start."""
