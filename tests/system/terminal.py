"""A terminal for tests: a program on a pty, what it shows on a screen by pyte, and what it left behind."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's python3-pyte, whichever python runs


class Terminal:
    def __init__(self, *arguments, rows=24, columns=80, **environment):
        import pyte
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **environment}
        # A session of its own, whose terminal this is.
        self.process = subprocess.Popen(["setsid", "--ctty", *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env)

    def size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def keys(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, seconds=0.05):
        """Take what comes until nothing has come for so long."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                new = os.read(self.master, 65536)
            except OSError:
                return
            self.raw += new
            self.stream.feed(new)

    def lines(self):
        self.read()
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, condition, seconds=30, what=""):
        """condition: a text on the screen, or a function of the lines. It holds while nothing is being drawn."""
        def holds():
            lines = self.lines()
            return lines if (condition(lines) if callable(condition) else any(condition in line for line in lines)) else None

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                self.read(0.15)
                lines = holds()
                if lines:
                    return lines
            if self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]:
                break
        raise AssertionError(f"{what or condition} did not come; status {self.process.poll()}; the screen:\n" + "\n".join(self.screen.display))

    def ended(self, seconds=30):
        """The exit status; reads meanwhile, because a program waits for a terminal that nobody reads."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, "did not end:\n" + self.text()
            self.read()
        self.read()
        return self.process.returncode

    def check_clean(self):
        """Modes as before, the main screen, a cursor that shows."""
        after = termios.tcgetattr(self.slave)
        assert after == self.before, (self.before, after)
        assert self.raw.rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h"), self.raw[-200:]
        assert self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l"), self.raw[-200:]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
