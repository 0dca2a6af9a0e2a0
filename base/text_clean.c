#include "base/text_clean.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the character at the start of text, 0 when it is not UTF-8. */
static size_t decode(const unsigned char *text, size_t bytes, uint32_t *character)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char lead = text[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;

	if (!n || n > bytes)
		return 0;
	uint32_t c = n == 1 ? lead : lead & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3f);
	}
	if (c < smallest[n] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		return 0;
	*character = c;
	return n;
}

static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

#define EACH_BYTE(value) (UINT64_MAX / 255 * (value))

/* Whether eight bytes are printable ASCII, which most names are: then nothing needs a closer look.
 * Source: Bit Twiddling Hacks, "Determine if a word has a byte less than n". */
static bool are_plain(const char *text)
{
	uint64_t word;

	memcpy(&word, text, sizeof(word));
	uint64_t below_space = (word - EACH_BYTE(0x20)) & ~word;
	uint64_t other_than_del = word ^ EACH_BYTE(0x7f);
	uint64_t is_del = (other_than_del - EACH_BYTE(1)) & ~other_than_del;
	return ((word | below_space | is_del) & EACH_BYTE(0x80)) == 0;
}

/* Bytes of plain text at the start, in steps of eight; or all of them. */
static size_t skip_plain(const char *text, size_t bytes)
{
	size_t at = 0;

	while (bytes - at >= 8 && are_plain(text + at))
		at += 8;
	/* The last ones together with those before them. */
	return at && at < bytes && bytes - at < 8 && are_plain(text + bytes - 8) ? bytes : at;
}

bool text_is_utf8(const char *text, size_t bytes)
{
	for (size_t at = skip_plain(text, bytes); at < bytes;) {
		uint32_t c;
		size_t n = decode((const unsigned char *)text + at, bytes - at, &c);
		if (!n)
			return false;
		at += n;
	}
	return true;
}

bool text_is_clean(const char *text, size_t bytes)
{
	for (size_t at = skip_plain(text, bytes); at < bytes;) {
		uint32_t c;
		size_t n = decode((const unsigned char *)text + at, bytes - at, &c);
		if (!n || is_control(c))
			return false;
		at += n;
		if (n > 1)
			at += skip_plain(text + at, bytes - at);
	}
	return true;
}

size_t text_clean(const char *text, size_t bytes, char *out, size_t out_bytes)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t written = 0;

	if (!out_bytes)
		return 0;
	for (size_t at = 0; at < bytes;) {
		size_t plain = skip_plain(text + at, bytes - at), room = out_bytes - 1 - written;
		size_t fits = plain < room ? plain : room;
		memcpy(out + written, text + at, fits);
		written += fits;
		at += fits;
		if (fits < plain || at == bytes)
			break;
		uint32_t c = 0;
		size_t n = decode((const unsigned char *)text + at, bytes - at, &c);
		const char *from = n ? text + at : replacement;
		size_t from_bytes = n ? n : sizeof(replacement) - 1;
		if (n && is_control(c)) {
			from = "?";
			from_bytes = 1;
		}
		if (written + from_bytes >= out_bytes)
			break;
		memcpy(out + written, from, from_bytes);
		written += from_bytes;
		at += n ? n : 1;
	}
	out[written] = 0;
	return written;
}
