"""Every column of every table this project writes, once: its type, unit and meaning, and which file has it."""
