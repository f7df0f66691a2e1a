"""``python -m equiscope``: the command line."""

from .cli import main

main()
