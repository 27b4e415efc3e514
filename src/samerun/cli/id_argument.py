"""How the help of every command describes an ID."""

ID_HELP = (
    "run ID or its first characters, run name, latest, latest~1, best:METRIC (as in "
    "best:validation/accuracy) or STUDY/TRIAL"
)
