"""The page, paper tables, terminal summary, trackers."""
