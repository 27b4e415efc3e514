"""A recorded run: reproduced with a verdict, or resumed from its checkpoint."""
