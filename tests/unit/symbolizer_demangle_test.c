/* symbolizer/demangle.c: known names, and names made to cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "symbolizer/demangle.h"
#include "symbolizer/demangle_short.h"

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

/* Demangle within the time allowed. What it costs is the least of a few tries: CPU time that a hypervisor took is in it, too. */
static int timed(const char *mangled)
{
	double took = 1e9;
	int result = 0;

	for (int i = 0; i < 5 && took > limit_s(); i++) {
		double before = now_s();
		assert_true(demangle(mangled, DEMANGLE_SHORT, out) < DEMANGLE_OUT_MAX);
		result = demangle(mangled, DEMANGLE_FULL, out);
		if (now_s() - before < took)
			took = now_s() - before;
	}
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

/* Symbols of real programs, by g++ 12, rustc 1.95 (legacy and v0) and gdc 12; what c++filt and llvm-cxxfilt make of them. */
static void real_names(void **state)
{
	static const struct {
		const char *in, *full, *brief;
	} cases[] = {
		{ "_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)",
		  "std::vector::push_back" },
		{ "_ZNK6unit104lessclERKNS_6personES3_", "unit10::less::operator()(unit10::person const&, unit10::person const&) const",
		  "unit10::less::operator()" },
		{ "_ZN12_GLOBAL__N_13fooILi3EEEvi", "void (anonymous namespace)::foo<3>(int)", "(anonymous namespace)::foo" },
		{ "_ZNSt3__1lsIcEERSoS1_", "std::ostream& std::__1::operator<< <char>(std::ostream&)", "std::__1::operator<<" },
		{ "_ZlsRSoRK3Foo", "operator<<(std::ostream&, Foo const&)", "operator<<" },
		{ "_ZN3FooltIiEEbT_", "bool Foo::operator< <int>(int)", "Foo::operator<" },
		{ "_ZNK3FoossERKS_", "Foo::operator<=>(Foo const&) const", "Foo::operator<=>" },
		{ "_ZNK3FooptEv", "Foo::operator->() const", "Foo::operator->" },
		{ "_ZNK3FoocvSt6vectorIiSaIiEEEv", "Foo::operator std::vector<int, std::allocator<int> >() const",
		  "Foo::operator std::vector" },
		{ "_ZNK3FooclEv", "Foo::operator()() const", "Foo::operator()" },
		{ "_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const", "main::{lambda#1}::operator()" },
		{ "_ZZ3fooIiEvT_ENKUlS0_E_clEi",
		  "foo<int>(int)::{lambda(auto:1)#1}::operator()(int) const", "foo::{lambda#1}::operator()" },
		{ "_ZTv0_n24_N1AIiE1fEv", "virtual thunk to A<int>::f()", "virtual thunk to A::f" },
		{ "_Z3foov.cold", "foo() [clone .cold]", "foo" },
		{ "_ZNSt7__cxx114listIiSaIiEE6insertB5cxx11Ev",
		  "std::__cxx11::list<int, std::allocator<int> >::insert[abi:cxx11]()", "std::__cxx11::list::insert" },
		{ "_RINvMNtNtCsjdfRsGd4uuU_4core4cell4onceINtB3_8OnceCellhE8try_initNtB5_1FE",
		  "<core::cell::once::OnceCell<u8>>::try_init::<core::cell::F>", "core::cell::once::OnceCell::try_init" },
		{ "_RNvMs_NtC5alloc3vecINtB4_3VechE4push", "<alloc::vec::Vec<u8>>::push", "alloc::vec::Vec::push" },
		{ "_RNvMNtC4core5sliceSh3len", "<[u8]>::len", "<[u8]>::len" },
		{ "_RNvXs_C1rNtB4_2SqINtB4_5ShapehE4area", "<r::Sq as r::Shape<u8>>::area", "<r::Sq as r::Shape>::area" },
		{ "_RINvNtC4core3ptr13drop_in_placeNtNtC5alloc6string6StringE", "core::ptr::drop_in_place::<alloc::string::String>",
		  "core::ptr::drop_in_place" },
		{ "_RNCINvC1r5applyhE0B3_", "r::apply::<u8>::{closure#0}", "r::apply::{closure#0}" },
		{ "_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
		  "<alloc::string::String as core::fmt::Display>::fmt", "<alloc::string::String as core::fmt::Display>::fmt" },
		{ "_ZN5alloc3vec12Vec$LT$T$GT$4push17h0123456789abcdefE", "alloc::vec::Vec<T>::push", "alloc::vec::Vec::push" },
		{ "_ZN4core3ops8function6FnOnce40call_once$u7b$$u7b$vtable.shim$u7d$$u7d$17h9c3c8a22ab4c1d5fE",
		  "core::ops::function::FnOnce::call_once{{vtable.shim}}", "core::ops::function::FnOnce::call_once{{vtable.shim}}" },
		{ "_D3std4conv__T6toImplTAyaTkZQoFNaNbNekkEQBm5ascii10LetterCaseZQBo",
		  "std.conv.toImpl!(immutable(char)[], uint).toImpl(uint, uint, std.ascii.LetterCase)", "std.conv.toImpl" },
		{ "_D3std5array__T8AppenderTAyaZQo4Data11__xopEqualsMxFKxSQCbQCa__TQBxTQBrZQCfQBsZb",
		  "std.array.Appender!(immutable(char)[]).Appender.Data.__xopEquals(ref const(std.array.Appender!(immutable(char)[])."
		  "Appender.Data)) const", "std.array.Appender.Data.__xopEquals" },
		{ "_D3app6shapes4mainFAAyaZ9__lambda5MFNaNbNiNfiZi", "app.shapes.main(immutable(char)[][]).__lambda5(int)",
		  "app.shapes.main.__lambda5" },
		{ "_D3std6format8internal5write__T6getNthVAyaa17_696e746567657220707265636973696f6eSQDb6traits10isIntegralTiTkZQCzFNaNfkkZi",
		  "std.format.internal.write.getNth!(\"integer precision\", std.traits.isIntegral, int, uint).getNth(uint, uint)",
		  "std.format.internal.write.getNth" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(demangle(cases[i].in, DEMANGLE_FULL, out) > 0);
		assert_string_equal(out, cases[i].full);
		assert_int_equal(demangle(cases[i].in, DEMANGLE_SHORT, out), strlen(cases[i].brief));
		assert_string_equal(out, cases[i].brief);
		assert_int_equal(demangle(cases[i].in, DEMANGLE_NONE, out), -ENOENT);
	}
}

/* libiberty's own limit refuses names of more than 1 KiB. */
static void long_cpp_names(void **state)
{
	char name[DEMANGLE_IN_MAX] = "_ZN3fooI";

	(void)state;
	for (int i = 0; i < 300; i++)
		sprintf(name + strlen(name), "5type%c", 'a' + i % 26);
	strcat(name, "E3barEv");
	assert_true(strlen(name) > 1800);
	assert_true(timed(name) > 1800);
	assert_memory_equal(out, "foo<typea, typeb, ", 18);
	assert_int_equal(demangle(name, DEMANGLE_SHORT, out), 8);
	assert_string_equal(out, "foo::bar");
}

static const char *shortened(enum demangle_language language, const char *text, size_t out_bytes)
{
	size_t bytes = demangle_shorten(language, text, strlen(text), out, out_bytes);

	assert_true(bytes < out_bytes);
	assert_int_equal(strlen(out), bytes);
	return out;
}

/* What no demangler should write. */
static void shortening_takes_any_text(void **state)
{
	static char deep[6000];
	unsigned seed = 7;

	(void)state;
	assert_string_equal(shortened(DEMANGLE_CPP, "", 100), "");
	assert_string_equal(shortened(DEMANGLE_CPP, "foo<int", 100), "foo...");
	assert_string_equal(shortened(DEMANGLE_CPP, "foo(int>", 100), "foo...");
	assert_string_equal(shortened(DEMANGLE_CPP, "foo<(a>b)>(c<d)::bar", 100), "foo::bar");
	assert_string_equal(shortened(DEMANGLE_CPP, "foo<operator<, int>::bar", 100), "foo::bar");
	assert_string_equal(shortened(DEMANGLE_CPP, "void foo<int>(int) const &&::bar(int)", 100), "foo::bar");
	assert_string_equal(shortened(DEMANGLE_CPP, "foo>]})", 100), "foo>]})");
	assert_string_equal(shortened(DEMANGLE_RUST, "a::<fn(u8) -> u8>::b", 100), "a::b");
	assert_string_equal(shortened(DEMANGLE_RUST, "<>", 100), "");
	assert_string_equal(shortened(DEMANGLE_D, "a!(\")\").b", 100), "a.b");
	assert_string_equal(shortened(DEMANGLE_D, "a!(\"\\", 100), "a...");
	assert_string_equal(shortened(DEMANGLE_CPP, "abcdefghijkl", 8), "abcd...");
	memset(deep, '<', sizeof(deep) - 1);
	for (int language = DEMANGLE_CPP; language <= DEMANGLE_D; language++)
		shortened((enum demangle_language)language, deep, DEMANGLE_OUT_MAX);
	for (int round = 0; round < 20000; round++) {
		static const char *const pieces[] = { "<", ">", "(", ")", "[", "]", "{", "}", "\"", "\\", "operator", "::", " ", "a", "->",
						      " const", "(anonymous namespace)", "[abi:", " for ", "!", ".", " as ", "<impl " };
		char text[512] = "";
		for (int n = rand_r(&seed) % 20; n > 0; n--)
			strcat(text, pieces[(size_t)rand_r(&seed) % (sizeof(pieces) / sizeof(pieces[0]))]);
		shortened((enum demangle_language)(round % 3), text, 16 + (size_t)round % 600);
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

/* Fuzzing found it: a constant argument of nothing. */
static void names_without_anything_short_are_enoent(void **state)
{
	(void)state;
	assert_true(demangle("_RIC0Kcd8000_E", DEMANGLE_FULL, out) > 0);
	assert_int_equal(demangle("_RIC0Kcd8000_E", DEMANGLE_SHORT, out), -ENOENT);
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
		cmocka_unit_test(real_names),
		cmocka_unit_test(long_cpp_names),
		cmocka_unit_test(shortening_takes_any_text),
		cmocka_unit_test(other_names_are_enoent),
		cmocka_unit_test(names_without_anything_short_are_enoent),
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
