"""A launcher of somebody else's."""
