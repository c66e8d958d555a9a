"""What readers of run folders raise."""


class RunFolderError(ValueError):
    """A folder is not a run, a run of a newer schema, or holds a file that cannot be read; the message names it."""
