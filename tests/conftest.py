"""What holds for every test here."""

import signal
import threading

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    # A shell's background job ignores SIGINT, and what it starts inherits that; tests send it to what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
