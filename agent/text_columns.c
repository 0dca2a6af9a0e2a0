#include "agent/text_columns.h"

#include <stdint.h>
#include <string.h>
#include <wchar.h>

#define ACCENTS_MAX 2 /* on one letter */

/* One character. Returns its bytes; what is no UTF-8 is one byte, and U+FFFD. */
static size_t decode(const unsigned char *at, uint32_t *c)
{
	size_t n = *at < 0x80 ? 1 : *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;

	*c = n == 1 ? *at : n ? *at & (0x7fu >> n) : 0xfffd;
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			*c = 0xfffd;
			return 1;
		}
		*c = *c << 6 | (at[i] & 0x3f);
	}
	return n ? n : 1;
}

/* Format characters: terminals do not agree on their widths, and some disguise what stands beside them. */
static bool is_format(uint32_t c)
{
	return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
	       (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static int width_of(uint32_t c, bool is_utf8)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return -1;
	if (c < 0x7f)
		return 1;
	return is_utf8 && c != 0xfffd ? wcwidth((wchar_t)c) : -1;
}

size_t text_columns(const char *text, size_t columns, bool is_utf8, char *out, size_t out_bytes)
{
	size_t used = 0, n = 0, fits_n = 0, fits_used = 0, accents = ACCENTS_MAX;
	const unsigned char *at = (const unsigned char *)text;

	if (!out_bytes)
		return 0;
	out[0] = '\0';
	if (columns > TEXT_COLUMNS_MAX)
		columns = TEXT_COLUMNS_MAX;
	while (*at) {
		uint32_t c;
		size_t bytes = decode(at, &c);
		int width = width_of(c, is_utf8);
		const void *from = width < 0 ? (const void *)"?" : at;
		size_t from_bytes = width < 0 ? 1 : bytes;
		at += bytes;
		if (is_format(c) || (width == 0 && accents >= ACCENTS_MAX))
			continue;
		accents = width == 0 ? accents + 1 : 0;
		size_t takes = width < 0 ? 1 : (size_t)width;
		if (used + takes > columns || n + from_bytes + 2 > out_bytes) {
			/* The mark takes the place of what stood there. */
			n = fits_n;
			used = fits_used;
			if (used < columns && n + 2 <= out_bytes) {
				out[n++] = '~';
				used++;
			}
			break;
		}
		memcpy(out + n, from, from_bytes);
		n += from_bytes;
		used += takes;
		if (used < columns) {
			fits_n = n;
			fits_used = used;
		}
	}
	out[n] = '\0';
	return used;
}
