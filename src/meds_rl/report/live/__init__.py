"""The report in the terminal, while training runs."""
