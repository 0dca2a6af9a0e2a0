"""Judge one sampled stack against the truth that the names of its marker functions spell.

A marker is a function named [thc]_N(_N)*. The spec of a program (see tree.py) gives each marker's only caller, so the
leafmost marker of a stack implies all frames that must follow it, down to main, a thread's entry or a coroutine's.
"""
import re
from collections import namedtuple

EXACT, TRUNCATED, WRONG, OUTSIDE = "exact", "truncated", "wrong", "outside"
VERDICTS = (EXACT, TRUNCATED, WRONG, OUTSIDE)
BLIND = "before the first marker"

# frames: names from the leaf to the root, user space only. cut: why the tool itself says that the root end is missing; "" if it does not.
Stack = namedtuple("Stack", "frames cut")
Verdict = namedtuple("Verdict", "kind reason")

MARKER = re.compile(r"[thc]_\d+(?:_\d+)*")
CLONE_SUFFIX = re.compile(r"\.(?:constprop|isra|part|cold|lto_priv|localalias|llvm|warm|abi0|abiinternal)\b(?:\.\d+)*")
MANGLED_CPP = re.compile(r"_Z(?:T[hv]n?\d+_(?:n?\d+_)?)?N?[KVr]*(?:St|L)?(?=\d)")
MANGLED_RUST = re.compile(r"_RI?Nv.*?(\d+)([thc]_\d+(?:_\d+)*)(?:B\w*_|C\w+)?(?:\.llvm\.\d+)?$")
RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
# glibc's names of one function's variants: __strlen_avx2, __memmove_avx_unaligned_erms, __GI_getppid, getppid@plt
LIBC_VARIANT = re.compile(r"^_*(?:GI_)?_*(.*?)(?:_(?:avx\w*|sse\w*|evex\w*|erms|unaligned\w*|nocancel|ifunc))?(?:@plt.*|@@?GLIBC.*)?$")
# Where a user stack that holds no marker may end without being cut: a program's, a thread's or a runtime's start.
ROOTS = re.compile(r"^(?:_start|__libc_start\w*|start_thread|_*clone3?|_*GI___clone3?|_dl_\w+|dl_main|_rt0_\w+|rt_sigreturn"
                   r"|_*start_context|\[ld-linux.*)$")
# Where Go leaves a goroutine's stack for a thread's own, or a thread or a goroutine begins: no marker lies beyond on this stack.
GO_ROOTS = re.compile(r"^runtime\.(?:goexit|mstart\d?|mcall|systemstack|morestack\w*|rt0_go|asmcgocall|sigtramp\w*)(?:\.abi0|\.abiinternal)?$")


def _without_groups(name, opening, closing):
    """The name without its (...) or <...> groups, however nested."""
    kept, depth = [], 0
    for char in name:
        if char == opening:
            depth += 1
        elif char == closing and depth:
            depth -= 1
        elif not depth:
            kept.append(char)
    return "".join(kept)


def _mangled_marker(name):
    """The marker that a mangled C++ or Rust symbol's path ends with, or None."""
    match = MANGLED_RUST.match(name)
    if match:
        return match.group(2) if match.group(1).endswith(str(len(match.group(2)))) else None
    match = MANGLED_CPP.match(name)
    at, last = match.end() if match else len(name), ""
    while at < len(name) and name[at].isdigit():
        length = re.match(r"\d+", name[at:]).group()
        part = name[at + len(length):at + len(length) + int(length)]
        at += len(length) + int(length)
        if not re.fullmatch(r"h[0-9a-f]{16}", part):
            last = part
    return last if MARKER.fullmatch(last) else None


def base_name(frame):
    """The last component of a frame's name: no arguments, template arguments, return type, hash or clone suffix.

    A closure's last component is its own, so a closure inside a marker function is no marker."""
    name = frame.strip().replace("->", "")
    name = RUST_HASH.sub("", name)
    name = re.sub(r"operator\(\)", "operator_call", name)
    name = re.sub(r"\{lambda[^}]*\}(?:#\d+\})?", "lambda", name)
    name = re.sub(r"\{(?:\{closure\}|closure#\d+|closure_env#\d+|shim[^}]*)\}?", "closure", name)
    for opening, closing in ("[]", "()", "<>"):
        name = _without_groups(name, opening, closing)
    name = CLONE_SUFFIX.sub("", name)
    name = re.sub(r"\s+const\b", "", name).strip()
    return re.split(r"::|\.|\s", name)[-1]


