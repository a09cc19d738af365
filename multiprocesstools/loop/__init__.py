"""Which item next, and when it is over.

options  what a loop is asked to do, checked
opening  from what the user gave to the loop
loop     the loop
order    what comes next among untried items
board    what one loop knows of its items
scout    what it finds out from listings
chunks   items that are claimed together
watch    what it looks at while nothing can be claimed
course   whether it goes on; `until` when it has to be over
"""
