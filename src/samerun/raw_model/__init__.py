"""The model of raw input that every run stores: it depends on no other module of samerun."""
