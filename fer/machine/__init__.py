"""What this computer has: number formats, memory."""
