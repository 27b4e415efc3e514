"""A stored run again: reproduced with a verdict, or gone on with from where it stopped."""
