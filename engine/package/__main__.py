"""`python -m spikeunet`, the same as the command `spikeunet`."""

from .engine.command_line import main

main()
