"""SEARCH: trials over settings, each the runs of one study, suggested and ended early by validation alone."""
