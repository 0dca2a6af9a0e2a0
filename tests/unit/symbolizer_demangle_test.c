/* symbolizer/demangle.c: known names, and names made to cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/demangle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What a name may cost under valgrind or a sanitizer is more than what it may cost (100 ms). */
#define SLOW_S 0.1
#define SLOW_CHECKED_S 5.0

static char out[DEMANGLE_OUT_MAX];

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double limit_s(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return SLOW_CHECKED_S;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return SLOW_CHECKED_S;
#endif
#endif
	const char *preload = getenv("LD_PRELOAD");
	return preload && strstr(preload, "valgrind") ? SLOW_CHECKED_S : SLOW_S;
}

/* Demangle within the time allowed. */
static int timed(const char *mangled)
{
	double before = now_s();
	int result = demangle(mangled, out);
	double took = now_s() - before;
	if (took > limit_s())
		fail_msg("%.3f s for '%s'", took, mangled);
	if (result >= 0) {
		assert_true(result < DEMANGLE_OUT_MAX);
		assert_int_equal(strlen(out), result);
	}
	return result;
}

static void known_names(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "_Z3foov", "foo()" },
		{ "_ZN4llvm5Value7setNameERKNS_5TwineE", "llvm::Value::setName(llvm::Twine const&)" },
		{ "_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)" },
		{ "_ZN1AC1Ev", "A::A()" },
		{ "_ZTv0_n24_N1A1fEv", "virtual thunk to A::f()" },
		{ "_Z3foov.cold", "foo() [clone .cold]" },
		{ "_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const" },
		{ "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt" },
		{ "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.llvm.123", "core::fmt::Write::write_fmt" },
		{ "_ZN3foo3bar17h1111111111111111E", "foo::bar" }, /* too few digits for libiberty */
		{ "_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
		  "<alloc::string::String as core::fmt::Display>::fmt" },
		{ "_RNvC7mycrate4main", "mycrate::main" },
		{ "_RNvCs1234_7mycrate3foo", "mycrate::foo" },
		{ "_RNvCs4FGqI2P2rA0_7mycrate3foo", "mycrate::foo" }, /* "FGqI2P2rA0_" is no binder */
		{ "_RNvMC3foo3Bar3baz", NULL },
		{ "_RINvC7mycrate3fooiE", "mycrate::foo::<isize>" },
		{ "_RNvC7mycrate3foo.llvm.12345", "mycrate::foo" },
		{ "_RNvC03foo", "::foo" }, /* a crate without a name */
		{ "_D8demangle4testFaZv", "demangle.test(char)" },
		{ "_Dmain", "D main" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!cases[i].out) {
			assert_int_equal(timed(cases[i].in), -ENOENT);
			continue;
		}
		assert_true(timed(cases[i].in) >= 0);
		assert_string_equal(out, cases[i].out);
	}
}

static void other_names_are_enoent(void **state)
{
	static const char *const names[] = { "",   "main", "_start", "_Z",    "_ZN",  "_R",	   "_D",
					     "_Zz", "__libc_start_main", "_RNv", "_D1", "_Z3fo" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(timed(names[i]), -ENOENT);
}

static void long_input_is_refused(void **state)
{
	char *name = malloc(DEMANGLE_IN_MAX + 100);

	(void)state;
	memset(name, 'a', DEMANGLE_IN_MAX + 100);
	name[DEMANGLE_IN_MAX + 99] = 0;
	memcpy(name, "_Z4000", 6);
	assert_int_equal(timed(name), -ENOENT);
	memcpy(name, "_D4000", 6);
	assert_int_equal(timed(name), -ENOENT);
	free(name);
}

/* 28 types, each a template of the one before, twice: 2^28 names. */
static void doubling_in_cpp_is_cut(void **state)
{
	char name[1024] = "_Z1f1AIiE"; /* S_ is A, S0_ is A<int> */
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	(void)state;
	for (int i = 0; i < 28; i++)
		sprintf(name + strlen(name), "S_IS%c_S%c_E", digits[i], digits[i]);
	int bytes = timed(name);
	assert_true(bytes > DEMANGLE_OUT_MAX - 10);
	assert_string_equal(out + bytes - 3, "...");
	assert_memory_equal(out, "f(A<int>, A<A<int>, A<int> >", 28);
}

/* The same below a pack expansion: searching for a pack prints nothing. */
static void doubling_below_a_pack_is_refused(void **state)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char name[1024];

	(void)state;
	for (int depth = 1; depth < 30; depth++) {
		strcpy(name, "_Z1fIJEEv1AIiE");
		for (int i = 0; i < depth; i++)
			sprintf(name + strlen(name), "S0_IS%c_S%c_E", digits[i + 1], digits[i + 1]);
		sprintf(name + strlen(name), "DpS%c_", digits[depth + 1]);
		int result = timed(name);
		assert_true(result >= 0 || result == -E2BIG);
		if (depth > 20)
			assert_int_equal(result, -E2BIG);
	}
}

static void nesting_is_bounded(void **state)
{
	static const char *const units[] = { "P", "N1A", "I", "X", "1AI", "Z1f", "cvT_I", "Dp", "FvP", "A1_", "dcl", "sr1A",
					     "NK", "L_Z", "J", "T_", "RT_", "spDp", "U1A", "M", "cl", "il", "Ut" };
	char name[DEMANGLE_IN_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		for (size_t bytes = 900; bytes < DEMANGLE_IN_MAX; bytes += 118) {
			strcpy(name, "_Z1f");
			while (strlen(name) + strlen(units[i]) < bytes - 1)
				strcat(name, units[i]);
			timed(name);
			strcat(name, "i");
			timed(name);
			name[1] = 'R';
			timed(name);
			name[1] = 'D';
			timed(name);
		}
	}
}

