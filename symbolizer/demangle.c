#include "symbolizer/demangle.h"
#include "base/scope.h"
#include "symbolizer/demangle_short.h"

#include <demangle.h>
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* libiberty's recursion limit refuses C++ names of 1 KiB and more, of which programs with many templates are full; it is not used, as
 * DEMANGLE_IN_MAX bounds the depth too (the parse of a name takes less than 1 MiB of stack). The size of the result is bounded by neither: back
 * references make 285 MB of 240 bytes. Measured with libiberty 20230104. */
#define SHORT_IN_MAX   (64U << 10) /* of a full name that is made short: more than is kept of one that is not */
#define CPP_OPTIONS    (DMGL_ANSI | DMGL_NO_RECURSE_LIMIT)
#define CPP_VISITS_MAX 200000 /* 1 ms; real names need under 5,000 */
#define CPP_DEPTH_MAX  2048
#define CPP_CASTS_MAX  10 /* 2^21 parses take 0.1 s */
#define D_BYTES_MAX    (64U << 10)

/* Where the text goes. libiberty has no way to say "enough", so a full sink leaves it:
 *   - C++: by longjmp(). cplus_demangle_v3_callback() is specified to allocate nothing, so nothing leaks.
 *   - Rust: by making the rest of the input unreadable. The input is our copy, and the parser reads it while it
 *     prints; every further read is a syntax error. It may hold memory (Punycode), so it must return. */
struct sink {
	char *out;
	size_t bytes, capacity;
	bool full;
	char *poison; /* NULL: jump */
	size_t poison_bytes;
	jmp_buf jump;
};

static void sink_add(const char *text, size_t bytes, void *opaque)
{
	struct sink *sink = opaque;
	size_t room = sink->capacity - sizeof("...") - sink->bytes;

	/* Of an identifier without characters libiberty gives NULL. */
	if (sink->full || !bytes)
		return;
	if (bytes <= room) {
		memcpy(sink->out + sink->bytes, text, bytes);
		sink->bytes += bytes;
		return;
	}
	memcpy(sink->out + sink->bytes, text, room);
	sink->bytes += room;
	memcpy(sink->out + sink->bytes, "...", 3);
	sink->bytes += 3;
	sink->full = true;
	if (!sink->poison)
		longjmp(sink->jump, 1);
	memset(sink->poison, 0, sink->poison_bytes);
}

/* --- C++ ------------------------------------------------------------------------------------------------------- */

/* Has this component subtrees in u.s_binary? Source: demangle.h, struct demangle_component. */
static bool has_left(const struct demangle_component *node)
{
	switch (node->type) {
	case DEMANGLE_COMPONENT_NAME:
	case DEMANGLE_COMPONENT_TEMPLATE_PARAM:
	case DEMANGLE_COMPONENT_FUNCTION_PARAM:
	case DEMANGLE_COMPONENT_CTOR:
	case DEMANGLE_COMPONENT_DTOR:
	case DEMANGLE_COMPONENT_SUB_STD:
	case DEMANGLE_COMPONENT_BUILTIN_TYPE:
	case DEMANGLE_COMPONENT_EXTENDED_BUILTIN_TYPE:
	case DEMANGLE_COMPONENT_OPERATOR:
	case DEMANGLE_COMPONENT_EXTENDED_OPERATOR:
	case DEMANGLE_COMPONENT_FIXED_TYPE:
	case DEMANGLE_COMPONENT_CHARACTER:
	case DEMANGLE_COMPONENT_NUMBER:
	case DEMANGLE_COMPONENT_UNNAMED_TYPE:
		return false;
	default:
		return true;
	}
}

static bool has_right(const struct demangle_component *node)
{
	switch (node->type) {
	case DEMANGLE_COMPONENT_LAMBDA: /* u.s_unary_num */
	case DEMANGLE_COMPONENT_DEFAULT_ARG:
		return false;
	default:
		return has_left(node);
	}
}

/* Walk the tree the way libiberty does, subtrees that are shared once for each reference, until the budget is
 * used up. Below a pack expansion each visit costs more: the pack is searched for (d_find_pack(), which prints
 * nothing) each time that the expansion is printed. */
static bool is_affordable(const struct demangle_component *node, unsigned depth, long packs, long *budget)
{
	if (!node)
		return true;
	*budget -= 1 + packs;
	if (*budget < 0 || depth > CPP_DEPTH_MAX)
		return false;
	packs += node->type == DEMANGLE_COMPONENT_PACK_EXPANSION;
	if (has_left(node) && !is_affordable(node->u.s_binary.left, depth + 1, packs, budget))
		return false;
	return !has_right(node) || is_affordable(node->u.s_binary.right, depth + 1, packs, budget);
}

