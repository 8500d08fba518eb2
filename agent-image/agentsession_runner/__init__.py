"""The process in a run's pod: takes turns from the gateway and drives one agent CLI."""
