"""The proof: the real code under every crash, stale cache, lost reply and pause. `scripts/torture` runs the long forms.

Each part has a module with `run(short: bool) -> list[Figures]`; the short forms are tests.

    search        every state that a few instances can reach: settings, explore, behaviour, checks, players
    simulate      random schedules of whole runs in virtual time: story, kernel
                  both on a simulated disk: server (what is shared), clients (what each remembers, faults), disk (verbs)
    hunt          mutants: the protocol broken on purpose must be noticed by the search
    crash_points  real processes killed before and after every call, and an error from each: crash_*
    torture       sixteen real processes, killed, stopped and starved at random: torture_*
    network       machines on a real NFS server, crashed, paused and cut off at random: network_*
"""
