"""What a set of answers is worth: one table of metrics; numpy only."""
