/* Profiles of strangers as text and JSON, in each form, on terminals of any width, and beside another. */
#include <locale.h>
#include <string.h>

#include "agent/view_page.h"
#include "base/text_clean.h"
#include "pprof/decode.h"
#include "tests/fuzz/fuzz.h"

#define PROFILE_BYTES_MAX (1u << 20)

/* No control character but the ends of lines, and no line beyond the terminal's end by more than its wide characters' bytes. */
static void check(const char *text, unsigned width)
{
	for (const char *end; *text; text = end + 1) {
		end = strchr(text, '\n');
		PROMISE(end);
		size_t n = (size_t)(end - text);
		PROMISE(text_is_clean(text, n));
		/* Zero-width characters have bytes, too. */
		PROMISE(!width || n < 65536);
	}
}

static void write_page(const struct view_page *page)
{
	char *text = NULL;
	size_t n = 0;

	FILE *stream = open_memstream(&text, &n);
	PROMISE(stream && view_write_text(page, stream) == 0 && fclose(stream) == 0);
	check(text, page->width);
	free(text);
	text = NULL;
	stream = open_memstream(&text, &n);
	PROMISE(stream && view_write_json(page, stream) == 0 && fclose(stream) == 0);
	PROMISE(n > 2 && text[0] == '{' && text_is_clean(text, n - 1));
	free(text);
}

static void each_form(const struct profile *p, const struct profile *base, unsigned width)
{
	static const char *const WANTED[] = {"^.", "a", "main"};
	struct view_options o;
	struct view_page page = {.options = &o, .profile = p, .subject = "subject", .base_subject = "base", .width = width};

	view_options_init(&o, "report");
	for (int form = VIEW_TOP; form <= VIEW_BY; form++) {
		struct why why;
		char *name = NULL;
		o.form = (enum view_form)form;
		o.rows = width % 7;
		o.min_share = width & 1 ? 0.01 : 0;
		page.value = profile_default_value(p);
		for (size_t i = 0; form >= VIEW_CALLERS && !name && i < 3; i++)
			if (view_find_function(&page, WANTED[i], &name, &why) < 0)
				name = NULL;
		page.function = form == VIEW_BY ? NULL : name;
		o.by = width & 2 ? "thread" : "";
		if (form < VIEW_CALLERS || form == VIEW_BY || name)
			write_page(&page);
		free(name);
	}
	o.form = VIEW_TOP;
	page.function = NULL;
	page.base = base;
	page.base_value = page.value;
	write_page(&page);
}

/* The terminal's width in two bytes, then a profile. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct profile *p;

	setlocale(LC_CTYPE, "C.UTF-8");
	if (n < 2 || profile_decode(data + 2, n - 2, PROFILE_BYTES_MAX, &p, NULL) < 0)
		return 0;
	if (p->n_sample_types) {
		unsigned width = (unsigned)data[0] | (unsigned)data[1] << 8;
		each_form(p, p, width % 400 < 40 ? 0 : width % 400);
	}
	profile_free(p);
	return 0;
}
