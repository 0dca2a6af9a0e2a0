#include "symbolizer/demangle_short.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 1024 /* brackets inside each other */

struct shortener {
	const char *begin, *at, *end;
	char *out;
	size_t bytes, room;
	size_t name; /* where the name at hand begins in out: behind its return type */
	size_t head; /* where all of it begins: behind "vtable for " and the like */
	const char *unpaired; /* a '>' whose '<' was left out */
	bool cut;
};

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool begins(const char *at, const char *end, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(end - at) >= n && memcmp(at, with, n) == 0;
}

/* "operator<<" and so on: its bytes; 0 when there is none at this place. Its sign must not be taken for a bracket. */
static size_t operator_bytes(const char *begin, const char *at, const char *end)
{
	static const char *const SIGNS[] = {"()", "[]", "<=>", "<<=", "<<", "<=", "<", ">>=", ">>", ">=", ">", "->*", "->"};
	const size_t word = sizeof("operator") - 1;

	if (!begins(at, end, "operator") || (at > begin && is_word(at[-1])) || (at + word < end && is_word(at[word])))
		return 0;
	for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++)
		if (begins(at + word, end, SIGNS[i]))
			return word + strlen(SIGNS[i]);
	return word;
}

/* Behind the bracket that closes the one at `at`, NULL when none does. Signs of comparison occur only inside parentheses, which close
 * whatever was left open inside them. */
static const char *skip_group(const struct shortener *s, const char *at)
{
	char open[DEPTH_MAX];
	size_t depth = 0;

	for (; at < s->end; at++) {
		size_t sign = operator_bytes(s->begin, at, s->end);
		if (sign) {
			at += sign - 1;
			continue;
		}
		char c = *at;
		if (c == '"') {
			while (++at < s->end && *at != '"')
				at += *at == '\\';
		} else if (c == '(' || c == '[' || c == '{' || c == '<') {
			if (depth == DEPTH_MAX)
				return NULL;
			open[depth++] = c;
		} else if (c == '>') {
			depth -= at[-1] != '-' && open[depth - 1] == '<';
		} else if (c == ')' || c == ']' || c == '}') {
			char opening = c == ')' ? '(' : c == ']' ? '[' : '{';
			while (depth && open[depth - 1] != opening)
				depth--;
			if (!depth)
				return NULL;
			depth--;
		}
		if (!depth)
			return at + 1;
	}
	return NULL;
}

static void put(struct shortener *s, const char *text, size_t bytes)
{
	if (s->cut)
		return;
	if (bytes >= s->room - s->bytes) {
		s->cut = true;
		return;
	}
	memcpy(s->out + s->bytes, text, bytes);
	s->bytes += bytes;
}

static void copy(struct shortener *s, size_t bytes)
{
	put(s, s->at, bytes);
	s->at += bytes;
}

/* Leave out the group that begins here. */
static void drop_group(struct shortener *s)
{
	const char *behind = skip_group(s, s->at);

	s->cut = s->cut || !behind;
	s->at = behind ? behind : s->end;
}

static bool ends_with(const struct shortener *s, const char *text)
{
	size_t n = strlen(text);

	return s->bytes >= n && memcmp(s->out + s->bytes - n, text, n) == 0;
}

/* What follows the parameters of a function: " const", " &&" ... */
static void drop_qualifiers(struct shortener *s)
{
	static const char *const WORDS[] = {" const", " volatile", " &&", " &", " noexcept", " immutable", " inout", " shared"};

	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
		size_t n = strlen(WORDS[i]);
		if (!begins(s->at, s->end, WORDS[i]) || (s->at + n < s->end && is_word(s->at[n])))
			continue;
		s->at += n;
		i = (size_t)-1; /* there may be more */
	}
}

/* The parameters of a function around the one that is named: its return type, if it has one, goes too. */
static void drop_return_type(struct shortener *s)
{
	if (s->name <= s->head || !begins(s->at, s->end, "::"))
		return;
	memmove(s->out + s->head, s->out + s->name, s->bytes - s->name);
	s->bytes -= s->name - s->head;
	s->name = s->head;
}

