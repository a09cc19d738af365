"""Whose act it was: the roots of the tree of errors."""


class MultiProcessError(Exception):
    """Base of all errors of this package. The facts are `args`, in the order of the constructor."""


class MisuseError(MultiProcessError):
    """The calling script asked for something that cannot be."""


class RunError(MultiProcessError):
    """The run directory, or what other instances wrote there, does not allow what was asked."""


class WorkError(MultiProcessError):
    """The work on items failed."""
