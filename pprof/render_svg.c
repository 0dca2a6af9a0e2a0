#include "pprof/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/scope.h"
#include "pprof/flame_assets.h"
#include "pprof/flame_tree.h"
#include "pprof/format_value.h"

#define WIDTH_DEFAULT 1200
#define MARGIN	      10
#define HEAD	      64 /* title, totals, buttons */
#define FOOT	      34 /* details */
#define ROW	      17
#define CHARACTER     7.25 /* width of one, 12 px monospace */
#define SHARE_DEFAULT 0.0005

/* The picture, while it is written. */
struct picture {
	const struct profile *profile;
	const struct flame_tree *tree;
	const char *type, *unit;
	uint32_t width, height;
	uint32_t depth;	  /* of the deepest frame that is drawn */
	int64_t min_value;
	size_t left_out;
	FILE *stream;
};

/* Names come from strangers: nothing of them is markup. */
static void put_escaped(const char *text, size_t length, FILE *stream)
{
	for (size_t i = 0; i < length; i++) {
		switch (text[i]) {
		case '&':
			fputs("&amp;", stream);
			break;
		case '<':
			fputs("&lt;", stream);
			break;
		case '>':
			fputs("&gt;", stream);
			break;
		case '"':
			fputs("&quot;", stream);
			break;
		case '\'':
			fputs("&#39;", stream);
			break;
		default:
			fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i], stream);
		}
	}
}

static void put(const char *text, FILE *stream)
{
	put_escaped(text, strlen(text), stream);
}

/* Bytes of the first n characters of UTF-8 text. */
static size_t prefix_bytes(const char *text, size_t n)
{
	size_t at = 0;

	for (; text[at] && n; n--)
		for (at++; (text[at] & 0xc0) == 0x80; at++)
			;
	return at;
}

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* The name as far as it fits a box; nothing when not even three characters do. */
static void put_fitting(const char *name, double width_px, FILE *stream)
{
	if (width_px < 6 + 3 * CHARACTER)
		return;
	size_t room = (size_t)((width_px - 6) / CHARACTER);
	if (characters(name) <= room) {
		put(name, stream);
		return;
	}
	put_escaped(name, prefix_bytes(name, room - 2), stream);
	fputs("..", stream);
}

/* Warm for user code, green-blue for the kernel, grey for marker frames; the tone from the name, so that a function has one colour
 * in all pictures. */
static void put_colour(const char *name, bool is_kernel, FILE *stream)
{
	uint32_t hash = 2166136261u;

	for (const char *at = name; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	unsigned int tone = hash >> 8 & 0xff, shade = hash >> 16 & 0xff;
	if (strncmp(name, "[truncated", 10) == 0 || strncmp(name, "[un", 3) == 0)
		fprintf(stream, "hsl(40,6%%,%u%%)", 68 + shade % 8);
	else if (is_kernel)
		fprintf(stream, "hsl(%u,%u%%,%u%%)", 168 + tone % 32, 38 + shade % 16, 62 + shade % 12);
	else
		fprintf(stream, "hsl(%u,%u%%,%u%%)", 14 + tone % 38, 78 + shade % 16, 60 + shade % 12);
}

static double x_of(const struct picture *p, int64_t value)
{
	int64_t total = p->tree->nodes[0].value;

	return (double)(p->width - 2 * MARGIN) * (double)value / (double)(total ? total : 1);
}

static void put_frame(const struct picture *p, const struct flame_node *node)
{
	const char *name = p->tree->names[node->name], *module = p->tree->modules[node->module];
	double x = MARGIN + x_of(p, node->start), width = x_of(p, node->value);
	uint32_t y = HEAD + (p->depth - node->depth) * ROW;
	int64_t total = p->tree->nodes[0].value;
	char value[64];

	format_value(node->value, p->type, p->unit, value, sizeof(value));
	fprintf(p->stream, "<g class=\"f\" tabindex=\"0\" data-s=\"%" PRId64 "\" data-v=\"%" PRId64 "\" data-d=\"%u\" data-n=\"",
		node->start, node->value, node->depth);
	put(name, p->stream);
	fputs("\"><title>", p->stream);
	put(name, p->stream);
	if (*module) {
		const char *slash = strrchr(module, '/');
		fputs("  (", p->stream);
		put(slash && slash[1] ? slash + 1 : module, p->stream);
		fputs(")", p->stream);
	}
	fputs("  ", p->stream);
	put(value, p->stream);
	fprintf(p->stream, ", %.2f %%</title><rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" rx=\"1\" fill=\"",
		100 * (double)node->value / (double)(total ? total : 1), x, y, width < 0.1 ? 0.1 : width, ROW - 1);
	put_colour(name, node->is_kernel, p->stream);
	fprintf(p->stream, "\"/><text x=\"%.2f\" y=\"%u\">", x + 3, y + 12);
	put_fitting(name, width, p->stream);
	fputs("</text></g>\n", p->stream);
}

static void put_subtitle(const struct picture *p)
{
	char total[64], duration[64], stamp[40] = "";
	time_t seconds = (time_t)(p->profile->time_ns / 1000000000);
	struct tm utc;

	format_value(p->tree->nodes[0].value, p->type, p->unit, total, sizeof(total));
	fprintf(p->stream, "<text id=\"subtitle\" x=\"%d\" y=\"42\">", MARGIN);
	put(p->type, p->stream);
	fputs(" ", p->stream);
	put(total, p->stream);
	if (p->profile->duration_ns) {
		format_value(p->profile->duration_ns, "", "nanoseconds", duration, sizeof(duration));
		fputs(" in ", p->stream);
		put(duration, p->stream);
	}
	if (p->profile->time_ns && gmtime_r(&seconds, &utc)) {
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &utc);
		fprintf(p->stream, ", %s", stamp);
	}
	if (p->left_out)
		fprintf(p->stream, "; %zu frames narrower than a hair are left out", p->left_out);
	fputs("</text>\n", p->stream);
}

