"""Write C programs for a forest: frames of all shapes, calls into libc, signal handlers, threads, coroutines."""
from tree import Forest

INNER = {"small": 5, "saved": 4, "large": 2, "alloca": 2, "aligned32": 2, "aligned64": 2, "aligned_alloca": 1, "aligned_args": 1,
         "varargs": 1, "manyargs": 2, "byvalue": 1, "compare": 1, "early": 2}
LEAF = {"tiny": 4, "pushes": 5, "redzone": 2, "stack": 2, "early": 2, "manyargs": 1, "varargs": 1, "aligned32": 1, "compare": 1, "alloca": 1}
JUMPS = {"catcher": 1}

# Functions of libc that exactly one marker of a program calls.
LIBC = {
    "memcpy": "acc += (long)(uintptr_t)memcpy(text_a, text_b, (size_t)opaque(1700)) & 7;",
    "strlen": "acc += (long)strlen(text_a + (n & 7));",
    "strchr": "acc += strchr(text_a, (int)opaque('z')) != NULL;",
    "memchr": "acc += memchr(text_a, (int)opaque('z'), sizeof(text_a)) != NULL;",
    "strcmp": "acc += strcmp(text_a, text_b);",
    "snprintf": "char line[80]; acc += snprintf(line, sizeof(line), \"%ld %s %.3f\", n, text_a + 2000, (double)n);",
    "getppid": "acc += getppid();",
    "strtol": "acc += strtol(digits, NULL, 10);",
    "strtod": "acc += (long)strtod(digits, NULL);",
    "bsearch": "long key = n; acc += bsearch(&key, sorted, 64, sizeof(long), by_value) != NULL;",
    "qsort": "long keys[16]; for (int i = 0; i < 16; i++) keys[i] = work(n + i, 1); qsort(keys, 16, sizeof(long), by_value); acc += keys[3];",
    "malloc": "void *block = malloc((size_t)opaque(100 + (n & 1023))); ESCAPE(block); free(block);",
    "pread": "char byte; acc += pread(zero_fd, &byte, 1, 0);",
    "sched_yield": "acc += sched_yield();",
}

PARAMETERS = {"varargs": "long n, ...", "manyargs": "long n, long a, long b, long c, long d, long e, long f, long g, long h",
              "aligned_args": "long n, long a, long b, long c, long d, long e, long f, long g, long h",
              "byvalue": "struct wide w", "compare": "const void *left, const void *right", "entry": "void *unused",
              "coroutine": "void"}
RESULTS = {"byvalue": "struct wide", "compare": "int", "entry": "void *", "coroutine": "void"}

COMMON = r"""
struct wide { long v[12]; };
static char text_a[4096], text_b[4096];
static const char digits[] = "1234567890.25";
static long sorted[64];
static int zero_fd;
static volatile long sources[16];
typedef long vector4 __attribute__((vector_size(32)));

static __attribute__((noinline)) int by_value(const void *left, const void *right)
{
	long a = *(const long *)left, b = *(const long *)right;
	return (a > b) - (a < b);
}

static void prepare(void)
{
	memset(text_a, 'a', sizeof(text_a) - 1);
	memset(text_b, 'a', sizeof(text_b) - 1);
	text_b[3000] = 'b';
	for (int i = 0; i < 64; i++)
		sorted[i] = i * 3;
	zero_fd = open("/dev/zero", O_RDONLY);
}
"""

COROUTINES = r"""
enum { CO_STACK = 256 * 1024 };
static struct coroutine {
	ucontext_t self, back;
	struct shadow shadow;
} coroutines[%(count)d];

static void coroutines_make(void)
{
	void (*const entries[])(void) = {%(entries)s};
	for (int i = 0; i < %(count)d; i++) {
		struct coroutine *co = &coroutines[i];
		getcontext(&co->self);
		co->self.uc_stack.ss_sp = mmap(NULL, CO_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		co->self.uc_stack.ss_size = CO_STACK;
		co->self.uc_link = NULL;
		makecontext(&co->self, entries[i], 0);
	}
}
"""

