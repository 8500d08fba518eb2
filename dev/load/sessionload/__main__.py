"""`python -m sessionload`."""

from sessionload.cli import main

main(prog_name="python -m sessionload")
