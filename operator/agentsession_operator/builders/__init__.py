"""Whole Kubernetes objects from typed inputs: no reads, no clock, compared with golden files."""
