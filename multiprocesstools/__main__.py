"""`python -m multiprocesstools` is the command."""

from multiprocesstools.cli import main

main()
