#include "agent/jit_runtime.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct runtime {
	const char *name;
	const char *files[4]; /* begins of base names; a version may follow */
	const char *hint;
};

/* Each as its manual has it. Where a program can be told while it runs, that comes first. */
static const struct runtime RUNTIMES[JIT_RUNTIMES] = {
	[JIT_RUNTIME_UNKNOWN] = {"", {NULL}, "have its runtime write /tmp/perf-PID.map, or a jitdump"},
	[JIT_RUNTIME_JAVA] = {"java", {"libjvm.so", NULL}, "jcmd PID Compiler.perfmap shortly before the recording ends (JDK 17+), or "
							   "java -agentpath:libperf-jvmti.so"},
	[JIT_RUNTIME_NODE] = {"node", {"node", "libnode.so", NULL}, "node --perf-basic-prof --interpreted-frames-native-stack"},
	[JIT_RUNTIME_DENO] = {"deno", {"deno", NULL}, "deno run --v8-flags=--perf-basic-prof"},
	[JIT_RUNTIME_DOTNET] = {"dotnet", {"libcoreclr.so", NULL}, "set DOTNET_PerfMapEnabled=1"},
	[JIT_RUNTIME_MONO] = {"mono", {"mono", "mono-sgen", "libmono", NULL}, "MONO_OPTIONS=--jitmap"},
	[JIT_RUNTIME_ERLANG] = {"erlang", {"beam.smp", "beam.jit", NULL}, "erl +JPperf true (OTP 24+)"},
	[JIT_RUNTIME_LUAJIT] = {"luajit", {"luajit", "libluajit", "openresty", NULL}, "build LuaJIT with -DLUAJIT_USE_PERFTOOLS"},
	[JIT_RUNTIME_PYPY] = {"pypy", {"pypy", "libpypy", NULL}, "PyPy writes no perf map; vmprof profiles it"},
	[JIT_RUNTIME_PYTHON] = {"python", {"python3", "libpython3", NULL}, "python3 -X perf, or PYTHONPERFSUPPORT=1 (3.12+)"},
	[JIT_RUNTIME_PHP] = {"php", {"php", "libphp", NULL}, "php -d opcache.jit_debug=0x10"},
	[JIT_RUNTIME_RUBY] = {"ruby", {"ruby", "libruby", NULL}, "ruby --yjit --yjit-perf"},
	[JIT_RUNTIME_JULIA] = {"julia", {"julia", "libjulia", NULL}, "set ENABLE_JITPROFILING=1"},
	[JIT_RUNTIME_WASMTIME] = {"wasmtime", {"wasmtime", NULL}, "wasmtime run --profile=perfmap"},
	[JIT_RUNTIME_QEMU] = {"qemu", {"qemu-", NULL}, "qemu -perfmap"},
};

/* "python3" is the begin of "python3.11" and "luajit" of "luajit-2.1", but "node" is not that of "node_exporter". */
static bool is_file(const char *base, const char *begin)
{
	size_t n = strlen(begin);

	if (strncmp(base, begin, n) != 0)
		return false;
	if (strncmp(begin, "lib", 3) == 0 || begin[n - 1] == '-' || !base[n] || base[n] == ' ')
		return true;
	n += base[n] == '-' || base[n] == '.';
	return isdigit((unsigned char)base[n]);
}

enum jit_runtime jit_runtime_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

	for (int runtime = 1; runtime < JIT_RUNTIMES; runtime++)
		for (const char *const *file = RUNTIMES[runtime].files; *file; file++)
			if (is_file(base, *file))
				return (enum jit_runtime)runtime;
	return JIT_RUNTIME_UNKNOWN;
}

const char *jit_runtime_name(enum jit_runtime runtime)
{
	return RUNTIMES[runtime].name;
}

const char *jit_runtime_hint(enum jit_runtime runtime)
{
	return RUNTIMES[runtime].hint;
}
