"""The whole state of a run in one file: written whole or not at all, checked before it is used."""
