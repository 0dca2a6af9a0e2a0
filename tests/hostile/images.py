"""Files that are made to hurt who reads them: SAFETY.md's first corpus and more. Each is an ELF file whose first page has code that runs for ever
at CODE (tests/hostile/mapped.c jumps there), so that it is sampled like any other.

IMAGES: name -> function(path); tests/hostile/images.py FOLDER writes them all.
"""
import fcntl
import lzma
import os
import shutil
import struct
import sys
import zlib

CODE = 0x800		 # file offset of the endless loop
BASE = 0x400000		 # vaddr of the file's first byte
PAGE = 0x1000
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE = 1, 2, 3, 7
LOOP = bytes.fromhex("554889e5" "f390" "ebfc")	# push %rbp; mov %rsp, %rbp; 1: pause; jmp 1b
IMAGES = {}


def image(function):
    IMAGES[function.__name__] = function
    return function


def uleb(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


class Elf:
    """Sections are laid out behind the first page; what they claim may be something else."""

    def __init__(self):
        self.sections = [dict(name="", type=0)]
        self.segments = [(1, 5, 0, BASE, PAGE)]
        self.add(".text", LOOP, flags=6, vaddr=BASE + CODE, offset=CODE)

    def add(self, name, data=b"", type=SHT_PROGBITS, flags=0, vaddr=0, offset=None, size=None, link=0, entry=0, info=0):
        self.sections.append(dict(name=name, data=data, type=type, flags=flags, vaddr=vaddr, offset=offset, size=size, link=link, entry=entry, info=info))
        return len(self.sections) - 1

    def symbols(self, names, type=SHT_SYMTAB, size=len(LOOP), value=BASE + CODE):
        strings = b"\0" + b"".join(name + b"\0" for name in names)
        table, at = bytes(24), 1
        for name in names:
            table += struct.pack("<IBBHQQ", at, 0x12, 0, 1, value, size)
            at += len(name) + 1
        index = len(self.sections)
        self.add(".symtab", table, type=type, link=index + 1, entry=24)
        self.add(".strtab", strings, type=SHT_STRTAB)

    def note(self, name, build_id):
        index = self.add(name, struct.pack("<III4s", 4, len(build_id), 3, b"GNU\0") + build_id, type=SHT_NOTE)
        return index

    def write(self, path, file_bytes=None, sections=None):
        """sections: how many the header claims."""
        names = b"\0"
        for section in self.sections:
            section["at"] = len(names) if section["name"] else 0
            names += section["name"].encode() + b"\0" if section["name"] else b""
        self.add(".shstrtab", names + b".shstrtab\0", type=SHT_STRTAB)
        self.sections[-1]["at"] = len(names)
        at = PAGE
        with open(path, "wb") as file:
            for section in self.sections[1:]:
                if section.get("offset") is None:
                    section["offset"] = at
                    at = (at + len(section["data"]) + 15) & ~15
                file.seek(section["offset"])
                file.write(section["data"])
            file.seek(at)
            table = at
            for s in self.sections:
                size = s.get("size") if s.get("size") is not None else len(s.get("data", b""))
                file.write(struct.pack("<IIQQQQIIQQ", s["at"], s["type"], s.get("flags", 0), s.get("vaddr", 0), s.get("offset") or 0, size,
                                       s.get("link", 0), s.get("info", 0), 1, s.get("entry", 0)))
            count = sections if sections is not None else len(self.sections)
            file.seek(0)
            file.write(struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, BASE + CODE, 64, table, 0, 64, 56, len(self.segments), 64, count,
                                   len(self.sections) - 1))
            for kind, flags, offset, vaddr, size in self.segments:
                file.write(struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, vaddr, size, size, 4096))
            file.truncate(max(file_bytes or 0, os.fstat(file.fileno()).st_size, PAGE))
        os.chmod(path, 0o755)


# --- CFI ---------------------------------------------------------------------------------------------------------


