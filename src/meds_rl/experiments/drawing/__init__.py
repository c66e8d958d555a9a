"""Figures of a grid, in the report's own drawing."""
