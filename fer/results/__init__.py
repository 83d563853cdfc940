"""Files become numbers; no torch."""
