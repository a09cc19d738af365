"""What can go wrong, by whose act it was. Errors carry facts as attributes, render them, and survive pickling.

"Not claimed" is an answer and not an error; an exception in the user's own work is never replaced by one of these.
"""

from multiprocesstools.errors.base import MisuseError, MultiProcessError, RunError, WorkError
from multiprocesstools.errors.misuse import (
    BadArgument,
    BadName,
    DuplicateFinal,
    ExecutorUnusable,
    ForkedLoop,
    HelperClosed,
    ItemNotEntered,
    NoSources,
    check_choice,
)
from multiprocesstools.errors.run import (
    ChunksDiffer,
    ClaimLost,
    FinalOfAnotherKind,
    ListChanged,
    NewerFormat,
    NoResult,
    RunDirectoryUnusable,
    SettingsDiffer,
    UnknownItem,
    UnsafeFilesystem,
)
from multiprocesstools.errors.work import (
    CannotSave,
    FunctionFailed,
    FunctionWroteNothing,
    ItemFailed,
    MarkedFailed,
    NothingWritten,
    PoolBroken,
    StopRequested,
    TooManyFailures,
    WorkerDied,
)

__all__ = [
    "BadArgument",
    "BadName",
    "CannotSave",
    "ChunksDiffer",
    "ClaimLost",
    "DuplicateFinal",
    "ExecutorUnusable",
    "FinalOfAnotherKind",
    "ForkedLoop",
    "FunctionFailed",
    "FunctionWroteNothing",
    "HelperClosed",
    "ItemFailed",
    "ItemNotEntered",
    "ListChanged",
    "MarkedFailed",
    "MisuseError",
    "MultiProcessError",
    "NewerFormat",
    "NoResult",
    "NoSources",
    "NothingWritten",
    "PoolBroken",
    "RunDirectoryUnusable",
    "RunError",
    "SettingsDiffer",
    "StopRequested",
    "TooManyFailures",
    "UnknownItem",
    "UnsafeFilesystem",
    "WorkError",
    "WorkerDied",
    "check_choice",
]