/* Conversion operators are parsed twice when their template arguments could belong to either; nested, that doubles. */
static void backtracking_is_bounded(void **state)
{
	(void)state;
	for (int depth = 1; depth < 120; depth++) {
		char name[2048] = "_ZN1A";
		for (int i = 0; i < depth; i++)
			strcat(name, "cvT_IX");
		timed(name);
		strcpy(name, "_Z1fI");
		for (int i = 0; i < depth; i++)
			strcat(name, "XcvT_I");
		timed(name);
		strcpy(name, "_Z");
		for (int i = 0; i < depth; i++)
			strcat(name, "cvT_I1AI");
		timed(name);
	}
}

static void rust_back_references_are_cut(void **state)
{
	/* Tuples of the tuple before, twice. B<n> counts from behind "_R". */
	char name[2048] = "_RINvC1a1fT";
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t previous;

	(void)state;
	previous = strlen(name) - 2; /* offset of what follows */
	strcat(name, "TllE");
	for (int i = 0; i < 40; i++) {
		size_t here = strlen(name) - 2;
		char reference[8];
		size_t n = previous - 1;
		if (previous < 63)
			sprintf(reference, "B%c_", digits[n]);
		else
			sprintf(reference, "B%c%c_", digits[n / 62], digits[n % 62]);
		sprintf(name + strlen(name), "T%s%sE", reference, reference);
		previous = here;
	}
	strcat(name, "EE");
	int bytes = timed(name);
	assert_true(bytes == -ENOENT || bytes > 8000);
	print_message("Rust doubling: %d\n", bytes);
}

static void rust_binders_are_counted(void **state)
{
	(void)state;
	assert_int_equal(timed("_RMC1aFGzzzzzzzzzz_EuE"), -E2BIG);
	assert_int_equal(timed("_RNvMC1aFGzzzz_EuE3foo"), -E2BIG);
	assert_int_equal(timed("_RINvC1a1fDGzzzzzzzzzz_pEL_E"), -E2BIG);
	assert_true(timed("_RINvC1a1fFG_RL0_hEuE") >= 0);
}

static void d_back_references_are_bounded(void **state)
{
	char name[4096] = "_D3abcFS3fooZ";

	(void)state;
	for (int i = 0; i < 200; i++)
		strcat(name, "QeQe");
	timed(name);
	/* Associative arrays of the one before, twice: Q counts letters back, a = 0. */
	for (int depth = 1; depth < 40; depth++) {
		strcpy(name, "_D1fFHiiHQeQg");
		for (int i = 0; i < depth; i++)
			strcat(name, "HQgQi");
		strcat(name, "Zv");
		int result = timed(name);
		assert_true(depth < 5 ? result > 0 : depth < 20 || result == -E2BIG);
	}
}

/* Pieces of mangled names in random order. */
static void random_names_are_cheap(void **state)
{
	static const char *const cpp[] = { "S_",  "S0_", "S1_", "S2_", "T_", "T0_", "Dp", "sp", "I",	"E",  "J",  "1A", "N",
					   "1f",  "i",	 "v",	"P",   "R",  "O",   "K",  "X",	"cvT_", "cl", "L_Z", "F", "Z",
					   "UlvE_", "DT", "dc",	"sZ",  "fp_", "C1",  "Li1E", "St", "Sa", "_", "M",   "A_" };
	static const char *const rust[] = { "B_", "B0_", "B1_", "B2_", "B3_", "B5_", "T", "E", "I", "Nv", "C1a", "1f", "l", "R",
					    "F", "G_", "D", "p", "M", "X", "Y", "K", "s_", "u3abc", "A", "S", "h1_" };
	static const char *const d[] = { "Qa", "Qb", "Qc", "Qd", "Qe", "Qi", "1a", "3abc", "F", "Z", "v", "i", "H", "A", "P",
					 "S", "__T", "M", "T", "V", "B3", "xi", "G3", "D", "U", "Ff" };
	static const struct {
		const char *start;
		const char *const *pieces;
		size_t n;
	} kinds[] = { { "_Z1f", cpp, sizeof(cpp) / sizeof(cpp[0]) },
		      { "_Z1fI1AiE", cpp, sizeof(cpp) / sizeof(cpp[0]) },
		      { "_ZN1AI", cpp, sizeof(cpp) / sizeof(cpp[0]) },
		      { "_RINvC1a1f", rust, sizeof(rust) / sizeof(rust[0]) },
		      { "_RMC1a", rust, sizeof(rust) / sizeof(rust[0]) },
		      { "_D1fF", d, sizeof(d) / sizeof(d[0]) } };
	unsigned seed = 5;

	(void)state;
	int rounds = limit_s() > 1 ? 3000 : 60000;
	for (int round = 0; round < rounds; round++) {
		size_t kind = (size_t)round % (sizeof(kinds) / sizeof(kinds[0]));
		char name[2048];
		strcpy(name, kinds[kind].start);
		for (int n = rand_r(&seed) % 100; n > 0; n--)
			strcat(name, kinds[kind].pieces[(size_t)rand_r(&seed) % kinds[kind].n]);
		timed(name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_names),
		cmocka_unit_test(other_names_are_enoent),
		cmocka_unit_test(long_input_is_refused),
		cmocka_unit_test(doubling_in_cpp_is_cut),
		cmocka_unit_test(doubling_below_a_pack_is_refused),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(backtracking_is_bounded),
		cmocka_unit_test(rust_back_references_are_cut),
		cmocka_unit_test(rust_binders_are_counted),
		cmocka_unit_test(d_back_references_are_bounded),
		cmocka_unit_test(random_names_are_cheap),
	};
	return cmocka_run_group_tests_name("symbolizer/demangle", tests, NULL, NULL);
}
