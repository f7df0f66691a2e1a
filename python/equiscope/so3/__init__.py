"""Representations of O(3), grids on it, and the slow readable references of the kernels."""
