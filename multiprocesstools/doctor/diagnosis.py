"""What is known of a filesystem, and what follows from it: what the package does there, warnings, a verdict. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from multiprocesstools.claims.probe import Findings, Mount

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "glusterfs"}
)
"""Kinds of filesystems that several machines see."""
MATTERS = frozenset(
    {
        "ro", "vers", "nfsvers", "proto", "soft", "hard", "timeo", "nolock", "local_lock", "lookupcache", "noac",
        "nocto", "sync", "actimeo", "acregmin", "acregmax", "acdirmin", "acdirmax", "nobrl", "mfsymlinks", "upperdir",
        "volatile",
    }
)  # fmt: skip
"""Options of a mount that decide what one client sees of another."""
_LEASE_SECONDS, _CLOCK_SECONDS = 90.0, 2.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. `seconds`: the median of each operation. `clock_offset_seconds`: the stamp of a new file, less the
    time of this machine. `directory_rename`: "refuses" or "replaces" a directory with content, or why it cannot be
    done. `flock`, `fcntl`: does a second descriptor here see the lock of the first?"""

    directory: str
    mount: Mount | None
    findings: Findings
    directory_rename: str
    clock_offset_seconds: float
    flock: str
    fcntl: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.mount.kind if self.mount else "unknown"

    @property
    def is_network(self) -> bool:
        """Do several machines see it, as far as its kind tells?"""
        return self.kind in NETWORK or (self.mount is not None and self.mount.program != "" and self.mount.point != "/")

    @property
    def options(self) -> list[str]:
        """The options of the mount that matter here."""
        given = dict.fromkeys(self.mount.options if self.mount else ())
        return [option for option in given if option.partition("=")[0] in MATTERS]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The facts, what the package does there, what to keep in mind, and the verdict. `refused`: why it is unsafe."""

    facts: Facts
    does: list[str]
    warnings: list[str]
    refused: str = ""

    @property
    def safe(self) -> bool:
        return not self.refused

    @property
    def verdict(self) -> str:
        if self.refused:
            return f"unsafe: {self.refused}"
        seen = " as far as one machine can see (`--peer` on two shows more)" if self.facts.is_network else ""
        return f"safe{seen}{', with warnings' if self.warnings else ''}"


def diagnose(facts: Facts) -> Diagnosis:
    """What the package does with a filesystem of which this is known. Pure."""
    return Diagnosis(facts, list(_does(facts)), list(_warnings(facts)), _refusal(facts))


def _refusal(facts: Facts) -> str:
    if facts.mount and "ro" in facts.mount.options:
        return "it is mounted read-only"
    if not facts.findings.links:
        return 'it has no hard links, so an output could be replaced; publish="rename" accepts that, and promises less'
    if facts.directory_rename == "replaces":
        return "a rename replaces a directory with content, so an output that is a directory could be replaced"
    return ""


def _does(facts: Facts) -> Iterator[str]:
    links, identity = facts.findings.links, facts.findings.identity
    yield (
        "claims are hard links to the record of the instance" if links and identity
        else "claims are copies of the record, because a link does not show whose it is" if links
        else "claims are copies of the record, because there are no hard links"
    )  # fmt: skip
    yield "outputs are published by link: never replaced" if links else "outputs could only be published by rename"
    yield "directories are published by rename, which refuses one that is there"
    yield "locks and limits go round by renames; flock and fcntl are not used"
    if not facts.is_network:
        yield f"only this machine sees it ({facts.kind}), unless it is exported: other machines cannot take part"


def _warnings(facts: Facts) -> Iterator[str]:
    mount = facts.mount
    if facts.kind.startswith("nfs") and mount is not None:
        yield from _warnings_of_nfs(mount)
    if mount is not None and mount.program == "sshfs":
        yield (
            "sshfs: a listing may be 20 s old (dcache_timeout), so progress and `mpt stop` come late: keep "
            "patience_seconds well above that; flock and fcntl exclude nobody on other machines"
        )
    elif mount is not None and mount.program and mount.program != "glusterfs":
        yield f"{mount.program}: FUSE, and not tested with this package: run `doctor --peer` on two machines"
    if facts.directory_rename.startswith("fails"):
        yield f"an output that is a directory cannot be published: its rename {facts.directory_rename}"
    if abs(facts.clock_offset_seconds) > _CLOCK_SECONDS:
        yield (
            f"new files are stamped {facts.clock_offset_seconds:+.0f} s from this machine's clock; the package "
            "compares no clocks, but `make` and people do"
        )


def _warnings_of_nfs(mount: Mount) -> Iterator[str]:
    version = mount.option("vers") or mount.option("nfsvers") or "?"
    if version.startswith("4"):
        yield (
            f"NFS {version}: after a failure a client recovers only when the server's lease is over "
            f"({_LEASE_SECONDS:.0f} s as a rule): keep patience_seconds well above that (300, the default, is)"
        )
    else:
        yield (
            f"NFS {version}: a name that a client saw missing stays missing for it for up to a minute, and its own "
            "changes may not help: keep patience_seconds at 300, the default, or more"
        )
    if mount.option("soft") is not None:
        yield "soft: operations fail when the server does not answer; the package repeats them for patience"
    if mount.option("local_lock") not in (None, "none") or mount.option("nolock") is not None:
        yield "flock and fcntl are local to each machine here; the package does not use them, others may"
