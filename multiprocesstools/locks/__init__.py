"""At most one, or at most n, of all threads, processes and machines of a run at the same time.

holds  what the threads of one helper hold
locks  taking one for the length of a block
turns  the helper's methods
"""
