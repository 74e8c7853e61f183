"""Runs the command line: ``python -m nmcompile``."""

from nmcompile.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
