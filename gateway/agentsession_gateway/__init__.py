"""The only door of a run pod: turns out, events and results in, model calls with the key added."""
