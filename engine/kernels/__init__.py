"""Compiled kernels on plain arrays: no validation, no objects. What they compute, engine/testing writes out slowly."""
