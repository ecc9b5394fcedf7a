"""The command `spikeunet`: one file for each subcommand. Heavy imports wait until a command needs them."""

from .group import main

__all__ = ["main"]
