"""The claim protocol: who may work on an output, on a directory that machines share, when machines die at any moment.

It knows files and instances and nothing of tasks. The rooms, from the ground up:

    disk      the verbs on the shared filesystem, and `posix`, the only place where they are carried out
    whole     creating a file with its whole content at once
    steady    the same verbs, waiting out the errors that pass
    identity  which process this is, and the proof that another one is gone
    record    the file that says who an instance is and that it lives
    ended     the file that says how an attempt ended
    slots     the names of all files of one item, and what a listing says of them
    survey    the state of an item, decided from those names alone
    peers     observing the others: gone, silent or alive
    instance  one process taking part: its record, its beat, what it has in its hands
    assess    the state of an item as an instance finds it, names and ended-files together
    hands     what an instance is occupied with
    claim     one attempt: take -> publish | end
    chunk     the first attempt at several items at once
    again     trying again what was set aside
    publish   from a complete staging file to the final
    direct    one attempt whose caller writes the final in place
    sweep     removing what finished items and dead instances left
    tokens    permissions that go round, for locks and limits
    probe     what a filesystem is, and what it really does
"""
