"""What we claim, measured. Each file is a command that prints a table."""
