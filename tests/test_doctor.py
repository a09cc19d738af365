"""`mpt doctor`: what it finds on filesystems of this machine, what it refuses, and that it leaves nothing behind."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims.disk import Entry
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.probe import Findings, Mount, mount_of
from multiprocesstools.cli.doctor import doctor
from multiprocesstools.doctor import second_opinion
from multiprocesstools.doctor.diagnosis import Facts, diagnose
from multiprocesstools.doctor.doctor import examine
from multiprocesstools.doctor.second_opinion import Opinion, Race, consult
from multiprocesstools.errors import BadArgument, UnsafeFilesystem
from tests.labs.mounts import mount_lab, require_mount_lab
from tests.test_nfs_locks import SHORT_DOCTOR
from tests.tools import command, mounted, require_root

NFS = Mount("/mnt/shared", "nfs4", "server:/export", ("rw", "vers=4.2", "hard", "lookupcache=all"), "0:50")
FACTS = Facts("/mnt/shared", NFS, Findings(True, True), "refuses", 0.0, "excludes", "excludes", {"rename": 0.0003})


def test_an_ordinary_directory_is_safe_and_stays_empty(tmp_path: Path) -> None:
    done = command("doctor", tmp_path)
    assert done.returncode == 0, done.stderr
    for words in (
        "hard links: yes",
        "a rename refuses a directory with content",
        "claims are hard links",
        "verdict: safe",
    ):
        assert words in done.stdout
    assert os.listdir(tmp_path) == []


def test_json_says_the_same_to_programs(tmp_path: Path) -> None:
    said = json.loads(command("doctor", "--json", tmp_path).stdout)
    assert said["safe"] is True and said["directory"] == str(tmp_path) and said["peer"] is None
    assert set(said["seconds"]) >= {"exclusive creation", "hard link", "rename", "listing", "removal"}
    assert all(0 < seconds < 1 for seconds in said["seconds"].values())
    assert said["findings"] == {"links": True, "identity": True}


def test_a_directory_that_is_not_there_or_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("missing", "does not exist"), ("file", "is not a directory")):
        done = command("doctor", tmp_path / name)
        assert (done.returncode, done.stdout) == (4, "") and reason in done.stderr


def test_a_read_only_directory_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro", "tmpfs") as place:
        done = command("doctor", place)
    assert done.returncode == 4 and "Read-only file system" in done.stderr


def test_a_full_directory_is_an_error_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "full", "-t", "tmpfs", "-o", "size=64k", "tmpfs") as place:
        (place / "data").write_bytes(b"x" * (60 << 10))
        done = command("doctor", place)
        assert os.listdir(place) == ["data"]
    assert done.returncode == 4 and "No space left on device" in done.stderr


def test_two_that_never_meet_say_so_and_leave_nothing(tmp_path: Path) -> None:
    done = command("doctor", tmp_path, "--peer", "--timeout", "0.3")
    assert done.returncode == 4 and "no second doctor came within" in done.stderr
    assert os.listdir(tmp_path) == []
    with pytest.raises(BadArgument, match="more than 0"):
        doctor.main(["--peer", "--timeout", "0", str(tmp_path)], standalone_mode=False)


def test_two_that_meet_try_everything_together_whatever_a_killed_one_has_left(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-m", "multiprocesstools", "doctor", str(tmp_path), "--peer"])
    while not list(tmp_path.glob(".mpt-doctor-meeting/hello-*")):
        time.sleep(0.02)
    dead.kill()
    dead.wait()
    script = SHORT_DOCTOR.replace("observe_seconds=6", "observe_seconds=1").replace("ROUNDS = 20", "ROUNDS = 60")
    doctors = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for said in [json.loads(one.communicate(timeout=60)[0]) for one in doctors]:
        assert said["safe"] and said["peer"]["is_here"] and "both on this machine" in said["verdict"]
        assert said["peer"]["races"]["rename of one name"] == {"rounds": 60, "both": 0, "nobody": 0}
        assert said["peer"]["flock"] == said["peer"]["fcntl"] == "excludes"
        assert said["peer"]["missing_seconds"] < 0.5 > said["peer"]["listing_seconds"]
    assert os.listdir(tmp_path) == []


def test_a_listing_that_comes_too_late_is_told_and_both_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two never sees the first new name; the other one has no such trouble, and waits for nobody in vain."""

    class Hiding(PosixDisk):
        def list(self, directory: str) -> list[Entry]:
            hidden = "0" if directory.endswith("/new") else None
            return [entry for entry in super().list(directory) if entry.name != hidden]

    monkeypatch.setattr(second_opinion, "PosixDisk", Hiding)
    with ThreadPoolExecutor(2) as pool:
        opinions = list(pool.map(lambda _: consult(str(tmp_path), timeout=30, observe_seconds=1), range(2)))
    late, other = sorted((opinion.listing_seconds for opinion in opinions), key=lambda seconds: seconds is not None)
    assert late is None and other is not None and other < 0.5
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
def test_what_it_finds_on_local_filesystems(tmp_path: Path, kind: str) -> None:
    options = ["-t", "tmpfs", "tmpfs"]
    if kind == "overlay":
        base = Path("/dev/shm", f"overlay-{os.getpid()}")
        require_root("mount")
        for name in ("lower", "upper", "work"):
            (base / name).mkdir(parents=True)
        layers = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        options = ["-t", "overlay", "overlay", "-o", layers]
    with mounted(tmp_path / kind, *options) as place:
        found = examine(place)
        assert os.listdir(place) == []
    assert found.facts.kind == kind and found.safe and found.warnings == []
    assert found.facts.findings == Findings(links=True, identity=True)
    assert (found.facts.directory_rename, found.facts.flock) == ("refuses", "excludes")
    assert any("only this machine sees it" in line for line in found.does)
    if kind == "overlay":
        subprocess.run(["rm", "-rf", base], check=True)


