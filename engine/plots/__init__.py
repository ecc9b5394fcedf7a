"""Plots of networks and of runs with matplotlib (extra `plots`), which is imported when the first plot is drawn.

Each function takes what `simulate` and `Network` give, draws into `ax` where one is given and into a new figure
otherwise, and returns its axes.
"""

from .activity import activity, potentials, raster
from .graph import traffic
from .layers import densities, energy, events, operations
from .quality import quality, quality_against_operations
from .timeline import timeline
from .weights import filters, normalization, thresholds

__all__ = [
    "activity",
    "densities",
    "energy",
    "events",
    "filters",
    "normalization",
    "operations",
    "potentials",
    "quality",
    "quality_against_operations",
    "raster",
    "thresholds",
    "timeline",
    "traffic",
]