/* Can the search for packs take long? Only with a pack expansion (Dp, sp) and many references (S_, T_); few names
 * have both, so few pay for the walk. */
static bool is_suspicious(const char *mangled)
{
	unsigned references = 0;

	if (!strstr(mangled, "Dp") && !strstr(mangled, "sp"))
		return false;
	for (const char *at = mangled; *at; at++)
		references += *at == 'S' || *at == 'T';
	return references >= 16;
}

/* Template arguments behind "cv" and a type may belong to the type or to the operator; libiberty tries one and then
 * the other, and in arguments inside those again: every level doubles the time of the parse.
 * "cv" of an identifier has mostly a small letter, a digit or an underscore behind it. */
static bool has_many_casts(const char *mangled)
{
	unsigned casts = 0;

	for (const char *at = strstr(mangled, "cv"); at; at = strstr(at + 2, "cv"))
		casts += (at[2] >= 'A' && at[2] <= 'Z') || at[2] == 'r';
	return casts > CPP_CASTS_MAX;
}

static int check_cost(const char *mangled)
{
	long budget = CPP_VISITS_MAX;
	AUTO_FREE void *memory = NULL;

	if (has_many_casts(mangled))
		return -E2BIG;
	if (!is_suspicious(mangled))
		return 0;
	struct demangle_component *tree = cplus_demangle_v3_components(mangled, DMGL_PARAMS | CPP_OPTIONS, &memory);
	if (!tree)
		return -ENOENT;
	return is_affordable(tree, 0, 0, &budget) ? 0 : -E2BIG;
}

static bool print_cpp(const char *mangled, int options, struct sink *sink)
{
	if (setjmp(sink->jump))
		return true;
	return cplus_demangle_v3_callback(mangled, options, sink_add, sink) != 0;
}

/* Without DMGL_PARAMS also the outermost return type is left out. */
static int demangle_cpp(const char *mangled, bool with_parameters, char *out, size_t capacity)
{
	struct sink sink = { .out = out, .capacity = capacity };

	int err = check_cost(mangled);
	if (err < 0)
		return err;
	return print_cpp(mangled, CPP_OPTIONS | (with_parameters ? DMGL_PARAMS : 0), &sink) ? (int)sink.bytes : -ENOENT;
}

/* --- Rust ------------------------------------------------------------------------------------------------------ */

