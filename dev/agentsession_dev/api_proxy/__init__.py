"""A proxy in front of a Kubernetes API server that answers badly when it is told to."""
