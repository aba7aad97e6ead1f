"""The questions of the study: one file a hypothesis, in the order of their keys."""
