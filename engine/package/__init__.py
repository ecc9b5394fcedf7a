"""Event-driven spiking U-Nets on a CPU; `spikeunet.engine` runs them, `spikeunet.converters` makes them.

This folder installs as the package `spikeunet` itself. Importing it loads nothing else.
"""

if __name__ != "spikeunet":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet")

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, read from the installed package's metadata when somebody asks for it."""
    if name != "__version__":
        raise AttributeError(f"module 'spikeunet' has no attribute {name!r}")
    from importlib.metadata import version

    return version("spikeunet")
