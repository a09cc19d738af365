"""A run as others see it who do not take part, and what they can mend.

onlooker  somebody who only looks
lookup    which item a person means
statuses  the state of a run as data; `snapshot` finds it
diary     what one journal says in one pass
explain   why an item is in its state
archive   log files and journals as one stream
retry     making failed items claimable again
sweeper   cleaning up a run
"""
