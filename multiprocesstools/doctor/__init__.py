"""What the filesystem under a directory is and can do, found out by doing it.

diagnosis       what follows from what is known
doctor          one machine tries
meeting         two processes find one another
second_opinion  what two machines see of one directory
"""