def eh_frame(cie_instructions, *fdes):
    """fdes: (start, bytes, instructions); pc-relative to 0: the section is at vaddr 0x500000 and says absolute addresses."""
    def entry(body):
        body += bytes(-(len(body) + 4) % 8)
        return struct.pack("<I", len(body)) + body
    cie = entry(struct.pack("<IB", 0, 1) + b"zR\0" + uleb(1) + b"\x78" + uleb(16) + uleb(1) + b"\0" + cie_instructions)
    out = cie
    for start, size, instructions in fdes:
        out += entry(struct.pack("<IQQ", len(out) + 4, start, size) + uleb(0) + instructions)
    return out + bytes(4)


DEF_CFA = b"\x0c\x07\x08\x90\x01"	# rsp + 8; ra at CFA - 8


def with_eh_frame(path, data, name=b"hostile"):
    elf = Elf()
    elf.add(".eh_frame", data, flags=2, vaddr=0x500000)
    elf.symbols([name])
    elf.write(path)


@image
def cfi_register(path):
    """A huge register number, and states remembered (SAFETY.md: 1.5 GB, 3 s)."""
    instructions = (b"\x05" + uleb((1 << 32) - 2) + uleb(1) + b"\x0a") * 1300
    with_eh_frame(path, eh_frame(DEF_CFA, (BASE + CODE, 64, instructions)))


@image
def cfi_rows(path):
    """One FDE of 80,000 rows (SAFETY.md: quadratic, 6.6 s)."""
    instructions = b"".join(b"\x41\x0e" + uleb(16 + 8 * (i % 9)) for i in range(80000))
    with_eh_frame(path, eh_frame(DEF_CFA, (BASE + CODE, 1 << 20, instructions)))


@image
def cfi_overlaps(path):
    """20,000 FDEs over the same code."""
    fdes = [(BASE + CODE - i % 512, 1024 + i, b"\x41\x0e" + uleb(16 + 8 * (i % 50))) for i in range(20000)]
    with_eh_frame(path, eh_frame(DEF_CFA, *fdes))


# --- bombs -------------------------------------------------------------------------------------------------------


def zeros_xz(megabytes):
    """xz of zeros: LZMA2 chunks that begin anew may be repeated."""
    body = lzma.compress(bytes(64 << 20), format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])[:-1]
    repeat = megabytes // 64
    data = body * repeat + b"\0"
    header = b"\xfd7zXZ\0" + b"\0\0" + struct.pack("<I", zlib.crc32(b"\0\0"))
    block = bytes([2, 0, 0x21, 1, 22]) + bytes(3)
    block += struct.pack("<I", zlib.crc32(block))
    unpadded = len(block) + len(data)
    index = b"\0" + uleb(1) + uleb(unpadded) + uleb(repeat << 26)
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    tail = struct.pack("<I", len(index) // 4 - 1) + b"\0\0"
    return header + block + data + bytes(-len(data) % 4) + index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"


def zeros_zlib(megabytes):
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, wbits=-15)
    return b"\x78\xda" + body * megabytes + last.flush() + bytes(4)


@image
def xz_bomb(path):
    """2 GiB of zeros in .gnu_debugdata (SAFETY.md: 2.1 GB, 8 s)."""
    elf = Elf()
    elf.add(".gnu_debugdata", zeros_xz(2048))
    elf.write(path)


def compressed(path, claimed, megabytes):
    elf = Elf()
    for name in (".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_frame"):
        elf.add(name, struct.pack("<IIQQ", 1, 0, claimed, 1) + zeros_zlib(megabytes), flags=0x800)
    elf.symbols([b"hostile"])
    elf.write(path)


@image
def zlib_bomb(path):
    """4 GiB in a debug section, and it says so (SAFETY.md: 4.1 GB, 17 s)."""
    compressed(path, 4 << 30, 4096)


@image
def zlib_bomb_that_lies(path):
    """4 GiB where 1 MiB is said to be."""
    compressed(path, 1 << 20, 4096)


@image
def zlib_many(path):
    """Many sections that are just within any limit."""
    elf = Elf()
    packed = struct.pack("<IIQQ", 1, 0, 200 << 20, 1) + zeros_zlib(200)
    first = elf.add(".debug_info", packed, flags=0x800)
    elf.sections[first]["offset"] = 1 << 20
    for name in ("abbrev", "line", "str", "line_str", "str_offsets", "addr", "ranges", "rnglists", "aranges", "frame"):
        elf.add(".debug_" + name, b"", flags=0x800, offset=1 << 20, size=len(packed))
    elf.write(path)


