"""The run directory: where everything of a run lies, what all instances agree upon, and what each of them writes down.

directory   the places and names in it, and how they are read and written
settings    what all instances of a run share
parameters  the user's own part of that, as JSON values
requests    to stop, to pause, to go on
journal     what an instance did, line by line
logs        its log file
digest      short names for long texts
"""
