/* Which runtime makes the code that has no names, and what to run so that it gets them. */
#ifndef HEARTH_AGENT_JIT_RUNTIME_H
#define HEARTH_AGENT_JIT_RUNTIME_H

enum jit_runtime {
	JIT_RUNTIME_UNKNOWN,
	JIT_RUNTIME_JAVA,
	JIT_RUNTIME_NODE,
	JIT_RUNTIME_DENO,
	JIT_RUNTIME_DOTNET,
	JIT_RUNTIME_MONO,
	JIT_RUNTIME_ERLANG,
	JIT_RUNTIME_LUAJIT,
	JIT_RUNTIME_PYPY,
	JIT_RUNTIME_PYTHON,
	JIT_RUNTIME_PHP,
	JIT_RUNTIME_RUBY,
	JIT_RUNTIME_JULIA,
	JIT_RUNTIME_WASMTIME,
	JIT_RUNTIME_QEMU,
	JIT_RUNTIMES
};

/* By the path of a file that a process mapped: JIT_RUNTIME_UNKNOWN when it tells nothing. */
enum jit_runtime jit_runtime_of(const char *path);

/* "java", "node", ...; "" when unknown. */
const char *jit_runtime_name(enum jit_runtime runtime);

/* What to do, a few words that end a sentence "for names: ..."; general advice when unknown. */
const char *jit_runtime_hint(enum jit_runtime runtime);

#endif
