"""What is to be done: the lists of items, their names, and what is known of them, written down in the run directory.

naming     names of outputs from templates
finals     from sources to finals, a million of them in little memory
inventory  the same, as it is written down
cut        how a list falls into chunks
plan       one list as data
agreement  whether a list goes together with what others do to the same finals
plans      all lists of a run
hints      what somebody has found out about a directory, so that others need not list it
"""