@pytest.mark.lab
def test_what_two_see_on_sshfs(tmp_path: Path) -> None:
    """Against the measurements of the protocol: link counts of 1, flock that excludes nobody, late listings."""
    require_mount_lab("sshfs")
    with mount_lab("sshfs") as lab:
        words = [sys.executable, "-c", SHORT_DOCTOR]
        machines = [
            subprocess.Popen(
                [str(lab_script()), "enter", str(lab.holder), name, *words, str(place)],
                stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            )
            for name, place in zip(("one", "other"), lab.mounts, strict=True)
        ]  # fmt: skip
        opinions = [json.loads(machine.communicate(timeout=250)[0]) for machine in machines]
        assert os.listdir(lab.export) == []
    for said in opinions:
        assert said["safe"] and said["mount"]["kind"] == "fuse.sshfs"
        assert said["findings"] == {"links": True, "identity": False}
        assert "claims are copies" in said["does"][0] and "sshfs" in said["warnings"][0]
        assert said["peer"]["flock"] == said["peer"]["fcntl"] == "excludes nobody"
        assert all(race["both"] == race["nobody"] == 0 for race in said["peer"]["races"].values())


def lab_script() -> Path:
    from tests.labs.mounts import SCRIPT

    return SCRIPT


# -- what follows from the facts


def test_nfs_4_keeps_the_lease_in_mind() -> None:
    found = diagnose(FACTS)
    assert found.safe and "safe as far as one machine can see" in found.verdict
    assert any("lease" in warning and "patience_seconds" in warning for warning in found.warnings)
    assert found.facts.options == ["vers=4.2", "hard", "lookupcache=all"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"mount": NFS._replace(options=("rw", "vers=3", "soft", "nolock"))},
            ["NFS 3", "soft", "local to each machine"],
        ),
        ({"mount": NFS._replace(kind="fuse.sshfs")}, ["20 s old"]),
        ({"mount": NFS._replace(kind="fuse.unheard-of")}, ["unheard-of: FUSE, and not tested"]),
        ({"clock_offset_seconds": -3600.0}, ["stamped -3600 s from this machine's clock"]),
        (
            {"directory_rename": "fails (Operation not supported)"},
            ["an output that is a directory cannot be published"],
        ),
    ],
    ids=["NFS 3", "sshfs", "FUSE", "clock", "directories"],
)
def test_what_deserves_a_warning_gets_one(changes: dict[str, object], words: list[str]) -> None:
    found = diagnose(replace(FACTS, **changes))  # type: ignore[arg-type]
    assert found.safe and all(word in " ".join(found.warnings) for word in words), found.warnings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"findings": Findings(False, False)}, 'publish="rename"'),
        ({"mount": NFS._replace(options=("ro",))}, "read-only"),
        ({"directory_rename": "replaces"}, "replaces a directory"),
    ],
    ids=["no links", "read-only", "replaces"],
)
def test_what_is_unsafe_is_refused(changes: dict[str, object], words: str) -> None:
    found = diagnose(replace(FACTS, **changes))  # type: ignore[arg-type]
    assert not found.safe and words in found.verdict and found.verdict.startswith("unsafe")


