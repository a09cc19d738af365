"""The proof: the real code under every crash, stale cache, lost reply and pause. `scripts/torture` runs the long forms.

    simulated/  on a simulated shared disk: every state of few instances, random schedules, and mutants of the protocol
    crash/      real processes killed before and after every call, and an error from each
    torture/    sixteen real processes, killed, stopped and starved at random
    network/    machines on a real NFS server, crashed, paused and cut off at random; sshfs and GlusterFS
    figures     what a part has tried, and how often a promise was broken

A part is a module with `run(short: bool) -> list[Figures]`; the short forms are tests.
"""