SIGNALS = r"""
extern const char __start_markers[], __stop_markers[];
static struct start { uintptr_t pc; uint32_t id; } starts[] = {%(starts)s};
static long (*const ticks_normal[])(long) = {%(normal)s};
static long (*const ticks_alternate[])(long) = {%(alternate)s};
static long *guard;

static int by_pc(const void *left, const void *right)
{
	uintptr_t a = ((const struct start *)left)->pc, b = ((const struct start *)right)->pc;
	return (a > b) - (a < b);
}

/* The marker that was interrupted, as 1 + its number; 0 for main. The pc decides where it lies in a marker: the shadow
 * stack lags behind in prologues and epilogues. Elsewhere (libc, PLT) the top of the shadow stack called. */
static uint32_t interrupted(const ucontext_t *context)
{
	uintptr_t pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
	if (pc < (uintptr_t)__start_markers || pc >= (uintptr_t)__stop_markers)
		return shadow->depth ? shadow->ids[shadow->depth - 1] + 1 : 0;
	uint32_t low = 0, high = sizeof(starts) / sizeof(starts[0]);
	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;
		if (starts[middle].pc <= pc)
			low = middle;
		else
			high = middle;
	}
	return starts[low].id + 1;
}

/* The shadow stack holds the interrupted marker on top, or, in a prologue or epilogue, its caller, or the caller and a
 * slot that is being written. */
static void compare_interrupted(uint32_t id)
{
	uint32_t depth = shadow->depth;
	uint32_t caller = parents[id];
	if (depth && shadow->ids[depth - 1] == id)
		compare_chain(depth, id);
	else if (depth && shadow->ids[depth - 1] == caller)
		compare_chain(depth, id);
	else if (depth > 1 && shadow->ids[depth - 2] == caller)
		compare_chain(depth - 1, id);
	else if (caller != UINT32_MAX)
		disagree("the pc and the shadow stack differ", id);
}

static void on_tick(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	uint32_t which = interrupted(context);
	(void)info;
	if (checking && which)
		compare_interrupted(which - 1);
	sources[0] = (signal == SIGALRM ? ticks_alternate : ticks_normal)[which](saved);
	errno = saved;
}

static void on_raise(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	sources[1] = h_2(1);
}

/* The fault may come before the faulting function has entered itself in the shadow stack; then the handler does. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	uint32_t depth = shadow->depth;
	if (!depth || shadow->ids[depth - 1] != %(fault)d)
		enter(%(fault)d);
	sources[2] = h_3(1);
	shadow->depth = depth;
	if (mprotect(guard, 4096, PROT_READ | PROT_WRITE) < 0)
		_exit(4);
}

static void on_signal(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART | flags};
	sigfillset(&action.sa_mask);
	sigaction(signal, &action, NULL);
}

static void signals_start(void)
{
	stack_t alternate = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	sigaltstack(&alternate, NULL);
	qsort(starts, sizeof(starts) / sizeof(starts[0]), sizeof(starts[0]), by_pc);
	guard = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on_signal(SIGALRM, on_tick, SA_ONSTACK);
	on_signal(SIGPROF, on_tick, 0);
	on_signal(SIGUSR1, on_raise, 0);
	on_signal(SIGSEGV, on_fault, SA_ONSTACK);
	struct itimerval real = {{0, 311}, {0, 311}}, profiling = {{0, 1000}, {0, 1000}};
	setitimer(ITIMER_REAL, &real, NULL);
	setitimer(ITIMER_PROF, &profiling, NULL);
}

static void signals_stop(void)
{
	struct itimerval none = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &none, NULL);
	setitimer(ITIMER_PROF, &none, NULL);
}
"""


def prototype(node):
    result = RESULTS.get(node.style, "long")
    target = "AVX2 " if node.style.startswith("aligned") else ""
    return f"MARK {target}{result}{'' if result.endswith('*') else ' '}{node.name}({PARAMETERS.get(node.style, 'long n')})"


def call(node):
    """A statement that calls the node and adds its result to acc."""
    target = node.name
    prepare = ""
    if node.via == "pointer":
        result = RESULTS.get(node.style, "long")
        prepare = f"{result} (*volatile target)({PARAMETERS.get(node.style, 'long n')}) = {node.name}; "
        target = "target"
    arg = "(acc & 1023)"
    if node.style == "varargs":
        body = f"acc += {target}({arg}, 3L, 2.5, 7L);"
    elif node.style in ("manyargs", "aligned_args"):
        body = f"acc += {target}({arg}, acc, 2L, acc + 1, 4L, acc + 3, 6L, acc + 5, 8L);"
    elif node.style == "byvalue":
        body = f"struct wide w = {{{{{arg}, acc}}}}; w = {target}(w); acc += w.v[3];"
    elif node.style == "compare":
        body = ("long keys[6]; for (int i = 0; i < 6; i++) keys[i] = work(acc + i, 1); "
                f"qsort(keys, 6, sizeof(long), {target}); acc += keys[2];")
    elif node.style == "fault":
        body = f"acc += {target}((long)(uintptr_t)guard); mprotect(guard, 4096, PROT_NONE);"
    else:
        body = f"acc += {target}({arg});"
    body = prepare + body
    if node.reps > 1:
        return f"\tfor (long round = opaque({node.reps}); round > 0; round--) {{ {body} CALLED({node.number}); }}\n"
    return f"\t{{ {body} CALLED({node.number}); }}\n"


