"""Numbers and claims become pictures."""
