"""For all tests: signals as in a terminal, also where the tests themselves were started with some of them ignored.

A shell starts `command &` with SIGINT ignored, and `nohup` does the same to SIGHUP; every child inherits that.
"""

import signal

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)
