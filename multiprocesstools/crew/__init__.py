"""Who takes part: this process as a member of a run, from its first sign of life to its last.

heart      the thread that beats
pacemaker  a child process that beats instead; `pulse` is its program
signals    SIGINT, SIGTERM and SIGHUP while something is held
member     instance, journal, log file and heart, which begin and end together
crew       what a helper and all its items share
"""
