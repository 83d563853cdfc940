"""This project's own networks, and what is known of all others before one is built."""
