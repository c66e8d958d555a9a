"""The report: what runs kept getting wrong, as data, as one HTML page and as pictures."""
