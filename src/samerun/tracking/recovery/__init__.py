"""Interrupted runs: their folders, whether a process works on them, and their completion."""
