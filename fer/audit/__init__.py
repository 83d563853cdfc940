"""What is doubtful in the data, before any training."""