@image
def demangle_bomb(path):
    """A symbol of some 240 bytes that are gigabytes of text (SAFETY.md)."""
    doubled = b"_Z1f1AIiE" + b"".join(b"S_IS%c_S%c_E" % (digit, digit) for digit in b"0123456789ABCDEFGHIJKLMNOPQR")
    elf = Elf()
    elf.symbols([doubled])
    elf.write(path)


# --- tables ------------------------------------------------------------------------------------------------------


@image
def sparse_10g(path):
    """10 GiB of holes; sections at its end, and a symbol table of 100 million entries in it."""
    elf = Elf()
    end = 10 << 30
    index = len(elf.sections)
    elf.add(".symtab", b"", type=SHT_SYMTAB, offset=1 << 20, size=24 * 100_000_000, link=index + 1, entry=24)
    elf.add(".strtab", b"", type=SHT_STRTAB, offset=4 << 30, size=5 << 30)
    for name in ("info", "abbrev", "line", "str", "line_str", "rnglists", "addr"):
        elf.add(".debug_" + name, b"", offset=1 << 30, size=8 << 30)
    elf.add(".eh_frame", b"", flags=2, vaddr=0x500000, offset=1 << 30, size=8 << 30)
    elf.write(path, file_bytes=end)


@image
def symbols_100m(path):
    """A symbol table that claims 100 million entries, in a file of 100 KiB."""
    elf = Elf()
    elf.symbols([b"hostile%d" % i for i in range(1000)])
    elf.sections[2]["size"] = 24 * 100_000_000
    elf.sections[3]["size"] = 1 << 40
    elf.write(path)


@image
def symbols_far_names(path):
    """Labels whose names lie far apart, in turn."""
    elf = Elf()
    strings = bytearray(b"x" * (1 << 20))
    table = bytearray(24)
    for i in range(400_000):
        table += struct.pack("<IBBHQQ", 1 + (i % 2) * ((1 << 20) - 70) + i % 32, 0x10, 0, 1, BASE + CODE + i % 8, 0)
    index = len(elf.sections)
    elf.add(".symtab", bytes(table), type=SHT_SYMTAB, link=index + 1, entry=24)
    elf.add(".strtab", bytes(strings), type=SHT_STRTAB)
    elf.write(path)


@image
def strings_without_end(path):
    """A string table without a single NUL."""
    elf = Elf()
    elf.symbols([b"hostile"] * 100)
    elf.sections[3]["data"] = b"A" * (4 << 20)
    elf.add(".debug_str", b"B" * (4 << 20))
    elf.write(path)


@image
def sections_65535(path):
    """As many sections as a header can count, all notes, over the same bytes."""
    elf = Elf()
    elf.add(".notes", struct.pack("<III", 0, 0, 1) * 5000, type=SHT_NOTE)
    where = dict(elf.sections[-1], offset=PAGE, size=60000)
    for _ in range(65535 - len(elf.sections) - 1):
        elf.sections.append(dict(where, data=b""))
    elf.write(path)


@image
def sections_overlap(path):
    """Every debug section is the same bytes, which are the file's header too."""
    elf = Elf()
    for name in ("info", "abbrev", "line", "str", "line_str", "str_offsets", "addr", "ranges", "rnglists", "aranges", "frame"):
        elf.add(".debug_" + name, b"", offset=0, size=PAGE)
    for name in (".eh_frame", ".gopclntab", ".gnu_debugdata", ".gnu_debuglink", ".gnu_debugaltlink", ".plt", ".rela.plt"):
        elf.add(name, b"", flags=2, vaddr=0x500000, offset=0, size=PAGE)
    elf.write(path)


@image
def build_id_huge(path):
    """A build id of 60,000 bytes, one of 2, and one that claims 4 GiB."""
    elf = Elf()
    elf.note(".note.a", b"x" * 60000)
    elf.note(".note.b", b"xy")
    index = elf.note(".note.c", b"0123456789abcdefghij")
    elf.sections[index]["data"] = struct.pack("<III4s", 4, 0xffffffff, 3, b"GNU\0") + b"x" * 20
    elf.symbols([b"hostile"])
    elf.write(path)


