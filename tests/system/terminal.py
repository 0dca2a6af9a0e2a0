"""A terminal for tests: a program on a pty, what it shows on a screen by pyte, and what it left behind."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's python3-pyte, whichever python runs


def emulator(columns, rows):
    """pyte's screen and stream, with what else ncurses uses of xterm-256color: REP, SU, SD (infocmp: rep, indn, rin). pyte passes over what it does not know, and is wrong from there on."""
    import pyte

    class Screen(pyte.Screen):
        last = " "

        def draw(self, data):
            super().draw(data)
            self.last = data[-1:] or self.last

        def repeat(self, count=1):
            self.draw(self.last * max(count, 1))

        def scroll(self, count, to, step):
            place, margins = self.cursor.y, self.margins or (0, self.lines - 1)
            self.cursor.y = margins[to]
            for _ in range(max(count, 1)):
                step()
            self.cursor.y = place

        def scroll_up(self, count=1):
            self.scroll(count, 1, self.index)

        def scroll_down(self, count=1):
            self.scroll(count, 0, self.reverse_index)

        def window(self, *_arguments):
            """Titles are kept and given back: nothing on the screen."""

    class Stream(pyte.ByteStream):
        csi = {**pyte.ByteStream.csi, "b": "repeat", "S": "scroll_up", "T": "scroll_down", "t": "window"}

    screen = Screen(columns, rows)
    return screen, Stream(screen)


class Terminal:
    def __init__(self, *arguments, rows=24, columns=80, **environment):
        self.master, self.slave = pty.openpty()
        self.screen, self.stream = emulator(columns, rows)
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
            unknown = {final for final in re.findall(rb"\x1b\[[?>]?[\d;]*([@-~])", self.raw[-len(new) - 32:]) if final.decode() not in self.stream.csi}
            assert not unknown, f"the emulator does not know {unknown}"

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
