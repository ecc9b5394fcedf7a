"""Compiled kernels on plain arrays: no validation, no objects. Every kernel has a slow twin in tests/reference.py."""
