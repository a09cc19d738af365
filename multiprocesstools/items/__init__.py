"""One item, from its claim to its end.

item     `with item:`
inplace  the documented style, whose work writes the final in place
once     one file that is built once in the whole run
terms    what is the same for all items of a loop
results  values that the package writes itself
fate     how items ended for this instance
failure  a failed attempt as data
"""
