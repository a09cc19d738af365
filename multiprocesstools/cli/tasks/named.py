"""What a command line names: a class, an object or a function of a module, as MODULE:NAME or FILE.py:NAME.

The module is imported, so whoever names it runs its code; it is looked for in the current directory first.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from multiprocesstools.errors import BadArgument

Kind = TypeVar("Kind")


def named(text: str, kind: type[Kind], *arguments: Any, **options: Any) -> Kind:
    """The object of this kind that `text` names, or makes when it is called with the arguments. BadArgument."""
    found = _find(text)
    if isinstance(found, kind):
        return found
    if isinstance(found, type) and not issubclass(found, kind):
        raise BadArgument("MODULE:NAME", text, f"it is no {kind.__name__}, but the class {found.__qualname__}")
    made = found(*arguments, **options) if callable(found) else found
    if not isinstance(made, kind):
        raise BadArgument("MODULE:NAME", text, f"it is no {kind.__name__}, and makes none: it is {made!r}")
    return made


def _find(text: str) -> Any:
    module, colon, name = text.rpartition(":")
    if not colon or not module or not name:
        raise BadArgument("MODULE:NAME", text, "write a module and a name, like scores:Scores or scores.py:Scores")
    file = Path(module).resolve() if module.endswith(".py") else None
    folder, module = (file.parent, file.stem) if file else (Path.cwd(), module)
    sys.path.insert(0, str(folder))
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
        where = f"there is no file {file}" if file else f"there is no module {module!r}, here or installed"
        raise BadArgument("MODULE:NAME", text, where) from error
    if file and not (found.__file__ and file.samefile(found.__file__)):
        raise BadArgument("MODULE:NAME", text, f"another module is called {module!r}; rename the file")
    for part in name.split("."):
        if not hasattr(found, part):
            raise BadArgument("MODULE:NAME", text, f"{module!r} has no {part!r}")
        found = getattr(found, part)
    return found
