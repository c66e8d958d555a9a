"""From a report's data to the page and the pictures."""
