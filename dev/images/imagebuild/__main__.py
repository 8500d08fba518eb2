"""Entry point of `python -m imagebuild`."""

from imagebuild.cli import main

if __name__ == "__main__":
    main()
