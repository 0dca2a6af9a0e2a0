"""Write C++ programs for a forest: virtual calls, thunks, lambdas, std::function, templates, std::sort, exceptions."""
import c_program
from tree import Forest

INNER = {"small": 5, "saved": 4, "large": 2, "alloca": 2, "aligned32": 1, "aligned64": 2, "string": 2}
LEAF = {"tiny": 4, "pushes": 4, "redzone": 2, "stack": 2, "alloca": 1, "string": 1, "map": 1, "aligned64": 1}
VIAS = {"direct": 3, "virtual": 3, "thunk": 2, "function": 2, "lambda": 2, "template": 3, "sort": 1, "member": 2}

HEADER = r"""
#define _GNU_SOURCE 1
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>
#include "c_prelude.h"
#define _Alignas alignas
#undef MARK
#define MARK __attribute__((noinline))

namespace {
typedef long vector4 __attribute__((vector_size(32)));
volatile long sources[16];

struct Frame {
	__attribute__((always_inline)) explicit Frame(uint32_t id) { enter(id); }
	__attribute__((always_inline)) ~Frame() { leave(); }
};

struct Thrown {
	long value;
};

struct Padding {
	virtual long pad(long n) { return n + weight; }
	long weight = 3;
};
}

"""


def declaration(node):
    """What stands before all bodies."""
    name = node.name
    if node.via == "template":
        return f"template <typename T, int N> MARK long {name}(T n);\n"
    if node.via in ("virtual", "thunk"):
        bases = f"Padding, I_{name}" if node.via == "thunk" else f"I_{name}"
        return (f"struct I_{name} {{\n\tvirtual long {name}(long n) = 0;\n}};\nstruct S_{name} : {bases} {{\n\tlong salt = {node.number};\n"
                f"\tMARK long {name}(long n) override;\n}};\nstatic S_{name} object_{name};\nstatic I_{name} *volatile pointer_{name} = &object_{name};\n")
    if node.via == "member":
        return (f"namespace space_{node.number} {{\nstruct Holder {{\n\tlong value;\n\tMARK long {name}(long n) const;\n}};\n}}\n")
    return f"static MARK long {name}(long n);\n"


def head(node):
    name = node.name
    return {"template": f"template <typename T, int N> long {name}(T n)", "virtual": f"long S_{name}::{name}(long n)",
            "thunk": f"long S_{name}::{name}(long n)", "member": f"long space_{node.number}::Holder::{name}(long n) const"
            }.get(node.via, f"static long {name}(long n)")


def call(node):
    name, number = node.name, node.number
    arg = "(acc & 1023)"
    checked = f"CALLED({number});"
    body = {
        "direct": f"acc += {name}({arg}); {checked}",
        "template": f"acc += {name}<long, {number}>({arg}); {checked}",
        "virtual": f"acc += pointer_{name}->{name}({arg}); {checked}",
        "thunk": f"acc += pointer_{name}->{name}({arg}); {checked}",
        "member": f"space_{number}::Holder holder{{acc}}; ESCAPE(&holder); acc += holder.{name}({arg}); {checked}",
        "function": f"std::function<long(long)> call = [&acc](long x) {{ long r = {name}(x) + acc; {checked} return r; }}; ESCAPE(&call); acc += call({arg});",
        "lambda": f"auto call = [acc](long x) __attribute__((noinline)) {{ long r = {name}(x); {checked} return r + acc; }}; acc += call({arg});",
        "sort": f"std::vector<long> keys; for (int i = 0; i < 5; i++) keys.push_back(work(acc + i, 1)); "
                f"std::sort(keys.begin(), keys.end(), [](long a, long b) {{ sources[6] = {name}(a & 1023); {checked} return a < b; }}); acc += keys[2];",
    }[node.via]
    if node.reps > 1:
        return f"\tfor (long round = opaque({node.reps}); round > 0; round--) {{ {body} }}\n"
    return f"\t{{ {body} }}\n"


def body(node):
    before, inside, after = c_program.frame(node)
    rounds = 1 if not node.children else 4 + node.detail % 12
    text = f"{head(node)}\n{{\n{before}\tFrame here({node.number});\n"
    if node.children:
        text += f"\tCHECK({node.number});\n"
    text += f"\tlong acc = work(n + {node.number}{' + salt' if node.via in ('virtual', 'thunk') else ''}, {rounds});\n{inside}"
    if node.style == "string":
        text += "\tstd::string line((size_t)(n & 31) + 20, 'a');\n\tline += std::to_string(n);\n\tESCAPE(&line);\n"
        after += "\tacc += (long)line.size();\n"
    if node.style == "map":
        text += "\tstd::map<long, long> map;\n\tfor (long i = 0; i < 8; i++)\n\t\tmap[n * i & 63] = i;\n"
        after += "\tacc += map.begin()->second;\n"
    calls = [call(child) for child in node.children]
    if node.style == "catcher":
        caught = calls.pop() if len(calls) > 1 else ""
        text += ("\ttry {\n" + "".join(calls) + f"\t}} catch (const Thrown &thrown) {{\n\t\tacc = work(acc, 30) + thrown.value;\n\t\tCHECK({node.number});\n"
                 + caught + "\t}\n")
    elif node.style == "rethrower":
        text += "\ttry {\n" + "".join(calls) + "\t} catch (...) {\n\t\tsources[7] = work(acc, 30);\n\t\tthrow;\n\t}\n"
    else:
        text += "".join(calls)
    if node.style == "thrower":
        text += "\tif ((work(acc + n, 1) >> 16 & 3) == 0)\n\t\tthrow Thrown{acc};\n"
    return f"{text}{after}\treturn acc;\n}}\n"


def write(forest):
    nodes = forest.nodes
    text = HEADER + "const char *const marker_names[] = {" + ", ".join(f"\"{node.name}\"" for node in nodes) + "};\n"
    text += "".join(declaration(node) for node in nodes)
    order = list(nodes)
    forest.rng.shuffle(order)
    text += "\n".join(body(node) for node in order)
    return text + ("\nint main(int argc, char **argv)\n{\n\tlong acc = argc;\n\tbegin(argc, argv);\n\twhile (!over()) {\n\t" + call(nodes[0])
                   + "\t}\n\treturn finish(acc);\n}\n")


def choose_vias(forest):
    for node in forest.nodes[1:]:
        node.via = forest.rng.choices(list(VIAS), list(VIAS.values()))[0]
        if node.via == "sort" and len(node.children) > 1:
            node.via = "function"


def tree():
    """All ways of calling."""
    forest = Forest("cpp-tree")
    nodes = forest.grow("t_0", "main", 110, 20)
    forest.dress(nodes, INNER, LEAF, (8, 30))
    choose_vias(forest)
    return forest


def exceptions():
    """Exceptions that are thrown and caught several frames up, some of them caught and thrown again in between."""
    forest = Forest("cpp-exceptions")
    nodes = forest.grow("t_0", "main", 110, 16)
    forest.dress(nodes, {**INNER, "catcher": 6, "rethrower": 2}, {**LEAF, "thrower": 3}, (2, 12))
    choose_vias(forest)
    nodes[0].style = "catcher"
    for node in forest.by_style("thrower"):
        node.reps = 1
    return forest


PROGRAMS = {"cpp-tree": tree, "cpp-exceptions": exceptions}
