"""Generate and build the programs, and prove from their machine code that the names tell the truth."""
import os
import re
import shutil
import subprocess

import c_program
import cpp_program
import go_program
import rust_program
from classify import Truth, marker_of

HERE = os.path.dirname(os.path.abspath(__file__))
C_FLAGS = ["-fomit-frame-pointer", "-Wall", "-Wno-attributes", "-Wno-unused", "-Wno-psabi", "-I", HERE]

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
BRANCH = re.compile(r"^\s+[0-9a-f]+:\s+(?:bnd |notrack )?(call|j[a-z]+)\s+[0-9a-f]+ <([^+>]*)")


def _markers_of_symbols(code):
    """symbol -> marker or None, of all symbols in a disassembly."""
    symbols = sorted(set(re.findall(r"^[0-9a-f]+ <(.*)>:$", code, re.M)) | set(re.findall(r" <([^+>\n]*)[^\n]*>$", code, re.M)))
    names = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True).stdout.split("\n")
    return dict(zip(symbols, map(marker_of, names)))


class BuildError(Exception):
    pass


class Program:
    """One source, built one way."""
    def __init__(self, name, forest, source, command):
        self.name = name
        self.forest = forest
        self.source = source
        self.command = command
        self.path = ""
        self.truth = Truth(forest.parents(), forest.callers)

    def build(self, folder):
        self.path = os.path.join(folder, self.name.replace("/", "-"))
        done = subprocess.run([self.path if part == "OUTPUT" else part for part in self.command], capture_output=True, text=True,
                              cwd=os.path.dirname(self.source))
        if done.returncode:
            raise BuildError(f"building {self.name}: {done.stderr.strip()[-2000:]}")

    def self_check(self, seconds=1):
        """The program's own comparison of its shadow stack with the names, and that of its machine code."""
        done = subprocess.run([self.path, "--self-check", str(seconds)], capture_output=True, text=True)
        if done.returncode:
            raise BuildError(f"{self.name}: {(done.stderr or done.stdout).strip()[-2000:]} (status {done.returncode})")
        self.check_calls()
        return done.stdout.strip()

    def check_calls(self):
        """No marker may be reached by a jump from elsewhere (a tail call), nor be called by a marker that is not its caller."""
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.path], capture_output=True, text=True, check=True).stdout
        marker = _markers_of_symbols(code)
        markers, inside = set(), None
        for line in code.splitlines():
            function = FUNCTION.match(line)
            if function:
                inside = marker[function.group(1)]
                if inside and ".part." in function.group(1):
                    raise BuildError(f"{self.name}: the compiler split {function.group(1)}")
                markers.add(inside)
                continue
            branch = BRANCH.match(line)
            target = marker[branch.group(2)] if branch else None
            if target is None or target == "main" or target == inside:
                continue
            if branch.group(1) != "call":
                raise BuildError(f"{self.name}: {inside} jumps to {target}")
            if inside not in (None, self.truth.parents[target]):
                raise BuildError(f"{self.name}: {inside} calls {target}")
        missing = set(self.truth.parents) - markers
        if missing:
            raise BuildError(f"{self.name}: not in the program, perhaps inlined: {', '.join(sorted(missing)[:5])}")


def _written(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def _has_avx2():
    with open("/proc/cpuinfo") as file:
        return " avx2 " in file.read()


def _compiled(folder, wanted, make_programs, compilers, suffix, write):
    """C and C++: each compiler that is there, at -O2 and at -O3."""
    flags = C_FLAGS + (["-DHAVE_AVX2"] if _has_avx2() else [])
    for name, make in make_programs.items():
        for compiler in compilers:
            for level in ("-O2", "-O3"):
                full = f"{name}/{compiler}{level}"
                if wanted(full) and shutil.which(compiler):
                    forest, text = write(make)
                    source = _written(folder, name + suffix, text)
                    yield Program(full, forest, source, [compiler, level, *flags, "-o", "OUTPUT", source, "-pthread"])


def _write_c(make):
    forest, options = make()
    return forest, c_program.write(forest, **options)


def _write_cpp(make):
    forest = make()
    return forest, cpp_program.write(forest)


def _rust(folder, wanted):
    for name, make in rust_program.PROGRAMS.items():
        if wanted(f"{name}/O3") and shutil.which("rustc"):
            forest = make()
            source = _written(folder, f"{name}.rs", rust_program.write(forest))
            yield Program(f"{name}/O3", forest, source, ["rustc", "-C", "opt-level=3", "-C", "force-frame-pointers=no", "-o", "OUTPUT", source])


def _go(folder, wanted):
    for name, make in go_program.PROGRAMS.items():
        if wanted(f"{name}/go") and shutil.which("go"):
            forest = make()
            source = _written(folder, os.path.join(name, "main.go"), go_program.write(forest))
            yield Program(f"{name}/go", forest, source, ["go", "build", "-o", "OUTPUT", source])


def programs(folder, wanted):
    """All programs whose name is wanted and whose compiler is there, not built yet."""
    os.makedirs(folder, exist_ok=True)
    yield from _compiled(folder, wanted, c_program.PROGRAMS, ("gcc", "clang"), ".c", _write_c)
    yield from _compiled(folder, wanted, cpp_program.PROGRAMS, ("g++", "clang++"), ".cc", _write_cpp)
    yield from _rust(folder, wanted)
    yield from _go(folder, wanted)
