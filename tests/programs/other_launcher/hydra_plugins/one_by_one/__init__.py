"""A third-party launcher."""
