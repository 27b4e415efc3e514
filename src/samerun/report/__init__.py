"""Stored runs and studies side by side: differences, tables, plots, one page."""
