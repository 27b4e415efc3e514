"""A tracking server with accounts, for a group."""
