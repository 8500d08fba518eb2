"""`python -m workbench`; called by the Makefile."""

from workbench.cli import main

if __name__ == "__main__":
    main()
