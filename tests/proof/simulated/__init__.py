"""The claim code on a simulated shared disk: every state of few instances, and random schedules of whole runs.

server     what is shared: a pure function of operations         players    the programs that take part
clients    what each client remembers, and what goes wrong       settings   what is searched
disk       the verbs, made of operations                         checks     the promises
behaviour  a program as a tree of the answers that it may get    explore    every state of one setting
search     all settings                                          story      what a seed decides
kernel     machines, processes and a server in virtual time      simulate   one run, decided by a seed
mutants    the protocol broken on purpose                        hunt       the search must notice each
"""
