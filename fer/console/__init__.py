"""What surrounds the command line: Ctrl-C, a missing environment, text any terminal can show."""