def frame(node):
    """What a style puts before and after the calls."""
    size = 1024 + node.detail % 3072
    before = {
        "byvalue": "\tlong n = w.v[0];\n",
        "compare": "\tlong n = *(const long *)left;\n",
        "entry": "\tlong n = 1;\n\t(void)unused;\n\tshadow = &thread_shadow;\n",
        "coroutine": "\tlong n = 1;\n",
        "fault": "\tlong first = *(volatile long *)(uintptr_t)n;\n",
    }.get(node.style, "")
    inside, after = {
        "large": (f"\tvolatile char frame[{size}];\n\tframe[n & 1023] = (char)n;\n\tframe[{size - 1}] = 1;\n", "\tacc += frame[n & 1023];\n"),
        "huge": (f"\tvolatile char frame[{size + 3500}];\n\tframe[n & 1023] = (char)n;\n\tframe[{size}] = 1;\n", "\tacc += frame[n & 1023];\n"),
        "stack": (f"\tvolatile char frame[{200 + size // 4}];\n\tframe[n & 127] = (char)n;\n", "\tacc += frame[n & 127];\n"),
        "redzone": ("\tvolatile long near[12];\n\tnear[n & 7] = n;\n", "\tacc += near[n & 7];\n"),
        "pushes": (f"\t__asm__ volatile(\"\" ::: {clobbers(node)});\n", f"\t__asm__ volatile(\"\" ::: {clobbers(node)});\n"),
        "alloca": ("\tlong *room = (long *)alloca(64 + (size_t)(n & 15) * 48);\n\troom[3] = n;\n\tESCAPE(room);\n", "\tacc += room[3];\n"),
        "saved": ("".join(f"\tlong s{i} = sources[{i}] + n;\n" for i in range(3 + node.detail % 8)),
                  "\tacc += " + " ^ ".join(f"s{i}" for i in range(3 + node.detail % 8)) + ";\n"),
        "aligned32": ("\tvector4 vector[2] = {{n, 1, 2, 3}, {acc, 4, n, 5}};\n\tESCAPE(vector);\n", "\tvector[0] += vector[1];\n\tacc += vector[0][2];\n"),
        "aligned64": ("\t_Alignas(64) long lines[16];\n\tlines[n & 15] = n;\n\tESCAPE(lines);\n", "\tacc += lines[n & 15];\n"),
        "aligned_alloca": ("\t_Alignas(64) vector4 lines[2];\n\tlines[0] = (vector4){n, n, 1, acc};\n\tESCAPE(lines);\n"
                           "\tlong *room = (long *)alloca(64 + (size_t)(n & 15) * 32);\n\troom[1] = n;\n\tESCAPE(room);\n", "\tacc += lines[0][1] + room[1];\n"),
        "aligned_args": ("\tvector4 vector = {a + h, b, c, g};\n\tESCAPE(&vector);\n", "\tacc += vector[0] + d + e + f;\n"),
        "varargs": ("\tva_list list;\n\tva_start(list, n);\n", "\tacc += va_arg(list, long);\n\tacc += (long)va_arg(list, double);\n"
                    "\tacc += va_arg(list, long);\n\tva_end(list);\n"),
        "manyargs": ("", "\tacc += a + b * c + d - e + f * g + h;\n"),
        "compare": ("", "\tacc += by_value(left, right);\n"),
        "byvalue": ("", "\tw.v[3] = acc;\n\tw.v[11] += n;\n"),
        "fault": ("\tacc += first;\n", ""),
        "raise": ("\traise(SIGUSR1);\n", ""),
    }.get(node.style, ("", ""))
    return before, inside, after


def clobbers(node):
    registers = ["rbx", "rbp", "r12", "r13", "r14", "r15"]
    return ", ".join(f"\"{register}\"" for i, register in enumerate(registers) if (node.detail | 1 << node.detail % 6) >> i & 1)


def switches(node):
    """A coroutine gives way; somewhere in the main tree they are resumed."""
    if node.style == "yield":
        which = int(node.name.split("_")[1])
        return f"\tswapcontext(&coroutines[{which}].self, &coroutines[{which}].back);\n"
    which = node.detail
    return (f"\tshadow = &coroutines[{which}].shadow;\n\tswapcontext(&coroutines[{which}].back, &coroutines[{which}].self);\n"
            "\tshadow = &thread_shadow;\n")


