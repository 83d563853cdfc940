"""Numbers become claims."""
