"""One training: what identifies it, where it lies, what it resumes from."""
