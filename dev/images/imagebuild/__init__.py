"""Builds the project's images, on machines with Docker and on those without a container registry."""