# --- DWARF -------------------------------------------------------------------------------------------------------

CU, SUBPROGRAM, INLINED, BLOCK = 0x11, 0x2e, 0x1d, 0x0b
NAME, LOW, HIGH, RANGES, ORIGIN, SPECIFICATION, STMT = 0x03, 0x11, 0x12, 0x55, 0x31, 0x47, 0x10
F_ADDR, F_DATA4, F_STRING, F_UDATA, F_REF4, F_SEC, F_IMPLICIT = 0x01, 0x06, 0x08, 0x0f, 0x13, 0x17, 0x21


def abbrevs(*rows):
    """rows: (code, tag, children, (attribute, form)...)."""
    out = b""
    for code, tag, children, *attributes in rows:
        out += uleb(code) + uleb(tag) + bytes([children]) + b"".join(uleb(a) + uleb(f) for a, f in attributes) + b"\0\0"
    return out + b"\0"


UNIT = (1, CU, 1, (NAME, F_STRING), (LOW, F_ADDR), (HIGH, F_DATA4), (STMT, F_SEC))
UNIT_BYTES = b"\1a.c\0" + struct.pack("<QII", BASE + CODE, 64, 0)


def unit(dies, version=4, first=UNIT_BYTES):
    body = struct.pack("<HIB", version, 0, 8) + first + dies
    return struct.pack("<I", len(body)) + body


def with_dwarf(path, info, abbrev, **sections):
    elf = Elf()
    elf.add(".debug_info", info)
    elf.add(".debug_abbrev", abbrev)
    for name, data in sections.items():
        elf.add(".debug_" + name, data)
    elf.write(path)


HEAD_BYTES = 11 + len(UNIT_BYTES)	# offset of the unit's first child


@image
def inlines_deep(path):
    """200,000 calls inlined into each other."""
    table = abbrevs(UNIT, (2, SUBPROGRAM, 1, (NAME, F_STRING), (LOW, F_ADDR), (HIGH, F_DATA4)),
                    (3, INLINED, 1, (ORIGIN, F_REF4), (LOW, F_ADDR), (HIGH, F_DATA4)))
    outer = b"\2outer\0" + struct.pack("<QI", BASE + CODE, 64)
    inner = b"\3" + struct.pack("<IQI", HEAD_BYTES, BASE + CODE, 64)
    with_dwarf(path, unit(outer + inner * 200_000 + bytes(200_002)), table)


@image
def blocks_deep(path):
    """A million blocks inside each other, none of them with code."""
    table = abbrevs(UNIT, (2, BLOCK, 1))
    with_dwarf(path, unit(b"\2" * 1_000_000 + bytes(1_000_001)), table)


@image
def origin_loop(path):
    """Abstract origins in circles, of one and of three, 100,000 times."""
    table = abbrevs(UNIT, (2, SUBPROGRAM, 0, (ORIGIN, F_REF4), (LOW, F_ADDR), (HIGH, F_DATA4)))
    dies = b""
    for i in range(100_000):
        ring = i // 3 * 3
        target = i if i % 7 == 0 else ring + (i + 1 - ring) % 3
        dies += b"\2" + struct.pack("<IQI", HEAD_BYTES + 17 * target, BASE + CODE, 64)
    with_dwarf(path, unit(dies + b"\0"), table)


@image
def specification_chain(path):
    """Each function is the specification of the one before, 200,000 of them."""
    table = abbrevs(UNIT, (2, SUBPROGRAM, 0, (SPECIFICATION, F_REF4), (LOW, F_ADDR), (HIGH, F_DATA4)))
    dies = b"".join(b"\2" + struct.pack("<IQI", HEAD_BYTES + 17 * max(i - 1, 0), BASE + CODE, 64) for i in range(200_000))
    with_dwarf(path, unit(dies + b"\0"), table)


