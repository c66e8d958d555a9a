"""Measures how a real model goes wrong: rare right answers, live errors, and what a memory adds to the batch."""
