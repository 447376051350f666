"""Runs a command on a terminal, types a line when it asks, and prints everything the terminal showed."""

import os
import pty
import sys
import termios
import time

typed, command = sys.argv[1], sys.argv[2:]
shown = b""
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
answered = False
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    shown += data
    if not answered and b": " in shown:
        # Nobody types in the instant between the question and the silence of the terminal.
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.001)
        os.write(terminal, typed.encode() + b"\n")
        answered = True
_, status = os.waitpid(pid, 0)
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(status))