@image
def ranges_million(path):
    """Three million ranges in one list, which 1,000 functions have."""
    table = abbrevs(UNIT, (2, SUBPROGRAM, 0, (NAME, F_STRING), (RANGES, F_SEC)))
    ranges = b"".join(struct.pack("<QQ", i % 60, i % 60 + 1 + i % 3) for i in range(1, 100_000)) * 30 + bytes(16)
    with_dwarf(path, unit(b"".join(b"\2f%03d\0" % (i % 1000) + struct.pack("<I", 0) for i in range(1000)) + b"\0"), table, ranges=ranges)


@image
def abbreviation_bomb(path):
    """Units of 30 bytes, each with a table of 100,000 abbreviations of its own offset."""
    rows = abbrevs(*[(200_000 + i, SUBPROGRAM, 0, *[(NAME, F_UDATA)] * 8) for i in range(100_000)], UNIT)
    units = b""
    for i in range(20_000):
        body = struct.pack("<HIB", 4, i * 2, 8) + UNIT_BYTES + b"\0"
        units += struct.pack("<I", len(body)) + body
    with_dwarf(path, units, rows)


@image
def attributes_many(path):
    """An abbreviation with a million attributes."""
    table = abbrevs((1, CU, 1, *[(NAME, F_STRING)] * 1_000_000))
    with_dwarf(path, unit(b"\1" + bytes(2_000_000), first=b""), table)


