"""What holds for all tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Processes that a shell starts in the background ignore Ctrl-C, and tests would wait for it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
