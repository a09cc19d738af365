"""Functions over items: what `map` sends to an executor, and what comes back.

call       what runs for each item
saving     what a function returns, as a file
executors  the executor, and a new one when it breaks
flight     the items that are sent and not landed
summary    what a `map` has come to
"""
