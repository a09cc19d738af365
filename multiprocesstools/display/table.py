"""Facts as small HTML tables, for notebooks. No styles: a notebook has its own.

Guarantee: every text is escaped, for HTML and for what a terminal could obey.
"""

from collections.abc import Iterable, Sequence
from html import escape

from multiprocesstools.display.text import printable

_MOST_ROWS = 20


def escaped(text: object) -> str:
    """The text as HTML shows it."""
    return escape(printable(str(text)))


def lines(text: str) -> str:
    """A text of several lines, as it stands: a traceback."""
    return f"<pre>{'<br>'.join(map(escaped, text.splitlines()))}</pre>"


def bar(done: int, total: int, text: str) -> str:
    """How far something is, and in words."""
    return f'<progress value="{done}" max="{total}"></progress> {escaped(text)}'


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, caption: object = "") -> str:
    """A table of texts; of many rows the first 20, and how many more there are."""
    everything = [*rows]
    body = [_row("td", row) for row in everything[:_MOST_ROWS]]
    if (more := len(everything) - _MOST_ROWS) > 0:
        body.append(f'<tr><td colspan="{len(head)}">… and {more:,} more</td></tr>')
    above = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead>{_row('th', head)}</thead><tbody>{''.join(body)}</tbody></table>"


def _row(tag: str, values: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escaped(value)}</{tag}>' for value in values)}</tr>"