def marker_of(frame):
    """The marker that this frame is, "main", or None."""
    base = base_name(frame)
    if MARKER.fullmatch(base):
        return base
    if base == "main" and not frame.startswith("runtime."):
        return "main"
    return _mangled_marker(frame) if frame.startswith(("_Z", "_R")) else None


def libc_name(frame):
    """One name for all variants of a libc function."""
    match = LIBC_VARIANT.match(frame)
    return {"memmove": "memcpy"}.get(match.group(1), match.group(1))


class Truth:
    """parents: marker -> its only caller; a root maps to None. callers: libc function -> the only marker that calls it."""
    def __init__(self, parents, callers=None):
        self.parents = parents
        self.callers = callers or {}
        self._names = {}

    def chain(self, marker):
        """The marker and all its callers, leaf first."""
        chain = []
        while marker is not None:
            chain.append(marker)
            marker = None if marker == "main" else self.parents[marker]
        return chain

    def _marker(self, frame):
        if frame not in self._names:
            self._names[frame] = marker_of(frame)
        return self._names[frame]

    def markers(self, frames):
        """The markers of a stack, leaf first. main may appear twice in a row: Rust's and Go's stand on another."""
        found = []
        for frame in frames:
            marker = self._marker(frame)
            if marker and not (marker == "main" and found and found[-1] == "main"):
                found.append(marker)
        return found

    def _leaf_contradicts(self, frames, leafmost):
        """A libc function that some other marker alone calls stands where the leafmost marker's callee should."""
        at = next(i for i, frame in enumerate(frames) if self._marker(frame))
        callee = libc_name(frames[at - 1]) if at else None
        caller = self.callers.get(callee)
        return f"{callee} is called by {caller}" if caller and caller != leafmost else None

    def classify(self, stack):
        found = self.markers(stack.frames)
        if not found:
            return self._without_marker(stack)
        for marker in found:
            if marker != "main" and marker not in self.parents:
                return Verdict(WRONG, f"foreign {marker}")
        contradiction = self._leaf_contradicts(stack.frames, found[0])
        if contradiction:
            return Verdict(WRONG, "skipped: " + contradiction)
        if found == ["main"]:
            return Verdict(OUTSIDE, "main itself")
        expected = self.chain(found[0])
        if found == expected:
            return Verdict(TRUNCATED, "reached the root, marked as cut: " + stack.cut) if stack.cut else Verdict(EXACT, "")
        if found == expected[:len(found)]:
            return Verdict(TRUNCATED, "cut: " + stack.cut if stack.cut else "ends early")
        return self._wrong(found, expected)

    def _without_marker(self, stack):
        """No marker: outside the markers if the stack is whole, else the tool lost even the leafmost one."""
        if not stack.frames:
            return Verdict(OUTSIDE, "no user frames")
        if GO_ROOTS.match(stack.frames[-1]):
            return Verdict(OUTSIDE, "Go's system stack")
        if not stack.cut and ROOTS.match(re.sub(r"@plt$", "", stack.frames[-1])):
            return Verdict(OUTSIDE, "no marker")
        if all(frame.startswith("[ld-linux") for frame in stack.frames):
            return Verdict(OUTSIDE, "the dynamic linker")
        if stack.frames[-1] in ("_exit", "__GI__exit"):
            return Verdict(OUTSIDE, "the end of the process, whose memory is gone")
        return Verdict(TRUNCATED, BLIND + (", cut: " + stack.cut if stack.cut else ""))

    @staticmethod
    def _wrong(found, expected):
        at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b), len(expected))
        if at == len(expected):
            return Verdict(WRONG, f"foreign {found[at]} below the root")
        if found[at] in expected[at:]:
            return Verdict(WRONG, f"skipped {expected[at]}")
        if found[at] in expected[:at]:
            return Verdict(WRONG, f"order: {found[at]} again, for {expected[at]}")
        return Verdict(WRONG, f"foreign {found[at]} for {expected[at]}")
