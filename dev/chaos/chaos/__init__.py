"""Faults under steady traffic, and what must hold all the same (docs/chaos.md)."""