def body(node):
    before, inside, after = frame(node)
    calls = "".join(call(child) for child in node.children)
    rounds = 1 if not node.children else 4 + node.detail % 12
    text = before + f"\tenter({node.number});\n"
    if node.children:
        text += f"\tCHECK({node.number});\n"
    if node.style == "early":
        text += f"\tif (n & 1) {{\n\t\tleave();\n\t\treturn n + {node.number};\n\t}}\n"
    text += f"\tlong acc = work(n + {node.number}, {rounds});\n{inside}"
    if node.style in ("yield", "resume"):
        text += switches(node)
    if node.style.startswith("libc_"):
        text += f"\t{LIBC[node.style[5:]]}\n"
    if node.style == "catcher":
        text += ("\tjmp_buf here, *volatile outer = jump_target;\n\tvolatile uint32_t depth = shadow->depth;\n\tvolatile long kept = acc;\n"
                 "\tjump_target = &here;\n\tif (setjmp(here) == 0) {\n" + calls + "\t\tkept = acc;\n\t} else {\n\t\tshadow->depth = depth;\n"
                 f"\t\tCHECK({node.number});\n\t}}\n\tacc = kept;\n\tjump_target = outer;\n")
        calls = ""
    if node.style in ("entry", "coroutine"):
        forever = "!over()" if node.style == "entry" else "true"
        calls = f"\twhile ({forever}) {{\n{calls}\t}}\n"
    text += calls
    if node.style == "thrower":
        text += "\tif (jump_target && (acc & 3) == 0)\n\t\tlongjmp(*jump_target, 1);\n"
    result = {"byvalue": "\treturn w;\n", "compare": "\treturn *(const long *)left < *(const long *)right ? -1 : 1 + (int)(acc & 1);\n",
              "entry": "\treturn (void *)(uintptr_t)acc;\n", "coroutine": "\tsources[5] = acc;\n"}.get(node.style, "\treturn acc;\n")
    return f"{prototype(node)}\n{{\n{text}{after}\tleave();\n{result}}}\n"


def tick_handlers(forest):
    """A handler marker for each marker that it may interrupt, on the normal and on the alternate stack."""
    text, tables = "", {}
    for stack in (0, 1):
        names = []
        for node in [None] + forest.nodes:
            name = f"h_{stack}_{node.number}" if node else f"h_{stack}"
            names.append(name)
            forest.extra_parents[name] = node.name if node else "main"
            text += (f"static __attribute__((noinline, used)) long {name}(long n)\n{{\n\tvolatile char frame[{64 + len(names) % 5 * 90}];\n"
                     f"\tframe[n & 31] = {len(names) % 100};\n\tlong acc = work(n, {(80000, 40000)[stack] + 10 * len(names)});\n\treturn acc + frame[n & 31];\n}}\n")
        tables[stack] = ", ".join(names)
    return text, tables


def write(forest, signals=False):
    """The text of the program."""
    nodes = forest.nodes
    coroutines = [node for node in nodes if node.style == "coroutine"]
    threads = [node for node in nodes if node.style == "entry"]
    numbers = {node.name: node.number for node in nodes}
    text = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <sched.h>\n#include \"c_prelude.h\"\n"
    text += COMMON
    text += "const char *const marker_names[] = {" + ", ".join(f"\"{node.name}\"" for node in nodes) + "};\n"
    text += "static const uint32_t parents[] __attribute__((unused)) = {" + ", ".join(
        str(numbers.get(node.caller, "UINT32_MAX")) for node in nodes) + "};\n"
    text += "".join(f"{prototype(node)};\n" for node in nodes)
    if coroutines:
        text += COROUTINES % {"count": len(coroutines), "entries": ", ".join(node.name for node in coroutines)}
    start = stop = ""
    if signals:
        handlers, tables = tick_handlers(forest)
        text += handlers + SIGNALS % {"starts": ", ".join(f"{{(uintptr_t){node.name}, {node.number}}}" for node in nodes),
                                      "normal": tables[0], "alternate": tables[1], "fault": forest.by_style("fault")[0].number}
        start, stop = "\tsignals_start();\n", "\tsignals_stop();\n"
    if coroutines:
        start += "\tcoroutines_make();\n"
    order = list(nodes)
    forest.rng.shuffle(order)
    text += "\n".join(body(node) for node in order)
    for i, node in enumerate(threads):
        start += f"\tpthread_t thread{i};\n\tpthread_create(&thread{i}, NULL, {node.name}, NULL);\n"
        stop += f"\tpthread_join(thread{i}, NULL);\n"
    text += ("\nint main(int argc, char **argv)\n{\n\tlong acc = argc;\n\tprepare();\n\tbegin(argc, argv);\n" + start
             + "\twhile (!over()) {\n\t" + call(nodes[0]) + "\t}\n" + stop + "\treturn finish(acc);\n}\n")
    return text


