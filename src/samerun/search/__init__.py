"""Search spaces, samplers and pruners; and, inside a run, the trial of a sweep that it is."""