static void put_head(const struct picture *p, const char *title)
{
	fprintf(p->stream,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
		"data-left=\"%d\" data-width=\"%u\" data-total=\"%" PRId64 "\" data-char=\"%.2f\">\n<style>\n%s</style>\n",
		p->width, p->height, p->width, p->height, MARGIN, p->width - 2 * MARGIN,
		p->tree->nodes[0].value ? p->tree->nodes[0].value : 1, CHARACTER, FLAME_CSS);
	fprintf(p->stream, "<text id=\"title\" x=\"%d\" y=\"22\">", MARGIN);
	put(title, p->stream);
	fputs("</text>\n", p->stream);
	put_subtitle(p);
	fprintf(p->stream,
		"<text id=\"reset\" class=\"button\" tabindex=\"0\" x=\"%u\" y=\"22\" text-anchor=\"end\">reset zoom</text>\n"
		"<text id=\"search\" class=\"button\" tabindex=\"0\" x=\"%u\" y=\"22\" text-anchor=\"end\">search</text>\n"
		"<text id=\"matched\" x=\"%u\" y=\"42\" text-anchor=\"end\"></text>\n",
		p->width - MARGIN - 110, p->width - MARGIN, p->width - MARGIN);
}

/* Frames that are too narrow to see are left out; so are the frames above them. */
static void choose_frames(struct picture *p, double min_share)
{
	p->min_value = (int64_t)((double)p->tree->nodes[0].value * min_share);
	for (size_t i = 0; i < p->tree->n_nodes; i++) {
		const struct flame_node *node = &p->tree->nodes[i];
		if (node->value < p->min_value)
			p->left_out++;
		else if (node->depth > p->depth)
			p->depth = node->depth;
	}
	p->height = HEAD + (p->depth + 1) * ROW + FOOT;
}

int profile_write_svg(const struct profile *profile, uint32_t value, const struct profile_svg_options *options,
		      FILE *stream)
{
	static const struct profile_svg_options DEFAULTS = {0};
	struct flame_tree *tree = NULL;

	if (!options)
		options = &DEFAULTS;
	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	int err = flame_tree_create(profile, value, NULL, &tree);
	if (err < 0)
		return err;
	struct picture p = {
		.profile = profile,
		.tree = tree,
		.type = profile_string(profile, profile->sample_types[value].type),
		.unit = profile_string(profile, profile->sample_types[value].unit),
		.width = options->width_px ? options->width_px : WIDTH_DEFAULT,
		.stream = stream,
	};
	choose_frames(&p, options->min_share > 0 ? options->min_share : SHARE_DEFAULT);
	put_head(&p, options->title ? options->title : "Flame graph");
	for (size_t i = 0; i < tree->n_nodes; i++)
		if (tree->nodes[tree->order[i]].value >= p.min_value)
			put_frame(&p, &tree->nodes[tree->order[i]]);
	fprintf(stream,
		"<text id=\"details\" x=\"%d\" y=\"%u\" class=\"note\">hover for details, click to zoom, Escape to reset, "
		"Ctrl-F to search</text>\n<script><![CDATA[\n%s]]></script>\n</svg>\n",
		MARGIN, p.height - 12, FLAME_JS);
	flame_tree_destroy(tree);
	errno = 0;
	return fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}
