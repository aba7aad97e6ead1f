"""What hypotheses share."""
