"""What the doctor has found, as text and as data for programs."""

from collections.abc import Iterator
from dataclasses import asdict

from multiprocesstools.display.text import printable
from multiprocesstools.doctor.diagnosis import Diagnosis, Facts
from multiprocesstools.doctor.second_opinion import Opinion

_MICROSECOND, _MILLISECOND = 1e6, 1e3


def consultation_text(diagnosis: Diagnosis, opinion: Opinion | None) -> str:
    """The findings, what the package does, warnings, the verdict."""
    return "\n".join(_lines(diagnosis, opinion))


def consultation_dict(diagnosis: Diagnosis, opinion: Opinion | None) -> dict[str, object]:
    """The same for JSON."""
    mount = diagnosis.facts.mount
    facts = asdict(diagnosis.facts) | {"mount": mount._asdict() if mount else None}
    return facts | {
        "does": diagnosis.does, "warnings": diagnosis.warnings, "peer": asdict(opinion) if opinion else None,
        "safe": diagnosis.safe and not (opinion and opinion.refused), "verdict": _verdict(diagnosis, opinion),
    }  # fmt: skip


def _verdict(diagnosis: Diagnosis, opinion: Opinion | None) -> str:
    if opinion is None or not diagnosis.safe:
        return diagnosis.verdict
    if opinion.refused:
        return f"unsafe: {opinion.refused}"
    where = "both on this machine, which shows little" if opinion.is_here else f"this one and {opinion.host}"
    return f"safe between two clients ({where})"


def _lines(diagnosis: Diagnosis, opinion: Opinion | None) -> Iterator[str]:
    facts = diagnosis.facts
    yield f"{printable(facts.directory)}: {_what(facts)}"
    yield "what it can do:"
    yield f"  exclusive creation: yes; hard links: {_links(facts)}"
    yield f"  a rename {printable(facts.directory_rename)} a directory with content"
    yield f"  flock {printable(facts.flock)}, fcntl {printable(facts.fcntl)} (two descriptors of this machine)"
    yield f"  new files are stamped {_offset(facts.clock_offset_seconds)}"
    yield "  " + ", ".join(f"{name} {_short(seconds)}" for name, seconds in facts.seconds.items())
    if opinion is not None:
        yield from _opinion_lines(opinion)
    yield "what the package does here:"
    yield from (f"  {printable(line)}" for line in diagnosis.does)
    if diagnosis.warnings:
        yield "keep in mind:"
        yield from (f"  {printable(line)}" for line in diagnosis.warnings)
    yield f"verdict: {printable(_verdict(diagnosis, opinion))}"


def _what(facts: Facts) -> str:
    if facts.mount is None:
        return "an unknown filesystem"
    options = f", {','.join(facts.options)}" if facts.options else ""
    return printable(f"{facts.kind} from {facts.mount.source}, mounted on {facts.mount.point}{options}")


def _links(facts: Facts) -> str:
    if not facts.findings.links:
        return "no"
    return "yes" if facts.findings.identity else "yes, but a link does not show whose file it is"


def _offset(seconds: float) -> str:
    return "with the time of this machine" if abs(seconds) < 0.05 else f"{seconds:+.1f} s from this machine's clock"


def _opinion_lines(opinion: Opinion) -> Iterator[str]:
    yield f"between this machine and {printable(opinion.host)}:"
    for name, race in opinion.races.items():
        won = (
            f"won by one in each of {race.rounds} races"
            if race.fair
            else f"both {race.both}, nobody {race.nobody} times"
        )
        yield f"  {name}: {won}"
    yield f"  a name that was looked up too early stays missing for {_seconds(opinion.missing_seconds, opinion)}"
    yield f"  a new name is listed after {_seconds(opinion.listing_seconds, opinion)}"
    by_stat, by_open = opinion.stat_seconds, opinion.open_seconds
    yield f"  of a file that grows, what stat says is up to {by_stat:.1f} s old; what open says, {by_open:.1f} s"
    yield f"  flock {printable(opinion.flock)}, fcntl {printable(opinion.fcntl)}"


def _seconds(seconds: float | None, opinion: Opinion) -> str:
    return f"more than {opinion.observed_seconds:.0f} s" if seconds is None else f"{seconds:.1f} s"


def _short(seconds: float) -> str:
    small = seconds < 1 / _MILLISECOND
    return f"{seconds * _MICROSECOND:.0f} us" if small else f"{seconds * _MILLISECOND:.1f} ms"