@image
def line_endless(path):
    """A program of 8 MiB that advances and advances, and never ends its sequence; a thousand units use it."""
    def tables(program, files=b"a.c\0\0\0\0" * 20_000):
        head = bytes([1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0" + files + b"\0"
        body = struct.pack("<HI", 4, len(head)) + head + program
        return struct.pack("<I", len(body)) + body
    start = b"\0\x09\2" + struct.pack("<Q", BASE + CODE)
    program = start + b"\xff" * (4 << 20) + start + b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x13" * 300_000
    with_dwarf(path, unit(b"\0") * 1000, abbrevs(UNIT), line=tables(program))


@image
def line_rows(path):
    """Sequences of one row, four million of them, over the same code."""
    head = bytes([1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0" + b"a.c\0\0\0\0" + b"\0"
    one = b"\0\x09\2" + struct.pack("<Q", BASE + CODE) + b"\x20\x02\x05\0\x01\x01"
    body = struct.pack("<HI", 4, len(head)) + head + one * 1_000_000
    with_dwarf(path, unit(b"\0"), abbrevs(UNIT), line=struct.pack("<I", len(body)) + body)


@image
def line_units_far(path):
    """5,000 units, last table first; each table claims everything up to the end of a section of 200 MiB of holes."""
    size, count = 200 << 20, 5000
    step = size // count & ~15
    head = bytes([1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0]) + b"a.c\0\0\0\0\0"
    units = b""
    for i in reversed(range(count)):
        first = b"\1a.c\0" + struct.pack("<QII", BASE + CODE, 64, i * step)
        units += unit(b"\0", first=first)
    elf = Elf()
    elf.add(".debug_info", units)
    elf.add(".debug_abbrev", abbrevs(UNIT))
    elf.add(".debug_line", b"", offset=64 << 20, size=size)
    elf.write(path, file_bytes=(64 << 20) + size)
    with open(path, "r+b") as file:
        for i in range(count):
            file.seek((64 << 20) + i * step)
            file.write(struct.pack("<IHI", size - i * step - 4, 4, len(head)) + head)


def skeleton(path, name):
    """A unit whose code is described in another file."""
    table = abbrevs((1, CU, 0, (0x2130, F_STRING), (0x2131, 0x07), (0x1b, F_STRING), (LOW, F_ADDR), (HIGH, F_DATA4)))
    first = b"\1" + name + b"\0" + struct.pack("<Q", 7) + b"/\0" + struct.pack("<QI", BASE + CODE, 64)
    with_dwarf(path, unit(b"", first=first) * 50, table)


@image
def dwo_fifo(path):
    """DW_AT_dwo_name is a FIFO (SAFETY.md: hangs)."""
    fifo = path + ".fifo"
    if not os.path.exists(fifo):
        os.mkfifo(fifo)
    skeleton(path, fifo.encode())


@image
def dwo_device(path):
    """DW_AT_dwo_name is a device, and another process's memory."""
    skeleton(path, b"/dev/zero")


@image
def dwo_climbs(path):
    """DW_AT_dwo_name climbs out of every root."""
    skeleton(path, b"../" * 100 + b"etc/shadow")


@image
def alt_itself(path):
    """A dwz file that is its own alternate file."""
    elf = Elf()
    build_id = b"0123456789abcdefghij"
    elf.note(".note.gnu.build-id", build_id)
    elf.add(".gnu_debugaltlink", os.path.abspath(path).encode() + b"\0" + build_id)
    table = abbrevs(UNIT, (2, SUBPROGRAM, 0, (ORIGIN, 0x1f20), (LOW, F_ADDR), (HIGH, F_DATA4)))
    elf.add(".debug_info", unit((b"\2" + struct.pack("<IQI", HEAD_BYTES, BASE + CODE, 64)) * 10_000 + b"\0"))
    elf.add(".debug_abbrev", table)
    elf.write(path)


@image
def link_itself(path):
    """A debuglink to itself, with a wrong CRC, and no debug information."""
    elf = Elf()
    name = os.path.basename(path).encode() + b"\0"
    elf.add(".gnu_debuglink", name + bytes(-len(name) % 4) + b"\1\2\3\4")
    elf.symbols([b"hostile"])
    elf.write(path)


# --- Go ----------------------------------------------------------------------------------------------------------


@image
def go_loops(path):
    """A Go program whose functions do not ascend, share one endless table of pcs, and whose inline trees bite their tails."""
    elf = Elf()
    count, functions = 100_000, 72 + 64
    records = functions + 8 * count + 8
    functab = b"".join(struct.pack("<II", 0x800 + i % 2 * 16, records - functions) for i in range(count)) + struct.pack("<II", 0x900, 0)
    record = struct.pack("<11I", 0, 1, 0, 0, 1, 1, 1, 3, 0, 5, 4 << 24) + struct.pack("<7I", 0, 0, 1, 0xffffffff, 0xffffffff, 0xffffffff, 0)
    text = b"\0main.f\0".ljust(32, b"\0") + b"\2\0" * 16
    table = struct.pack("<I4B8Q", 0xfffffff1, 0, 0, 1, 8, count, 1, BASE, 72, 72 + 8, 72 + 16, 72 + 31, functions) + text + functab + record
    table += struct.pack("<4B3I", 0, 0, 0, 0, 1, 0, 7) * 64
    elf.add(".gopclntab", table, flags=2, vaddr=0x600000)
    elf.note(".note.go.buildid", b"x" * 20)
    words = [0] * 48
    words[0], words[1], words[4], words[22], words[40] = 0x600000, 0x600000 + 72, 0x600000 + 80, BASE, 0x600000 + len(table) - 1024
    elf.add(".noptrdata", struct.pack("<48Q", *words), flags=3, vaddr=0x700000)
    elf.write(path)


@image
def go_many(path):
    """A table that claims two million functions in a file of 4 KiB, and one of 40 MiB that has them."""
    elf = Elf()
    elf.add(".gopclntab", struct.pack("<I4B8Q", 0xfffffff1, 0, 0, 1, 8, 2 << 20, 1, BASE, 72, 72, 72, 72, 72) + bytes(40 << 20), flags=2, vaddr=0x600000)
    elf.write(path)


@image
def plain(path):
    """Nothing wrong: what the others are compared with."""
    elf = Elf()
    elf.symbols([b"endless_loop"])
    elf.write(path)


def write_all(folder):
    """Unless they are there, and newer than this script. Two programs may want them at a time: the second waits for the first."""
    folder = os.path.abspath(folder)
    stamp = os.path.join(folder, ".written")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(stamp) and os.stat(stamp).st_mtime >= os.stat(os.path.abspath(__file__)).st_mtime:
            return
        shutil.rmtree(folder, True)
        os.makedirs(folder)
        for name, write in IMAGES.items():
            write(os.path.join(folder, name))
        open(stamp, "w").close()


def main():
    write_all(sys.argv[1])


if __name__ == "__main__":
    main()
