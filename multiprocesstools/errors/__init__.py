"""What can go wrong, by whose act it was. Errors carry facts as attributes, render them, and survive pickling.

"Not claimed" is an answer and not an error; an exception in the user's own work is never replaced by one of these.
"""

from multiprocesstools.errors.base import MisuseError, MultiProcessError, RunError, WorkError
from multiprocesstools.errors.misuse import (
    AlreadyHeld,
    BadArgument,
    BadName,
    DuplicateFinal,
    ForkedLoop,
    HelperClosed,
    ItemNotEntered,
    NoSources,
    NotHeld,
    check_choice,
)
from multiprocesstools.errors.run import (
    ChunksDiffer,
    ClaimLost,
    FinalOfAnotherKind,
    LimitDiffers,
    ListChanged,
    NewerFormat,
    NoResult,
    RunDirectoryUnusable,
    SettingsDiffer,
    UnknownItem,
    UnsafeFilesystem,
)
from multiprocesstools.errors.work import (
    ItemFailed,
    LockTimeout,
    MarkedFailed,
    NothingWritten,
    StopRequested,
    TooManyFailures,
)

__all__ = [
    "AlreadyHeld",
    "BadArgument",
    "BadName",
    "ChunksDiffer",
    "ClaimLost",
    "DuplicateFinal",
    "FinalOfAnotherKind",
    "ForkedLoop",
    "HelperClosed",
    "ItemFailed",
    "ItemNotEntered",
    "LimitDiffers",
    "ListChanged",
    "LockTimeout",
    "MarkedFailed",
    "MisuseError",
    "MultiProcessError",
    "NewerFormat",
    "NoResult",
    "NoSources",
    "NotHeld",
    "NothingWritten",
    "RunDirectoryUnusable",
    "RunError",
    "SettingsDiffer",
    "StopRequested",
    "TooManyFailures",
    "UnknownItem",
    "UnsafeFilesystem",
    "WorkError",
    "check_choice",
]
