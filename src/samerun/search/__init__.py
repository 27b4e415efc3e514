"""Search spaces, samplers and pruners; and, inside a run, the trial of a sweep that it is."""

from samerun.search.trial import NO_TRIAL, CurrentTrial, SweepStopped, TimeLimit, current_trial
