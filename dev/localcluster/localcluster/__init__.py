"""A real Kubernetes on one Debian machine, without a container registry."""
