"""Data sets on disk: known layouts with their splits, folders of one's own, and the labels of their pictures."""

from .class_folders import Classes
from .dataset import Dataset, Example, find_dataset
from .labelled import read_example_labels
from .layouts import LAYOUTS, Layout

__all__ = ["LAYOUTS", "Classes", "Dataset", "Example", "Layout", "find_dataset", "read_example_labels"]
