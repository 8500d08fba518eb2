"""The orchestrator's API: projects, deployments, servers, tasks."""
