"""Write Rust programs for a forest: trait objects, closures, generics, sort_by, threads, unwinding panics that are caught."""
from tree import Forest

INNER = {"small": 5, "saved": 4, "large": 2, "aligned64": 2, "string": 1, "catcher": 2}
LEAF = {"tiny": 6, "stack": 2, "string": 1, "map": 1, "aligned64": 1, "thrower": 1}
VIAS = {"direct": 4, "dyn": 3, "boxed": 3, "generic": 2, "sort": 1, "method": 2}

HEADER = r"""
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused)]
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

// Also for rustc 1.63, Debian 12's: no inline const, OnceLock or black_box.

struct Shadow {
    depth: Cell<usize>,
    ids: [Cell<u32>; 512],
}

const NOBODY: Cell<u32> = Cell::new(0);
const ONE: AtomicI64 = AtomicI64::new(1);

thread_local! {
    static SHADOW: Shadow = const { Shadow { depth: Cell::new(0), ids: [NOBODY; 512] } };
}

static CHECKING: AtomicBool = AtomicBool::new(false);
static COMPARISONS: AtomicU64 = AtomicU64::new(0);
static DEADLINE_NS: AtomicU64 = AtomicU64::new(0);
static SOURCES: [AtomicI64; 16] = [ONE; 16];

struct Frame;

impl Frame {
    #[inline(always)]
    fn new(id: u32) -> Frame {
        SHADOW.with(|s| {
            let depth = s.depth.get();
            s.ids[depth & 511].set(id);
            s.depth.set(depth + 1);
        });
        Frame
    }
}

impl Drop for Frame {
    #[inline(always)]
    fn drop(&mut self) {
        SHADOW.with(|s| s.depth.set(s.depth.get() - 1));
    }
}

#[repr(align(64))]
struct Lines([i64; 16]);

#[inline(always)]
fn work(mut n: i64, rounds: i32) -> i64 {
    for _ in 0..rounds {
        n = black_box(n.wrapping_mul(25214903917).wrapping_add(11));
    }
    n
}

/// The caller's name plus one number is the callee's; the first name has one number.
#[inline(never)]
fn compare(id: u32) {
    let ids: Vec<u32> = SHADOW.with(|s| (0..s.depth.get()).map(|i| s.ids[i].get()).collect());
    let agree = ids.last() == Some(&id)
        && MARKERS[ids[0] as usize].matches('_').count() == 1
        && ids.windows(2).all(|w| MARKERS[w[1] as usize].rsplit_once('_').map(|p| p.0) == Some(MARKERS[w[0] as usize]));
    if !agree {
        eprintln!("self-check: the shadow stack disagrees at {}", MARKERS[id as usize]);
        std::process::exit(3);
    }
    COMPARISONS.fetch_add(1, Relaxed);
}

#[inline(always)]
fn check(id: u32) {
    if CHECKING.load(Relaxed) {
        compare(id);
    }
}

#[inline(always)]
fn black_box<T>(value: T) -> T {
    unsafe { std::arch::asm!("/* {0} */", in(reg) &value as *const T, options(nostack, preserves_flags)) };
    value
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn over() -> bool {
    now_ns() >= DEADLINE_NS.load(Relaxed)
}

fn begin() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("--self-check") {
        CHECKING.store(true, Relaxed);
        arguments.remove(0);
    }
    let seconds: f64 = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    DEADLINE_NS.store(now_ns() + (seconds * 1e9) as u64, Relaxed);
}

"""


def declaration(node):
    name = node.name
    if node.via == "dyn":
        return f"trait I_{name} {{\n    fn {name}(&self, n: i64) -> i64;\n}}\nstruct S_{name}(i64);\n"
    return f"struct S_{name}(i64);\n" if node.via == "method" else ""


def call(node):
    name = node.name
    arg = "acc & 1023"
    statement = {
        "direct": f"acc = acc.wrapping_add({name}({arg}));",
        "generic": f"acc = acc.wrapping_add({name}::<i64>({arg}));",
        "method": f"acc = acc.wrapping_add(black_box(&S_{name}(3)).{name}({arg}));",
        "dyn": f"let object: &dyn I_{name} = &S_{name}(3); acc = acc.wrapping_add(black_box(object).{name}({arg}));",
        "boxed": f"let f: Box<dyn Fn(i64) -> i64> = Box::new(move |x| {name}(x).wrapping_add(acc)); acc = acc.wrapping_add(black_box(f)({arg}));",
        "sort": "let mut keys: Vec<i64> = (0..6).map(|i| work(acc.wrapping_add(i), 1)).collect(); "
                f"keys.sort_by(|a, b| {{ SOURCES[6].store({name}(a & 1023), Relaxed); a.cmp(b) }}); acc = acc.wrapping_add(keys[2]);",
    }[node.via]
    loop = f"for _ in 0..black_box({node.reps}) " if node.reps > 1 else ""
    return f"    {loop}{{ {statement} }}\n"


