"""Runs a program in a terminal, closes the terminal once the program has printed, and waits for the program to end."""

import os
import pty
import select
import sys

PATIENCE = 20

program, terminal = pty.fork()
if program == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while b"watching" not in seen:
    if not select.select([terminal], [], [], PATIENCE)[0]:
        sys.exit(f"nothing was printed: {seen!r}")
    seen += os.read(terminal, 4096)
ended = os.pidfd_open(program)
os.close(terminal)
if not select.select([ended], [], [], PATIENCE)[0]:
    os.kill(program, 9)
    sys.exit("it goes on without its terminal")
