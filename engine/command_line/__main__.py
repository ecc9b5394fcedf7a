"""`python -m spikeunet.engine.command_line`."""

from . import main

main()