def body(node):
    name, number = node.name, node.number
    signature = {"dyn": f"fn {name}(&self, n: i64) -> i64", "method": f"fn {name}(&self, n: i64) -> i64",
                 "generic": f"fn {name}<T: Into<i64>>(m: T) -> i64"}.get(node.via, f"fn {name}(n: i64) -> i64")
    if node.style == "entry":
        signature = f"fn {name}() -> i64"
    text = f"#[inline(never)]\n{signature} {{\n"
    text += "    let n: i64 = m.into();\n" if node.via == "generic" else "    let n: i64 = 1;\n" if node.style == "entry" else ""
    text += f"    let frame = Frame::new({number});\n" + (f"    check({number});\n" if node.children else "")
    salt = " + self.0" if node.via in ("dyn", "method") else ""
    text += f"    let mut acc: i64 = work(n + {number}{salt}, {1 if node.children else 4 + node.detail % 12});\n"
    size, saved = 1024 + node.detail % 3072, 3 + node.detail % 8
    inside, after = {
        "large": (f"    let mut room = [0u8; {size}];\n    room[(n & 1023) as usize] = n as u8;\n    black_box(&mut room);\n",
                  "    acc = acc.wrapping_add(room[(n & 1023) as usize] as i64);\n"),
        "stack": (f"    let mut room = [0u8; {100 + size // 8}];\n    room[(n & 63) as usize] = n as u8;\n    black_box(&mut room);\n",
                  "    acc = acc.wrapping_add(room[(n & 63) as usize] as i64);\n"),
        "saved": ("".join(f"    let s{i} = SOURCES[{i}].load(Relaxed).wrapping_add(n);\n" for i in range(saved)),
                  "    acc = acc.wrapping_add(" + " ^ ".join(f"s{i}" for i in range(saved)) + ");\n"),
        "aligned64": ("    let mut lines = Lines([n; 16]);\n    lines.0[(n & 15) as usize] = acc;\n    black_box(&mut lines);\n",
                      "    acc = acc.wrapping_add(lines.0[(n & 15) as usize]);\n"),
        "string": ("    let line = format!(\"{} {} {:.2}\", n, MARKERS[0], n as f64);\n", "    acc = acc.wrapping_add(line.len() as i64);\n"),
        "map": ("    let map: BTreeMap<i64, i64> = (0..10).map(|i| (n * i & 63, i)).collect();\n", "    acc = acc.wrapping_add(map.len() as i64);\n"),
        "thrower": ("    if catching() && work(acc, 1) >> 16 & 3 == 0 {\n        std::panic::resume_unwind(Box::new(acc));\n    }\n", ""),
    }.get(node.style, ("", ""))
    calls = "".join(call(child) for child in node.children)
    if node.style == "catcher":
        calls = ("    let before = acc;\n    let caught = std::panic::catch_unwind(move || {\n    let mut acc = before;\n" + calls
                 + "    acc\n    });\n    acc = caught.unwrap_or_else(|_| work(before, 30));\n" + f"    check({number});\n")
    if node.style == "entry":
        calls = "    while !over() {\n" + calls + "    }\n"
    text += inside + calls + after + "    drop(frame);\n    acc\n}\n"
    if node.via == "dyn":
        return f"impl I_{name} for S_{name} {{\n{text}}}\n"
    return f"impl S_{name} {{\n{text}}}\n" if node.via == "method" else text


def write(forest):
    nodes = forest.nodes
    text = HEADER + f"static MARKERS: [&str; {len(nodes)}] = [" + ", ".join(f"\"{node.name}\"" for node in nodes) + "];\n"
    catchers = " | ".join(str(node.number) for node in forest.by_style("catcher"))
    text += f"\nfn catching() -> bool {{\n    SHADOW.with(|s| (0..s.depth.get()).any(|i| matches!(s.ids[i].get(), {catchers})))\n}}\n\n"
    text += "".join(declaration(node) for node in nodes)
    order = list(nodes)
    forest.rng.shuffle(order)
    text += "\n".join(body(node) for node in order)
    entries = forest.by_style("entry")
    starts = "".join(f"    let thread_{node.name} = std::thread::spawn(|| {node.name}());\n" for node in entries)
    joins = "".join(f"    acc ^= thread_{node.name}.join().unwrap();\n" for node in entries)
    return text + ("\nfn main() {\n    begin();\n    let mut acc = std::env::args().count() as i64;\n" + starts + "    while !over() {\n" + call(nodes[0])
                   + "    }\n" + joins + "    if CHECKING.load(Relaxed) {\n        println!(\"self-check: {} comparisons agree\", COMPARISONS.load(Relaxed));\n"
                   "    }\n    black_box(acc);\n}\n")


def tree():
    """One tree in main, one in a thread."""
    forest = Forest("rust-tree")
    nodes = forest.grow("t_0", "main", 100, 20)
    forest.dress(nodes, INNER, LEAF, (8, 30))
    thread = forest.grow("t_1", None, 50, 12)
    forest.dress(thread, INNER, LEAF, (8, 30))
    for node in forest.nodes:
        if node.parent:
            node.via = forest.rng.choices(list(VIAS), list(VIAS.values()))[0]
        if node.via == "sort" and len(node.children) > 1:
            node.via = "boxed"
        if node.style == "thrower":
            node.reps = 1
    nodes[0].style = "catcher"
    thread[0].style = "entry"
    return forest


PROGRAMS = {"rust-tree": tree}