def plant(forest, tree, style, detail=0, reps=2):
    """Give one of the leaves of a tree a style of which there may be few."""
    plain = [node for node in tree if not node.children and node.style in LEAF]
    node = forest.rng.choice(plain)
    node.style, node.detail, node.reps = style, detail, reps
    return node


def pointers(forest):
    for node in forest.nodes[1:]:
        if node.caller and node.style not in ("compare", "fault") and forest.rng.random() < 0.25:
            node.via = "pointer"


def tree():
    """Frames of all shapes in one thread."""
    forest = Forest("c-tree")
    nodes = forest.grow("t_0", "main", 110, 20)
    forest.dress(nodes, INNER, LEAF, (8, 30))
    nodes[0].style = "small"
    pointers(forest)
    return forest, {}


def deep():
    """40 frames and more than 64 KiB of stack."""
    forest = Forest("c-deep")
    nodes = forest.grow("t_0", "main", 90, 40)
    forest.dress(nodes, {"small": 2, "large": 3, "huge": 3, "saved": 2, "alloca": 1, "aligned64": 1}, LEAF, (10, 40))
    nodes[0].style = "small"
    return forest, {}


def hot():
    """Short functions in hot loops: most samples hit prologues and epilogues."""
    forest = Forest("c-hot")
    nodes = forest.grow("t_0", "main", 60, 7)
    forest.dress(nodes, {"small": 3, "saved": 4, "early": 2, "manyargs": 1}, {"tiny": 3, "pushes": 8, "redzone": 2, "stack": 2, "early": 3, "manyargs": 2}, (40, 120))
    nodes[0].style = "small"
    return forest, {}


def libc():
    """Leaves in libc, through the PLT; qsort that calls back; setjmp and longjmp over several frames."""
    forest = Forest("c-libc")
    nodes = forest.grow("t_0", "main", 110, 14)
    forest.dress(nodes, {**INNER, "catcher": 4, "compare": 0}, LEAF, (4, 16))
    nodes[0].style = "catcher"
    for node in nodes:
        if node.style == "compare":
            node.style = "tiny"
    for name in LIBC:
        forest.callers[name] = plant(forest, nodes, "libc_" + name, reps=12).name
    for _ in range(3):
        plant(forest, nodes, "thrower")
    return forest, {}


def signals():
    """Handlers of timers, of raise and of faults, on the normal and on an alternate stack."""
    forest = Forest("c-signals")
    nodes = forest.grow("t_0", "main", 70, 14)
    forest.dress(nodes, INNER, LEAF, (8, 60))
    nodes[0].style = "small"
    for name in ("strlen", "getppid", "snprintf", "memcpy"):
        forest.callers[name] = plant(forest, nodes, "libc_" + name, reps=30).name
    raising = plant(forest, nodes, "raise")
    faulting = plant(forest, nodes, "fault")
    pointers(forest)
    for name, caller in (("h_2", raising.name), ("h_3", faulting.name)):
        handler = forest.grow(name, caller, 8, 4)
        forest.dress(handler, INNER, LEAF, (20, 40))
        handler[0].style = "small"
    return forest, {"signals": True}


def threads():
    """Three threads beside main, and three coroutines with stacks of their own."""
    forest = Forest("c-threads")
    nodes = forest.grow("t_0", "main", 50, 12)
    forest.dress(nodes, INNER, LEAF, (8, 30))
    nodes[0].style = "small"
    for i in (1, 2, 3):
        nodes_of = forest.grow(f"t_{i}", None, 40, 8 + 5 * i)
        forest.dress(nodes_of, INNER, LEAF, (8, 30))
        nodes_of[0].style = "entry"
    for i in range(3):
        coroutine = forest.grow(f"c_{i}", None, 30, 8 + 4 * i)
        forest.dress(coroutine, INNER, LEAF, (8, 30))
        coroutine[0].style = "coroutine"
        plant(forest, coroutine, "yield", reps=1)
        plant(forest, coroutine, "yield", reps=1)
        plant(forest, nodes, "resume", detail=i, reps=4)
    pointers(forest)
    return forest, {}


PROGRAMS = {"c-tree": tree, "c-deep": deep, "c-hot": hot, "c-libc": libc, "c-signals": signals, "c-threads": threads}
