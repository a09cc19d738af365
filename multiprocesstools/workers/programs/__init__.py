"""What a queue of programs is made of, beneath `Process` and `ProcessesLogic`.

dispatch, hooks, share, process_list        which process begins when, who hears of it, and who shows it
pump, wires, child, errand, guard           the thread that starts, watches and ends programs
command, far, frames                        what is started, here or behind a prefix, and how it is talked to
bounds, consumption                         how many may run, and what they take
byhand                                      one run again, by hand
"""