static bool is_base62(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A v0 binder ("for<'a, 'b>") counts its lifetimes in base 62, and libiberty loops over the number without looking
 * at errors: refuse more than 63. Binders follow an F (fn) or D (dyn).
 * Source: Rust RFC 2603, "<binder> = G <base-62-number>". */
static bool has_huge_binder(const char *mangled)
{
	for (const char *at = mangled + 1; *at; at++) {
		if (*at != 'G' || (at[-1] != 'F' && at[-1] != 'D'))
			continue;
		const char *end = at + 1;
		while (is_base62(*end))
			end++;
		if (*end == '_' && end - at > 2)
			return true;
	}
	return false;
}

/* The number of a crate ("Cs4fqI2P2rA04_3foo") is random, so it may look like a binder. It is not printed: make it a
 * number of zeros, which is neither. Lengths stay, as back references count letters. */
static void blank_crate_numbers(char *mangled)
{
	for (char *at = strstr(mangled, "Cs"); at; at = strstr(at + 2, "Cs")) {
		size_t n = 0;
		while (is_base62(at[2 + n]))
			n++;
		char next = at[2 + n] == '_' ? at[3 + n] : 0;
		if ((next >= '0' && next <= '9') || next == 'u')
			memset(at + 2, '0', n);
	}
}

static bool is_hex(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (!strchr("0123456789abcdef", text[i]) || !text[i])
			return false;
	return true;
}

/* v0, or legacy with "17h" and 16 hex digits as the last component. */
static bool is_rust(const char *mangled, size_t bytes)
{
	if (mangled[0] != '_')
		return false;
	if (mangled[1] == 'R')
		return true;
	return bytes >= 24 && mangled[1] == 'Z' && mangled[2] == 'N' && mangled[bytes - 1] == 'E' &&
	       memcmp(mangled + bytes - 20, "17h", 3) == 0 && is_hex(mangled + bytes - 17, 16);
}

static int demangle_rust(const char *mangled, char *out, size_t capacity)
{
	AUTO_FREE char *copy = strdup(mangled);

	if (!copy)
		return -ENOENT;
	/* LLVM gives internal functions that it makes visible a suffix. */
	char *suffix = strstr(copy, ".llvm.");
	if (suffix)
		*suffix = 0;
	size_t bytes = strlen(copy);
	if (!is_rust(copy, bytes))
		return -ENOENT;
	if (copy[1] == 'R' && has_huge_binder(copy)) {
		blank_crate_numbers(copy);
		if (has_huge_binder(copy))
			return -E2BIG;
	}
	struct sink sink = { .out = out, .capacity = capacity, .poison = copy, .poison_bytes = bytes };
	bool good = rust_demangle_callback(copy, DMGL_PARAMS, sink_add, &sink) != 0 || sink.full;
	return good && sink.bytes ? (int)sink.bytes : -ENOENT;
}

/* libiberty wants five different digits in a hash; the rare others arrive here as C++. */
static size_t cut_rust_hash(char *out, size_t bytes)
{
	const size_t hash_bytes = sizeof("::h0123456789abcdef") - 1;

	if (bytes <= hash_bytes || memcmp(out + bytes - hash_bytes, "::h", 3) != 0 || !is_hex(out + bytes - 16, 16))
		return bytes;
	out[bytes - hash_bytes] = 0;
	return bytes - hash_bytes;
}

/* --- D --------------------------------------------------------------------------------------------------------- */

/* An upper bound of the bytes that a D name expands to. A back reference Q points to an earlier identifier, or to a
 * type that ends before the Q; either is no longer than everything between. Every Q is taken for a reference, as
 * telling which are would need the whole grammar. Source: https://dlang.org/spec/abi.html#back_ref */
static int check_d_cost(const char *mangled, size_t bytes)
{
	AUTO_FREE uint64_t *total = calloc(bytes + 1, sizeof(*total)); /* of all bytes before */

	if (!total)
		return -ENOENT;
	for (size_t i = 0; i < bytes; i++) {
		uint64_t cost = 4; /* "shared(", "immutable(" and so on are longer than their letters */
		size_t distance = 0, at = i + 1;
		while (mangled[i] == 'Q' && mangled[at] >= 'A' && mangled[at] <= 'Z' && distance < bytes)
			distance = distance * 26 + (size_t)(mangled[at++] - 'A');
		if (mangled[i] == 'Q' && mangled[at] >= 'a' && mangled[at] <= 'z')
			distance = distance * 26 + (size_t)(mangled[at] - 'a');
		if (distance && distance <= i) {
			size_t target = i - distance;
			bool identifier = mangled[target] >= '0' && mangled[target] <= '9';
			size_t length = identifier ? strtoul(mangled + target, NULL, 10) : 0;
			cost += identifier ? (length < bytes ? length : bytes) : total[i] - total[target];
		}
		total[i + 1] = total[i] + cost;
		if (total[i + 1] > D_BYTES_MAX)
			return -E2BIG;
	}
	return 0;
}

static int demangle_d(const char *mangled, char *out, size_t capacity)
{
	int err = check_d_cost(mangled, strlen(mangled));

	if (err < 0)
		return err;
	AUTO_FREE char *text = dlang_demangle(mangled, DMGL_PARAMS);
	if (!text)
		return -ENOENT;
	size_t bytes = strlen(text);
	if (bytes >= capacity) {
		bytes = capacity - 1;
		memcpy(text + bytes - 3, "...", 3);
	}
	memcpy(out, text, bytes);
	return (int)bytes;
}

static int demangle_any(const char *mangled, bool with_parameters, char *out, size_t capacity, enum demangle_language *language_out)
{
	int bytes = -ENOENT;

	*language_out = DEMANGLE_RUST;
	if (mangled[1] == 'R' || mangled[1] == 'Z')
		bytes = demangle_rust(mangled, out, capacity);
	if (bytes == -ENOENT && mangled[1] == 'Z') {
		*language_out = DEMANGLE_CPP;
		bytes = demangle_cpp(mangled, with_parameters, out, capacity);
	}
	if (mangled[1] == 'D') {
		*language_out = DEMANGLE_D;
		bytes = demangle_d(mangled, out, capacity);
	}
	if (bytes < 0)
		return bytes;
	out[bytes] = 0;
	return mangled[1] == 'Z' ? (int)cut_rust_hash(out, (size_t)bytes) : bytes;
}

int demangle(const char *mangled, enum demangle_style style, char *out)
{
	enum demangle_language language;

	if (style == DEMANGLE_NONE || mangled[0] != '_' || strnlen(mangled, DEMANGLE_IN_MAX) == DEMANGLE_IN_MAX)
		return -ENOENT;
	if (style == DEMANGLE_FULL)
		return demangle_any(mangled, true, out, DEMANGLE_OUT_MAX, &language);
	AUTO_FREE char *full = malloc(SHORT_IN_MAX);
	if (!full)
		return -ENOENT;
	int bytes = demangle_any(mangled, false, full, SHORT_IN_MAX, &language);
	if (bytes < 0)
		return bytes;
	size_t length = demangle_shorten(language, full, (size_t)bytes, out, DEMANGLE_OUT_MAX);
	return length ? (int)length : -ENOENT; /* nothing but arguments: the mangled name tells more */
}
