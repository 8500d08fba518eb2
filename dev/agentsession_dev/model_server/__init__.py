"""Scripted model server: the Anthropic Messages API answered by rules from a file."""
