"""Words, tables and bars for people, wherever they sit: a terminal, a file, a notebook.

text      names that cannot harm a terminal, times, counts
table     facts as HTML
notebook  the session of IPython that this process may belong to
progress  what a loop says while it runs
"""