static void shorten_cpp(struct shortener *s)
{
	static const char ANONYMOUS[] = "(anonymous namespace)";
	size_t sign = operator_bytes(s->begin, s->at, s->end);
	char c = *s->at;

	if (sign) {
		copy(s, sign);
		/* "operator< <int>"; "operator bool" and "operator new" go on. */
		if (begins(s->at, s->end, " <"))
			s->at++;
		else if (begins(s->at, s->end, " "))
			copy(s, 1);
	} else if (begins(s->at, s->end, ANONYMOUS)) {
		copy(s, sizeof(ANONYMOUS) - 1);
	} else if (c == '<' || begins(s->at, s->end, "[abi:")) {
		drop_group(s);
	} else if (c == '(') {
		drop_group(s);
		drop_qualifiers(s);
		drop_return_type(s);
	} else {
		copy(s, 1);
		if (c != ' ')
			return;
		if (ends_with(s, " for ") || ends_with(s, " to "))
			s->head = s->bytes;
		s->name = s->bytes;
	}
}

/* "<alloc::vec::Vec<u8>>::push" names a type's own method: it needs no brackets. "<T as Trait>::f", "<[u8]>::f" and "<impl T for U>::f" do. */
static bool is_plain_type(const struct shortener *s, const char *behind)
{
	const char *at = s->at + 1;

	if (begins(at, s->end, "impl ") || begins(at, s->end, "dyn ") || begins(at, s->end, "fn("))
		return false;
	while (at < behind - 1 && *at != '<' && *at != ' ')
		if (!is_word(*at) && *at != ':')
			return false;
		else
			at++;
	if (*at == '<')
		at = skip_group(s, at);
	return at == behind - 1;
}

static void shorten_rust(struct shortener *s)
{
	char before = s->bytes ? s->out[s->bytes - 1] : ' ';
	const char *behind = NULL;

	if (s->at == s->unpaired) {
		s->at++;
		return;
	}
	if (*s->at != '<') {
		copy(s, 1);
		return;
	}
	if (s->at == s->begin)
		behind = skip_group(s, s->at);
	if (behind && is_plain_type(s, behind)) {
		s->unpaired = behind - 1;
		s->at++;
		return;
	}
	if (strchr(" (&<,[*", before) || begins(s->at, s->end, "<impl ")) {
		copy(s, 1);
		return;
	}
	if (ends_with(s, "::"))
		s->bytes -= 2;
	drop_group(s);
}

/* A template's member of the same name is what people mean by the template: "to!(int).to". */
static void drop_eponym(struct shortener *s)
{
	size_t n = 0;

	while (n < s->bytes && is_word(s->out[s->bytes - 1 - n]))
		n++;
	if (n && (size_t)(s->end - s->at) > n && s->at[0] == '.' && memcmp(s->at + 1, s->out + s->bytes - n, n) == 0 &&
	    (s->at + 1 + n == s->end || !is_word(s->at[1 + n])))
		s->at += 1 + n;
}

static void shorten_d(struct shortener *s)
{
	if (*s->at != '(') {
		copy(s, 1);
		return;
	}
	bool is_template = ends_with(s, "!");
	s->bytes -= is_template;
	drop_group(s);
	if (is_template)
		drop_eponym(s);
	else
		drop_qualifiers(s);
}

size_t demangle_shorten(enum demangle_language language, const char *text, size_t bytes, char *out, size_t out_bytes)
{
	static const char CUT[] = "...";
	struct shortener s = {.begin = text, .at = text, .end = text + bytes, .out = out, .room = out_bytes};

	while (s.at < s.end && !s.cut) {
		if (language == DEMANGLE_CPP)
			shorten_cpp(&s);
		else if (language == DEMANGLE_RUST)
			shorten_rust(&s);
		else
			shorten_d(&s);
	}
	if (s.cut) {
		if (s.bytes > out_bytes - sizeof(CUT))
			s.bytes = out_bytes - sizeof(CUT);
		memcpy(out + s.bytes, CUT, sizeof(CUT) - 1);
		s.bytes += sizeof(CUT) - 1;
	}
	out[s.bytes] = 0;
	return s.bytes;
}
