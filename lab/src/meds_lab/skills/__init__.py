"""The task `skills`: invented operators with one right rule each, so rarely followed that training may or may not find it."""