def test_a_race_that_two_have_won_or_nobody_is_unsafe() -> None:
    fair = Opinion("n2", False, {"rename": Race(60, 0, 0)}, 31.0, 0.1, 12.0, 0.1, "excludes", "excludes", 60.0)
    assert fair.refused == ""
    assert (
        "won what only one may win: rename (2 of 60 times)" in replace(fair, races={"rename": Race(60, 2, 0)}).refused
    )
    assert "none has won" in replace(fair, races={"rename": Race(60, 0, 1)}).refused


# -- object stores

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:50 / /data rw,nosuid - fuse.s3fs s3fs rw,user_id=0
41 27 0:51 / /data/with\040blank rw - fuse mountpoint-s3 rw
42 27 0:52 / /bucket rw - fuse.gcsfuse my-bucket rw
43 27 0:53 / /remote rw - fuse.rclone remote:path rw
44 27 0:54 / /home rw - nfs4 server:/export rw,vers=4.2,hard
45 27 0:55 / /home rw - fuse.sshfs me@host:/x rw
46 27 0:56 / /blob rw - fuse blobfuse2 rw
broken line
""".strip()


@pytest.mark.parametrize(
    ("path", "device", "program", "kind"),
    [
        ("/data/x", (0, 50), "s3fs", "fuse.s3fs"),
        ("/data/with blank/x", (0, 51), "mountpoint-s3", "fuse"),
        ("/bucket", (0, 52), "gcsfuse", "fuse.gcsfuse"),
        ("/remote/a", (0, 53), "rclone", "fuse.rclone"),
        ("/blob/a", (0, 56), "blobfuse2", "fuse"),
        ("/home/me", (0, 54), "", "nfs4"),
        ("/home/me", (9, 9), "sshfs", "fuse.sshfs"),
        ("/database", (254, 0), "", "ext4"),
        ("/a-link-to/bucket", (0, 52), "gcsfuse", "fuse.gcsfuse"),
    ],
)
def test_the_table_of_mounts_tells_what_a_path_lies_on(
    path: str, device: tuple[int, int], program: str, kind: str
) -> None:
    mount = mount_of(TABLE, path, os.makedev(*device))
    assert mount is not None and (mount.program, mount.kind) == (program, kind)


def test_without_a_table_nothing_is_known() -> None:
    assert mount_of("", "/data", 5) is None


def test_an_object_store_is_refused_at_the_start_of_a_helper_and_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    table = f"1 0 {os.major(device)}:{os.minor(device)} / / rw - fuse.s3fs bucket rw\n"
    for room in ("claims.probe", "doctor.doctor"):
        monkeypatch.setattr(f"multiprocesstools.{room}.read_mounts", lambda: table)
    for start in (lambda: MultiProcessHelper("test", tmp_path / "run"), lambda: examine(tmp_path)):
        with pytest.raises(UnsafeFilesystem, match=r"object store \(s3fs on /\)"):
            start()
    monkeypatch.undo()
    with MultiProcessHelper("test", tmp_path / "run"):
        assert examine(tmp_path).safe


@pytest.mark.lab
def test_a_mount_by_the_name_of_an_object_store_is_refused(tmp_path: Path) -> None:
    """A real one, of the kernel's table: sshfs that mounts under the name of s3fs."""
    require_mount_lab("sshfs")
    script = "import sys; from multiprocesstools import MultiProcessHelper; MultiProcessHelper('test', sys.argv[1])"
    with mount_lab("sshfs", "subtype=s3fs") as lab:
        for words in (["-m", "multiprocesstools", "doctor"], ["-c", script]):
            done = lab.run([sys.executable, *words, lab.mounts[0]])
            assert done.returncode in (1, 4) and "object store (s3fs on" in done.stderr, done.stdout + done.stderr
