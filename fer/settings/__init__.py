"""Values of config.py, checked once, errors in sentences."""
