#include "pprof/render.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/scope.h"
#include "pprof/flame_assets.h"
#include "pprof/flame_tree.h"
#include "pprof/format_value.h"

#define WIDTH_DEFAULT 1200
#define MARGIN	      10
#define HEAD	      64u /* title, totals, buttons */
#define FOOT	      34 /* details */
#define ROW	      17
#define NOTE	      "class=\"note\" font-family=\"system-ui, DejaVu Sans, sans-serif\""
#define CHARACTER     7.25 /* width of one, 12 px monospace */
#define SHARE_DEFAULT 0.0005
#define LEGEND	      38 /* of a comparison: the second profile's totals, and what colours mean */
#define LEGEND_STEPS  11
#define WHOLE	      (INT64_C(1) << 50) /* the width of a comparison's root is twice that: exact in JavaScript's numbers too */

/* The picture, while it is written. */
struct picture {
	const struct profile *profile, *base; /* base: NULL: no comparison */
	const struct flame_tree *tree;
	const char *type, *unit;
	uint32_t width, height, head;
	uint32_t depth;	  /* of the deepest frame that is drawn */
	bool icicle;
	int64_t *widths, *starts; /* of nodes, in values; of a comparison: in shares of WHOLE, both profiles' added */
	int64_t total, min_value;
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

static double share_of(int64_t value, int64_t total)
{
	return (double)value / (double)(total ? total : 1);
}

/* From -1 (gone) over 0 (the same share) to 1 (new). */
static double change_of(const struct picture *p, const struct flame_node *node)
{
	double now = share_of(node->value, p->tree->nodes[0].value), then = share_of(node->base_value, p->tree->nodes[0].base_value);

	return now + then > 0 ? (now - then) / (now + then) : 0;
}

/* Red for more, blue for less; the same, or nearly, is grey. */
static void put_change_colour(double change, FILE *stream)
{
	double size = fabs(change);

	if (size < 0.01)
		fputs("hsl(40,8%,86%)", stream);
	else
		fprintf(stream, "hsl(%d,%.0f%%,%.0f%%)", change > 0 ? 6 : 214, 55 + 30 * size, 90 - 30 * size);
}

static double x_of(const struct picture *p, int64_t value)
{
	return (double)(p->width - 2 * MARGIN) * share_of(value, p->total);
}

/* Both values, both shares, and what has changed. */
static void put_comparison(const struct picture *p, const struct flame_node *node)
{
	double now = 100 * share_of(node->value, p->tree->nodes[0].value), then = 100 * share_of(node->base_value, p->tree->nodes[0].base_value);
	char value[64];

	format_value(node->base_value, p->type, p->unit, value, sizeof(value));
	fprintf(p->stream, ", %.2f %%; before: ", now);
	put(value, p->stream);
	fprintf(p->stream, ", %.2f %%; %+.2f points</title>", then, now - then);
}

static void put_frame(const struct picture *p, size_t index)
{
	const struct flame_node *node = &p->tree->nodes[index];
	const char *name = p->tree->names[node->name], *module = p->tree->modules[node->module];
	double x = MARGIN + x_of(p, p->starts[index]), width = x_of(p, p->widths[index]);
	uint32_t y = p->head + (p->icicle ? node->depth : p->depth - node->depth) * ROW;
	char value[64];

	format_value(node->value, p->type, p->unit, value, sizeof(value));
	fprintf(p->stream, "<g class=\"f\" tabindex=\"0\" data-s=\"%" PRId64 "\" data-v=\"%" PRId64 "\" data-d=\"%u\" data-n=\"",
		p->starts[index], p->widths[index], node->depth);
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
	if (p->base)
		put_comparison(p, node);
	else
		fprintf(p->stream, ", %.2f %%</title>", 100 * share_of(node->value, p->total));
	fprintf(p->stream, "<rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" rx=\"1\" fill=\"", x, y, width < 0.1 ? 0.1 : width, ROW - 1);
	if (p->base)
		put_change_colour(change_of(p, node), p->stream);
	else
		put_colour(name, node->is_kernel, p->stream);
	fprintf(p->stream, "\"/><text x=\"%.2f\" y=\"%u\">", x + 3, y + 12);
	put_fitting(name, width, p->stream);
	fputs("</text></g>\n", p->stream);
}

/* What a profile is: "cpu 42 s in 10 s, 2026-11-21 03:14:00 UTC". */
static void put_totals(const struct picture *p, const struct profile *profile, int64_t total)
{
	char text[64], stamp[40] = "";
	time_t seconds = (time_t)(profile->time_ns / 1000000000);
	struct tm utc;

	put(p->type, p->stream);
	fputs(" ", p->stream);
	format_value(total, p->type, p->unit, text, sizeof(text));
	put(text, p->stream);
	if (profile->duration_ns) {
		format_value(profile->duration_ns, "", "nanoseconds", text, sizeof(text));
		fputs(" in ", p->stream);
		put(text, p->stream);
	}
	if (profile->time_ns && gmtime_r(&seconds, &utc)) {
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &utc);
		fprintf(p->stream, ", %s", stamp);
	}
}

static void put_subtitle(const struct picture *p)
{
	fprintf(p->stream, "<text id=\"subtitle\" x=\"%d\" y=\"42\">", MARGIN);
	put_totals(p, p->profile, p->tree->nodes[0].value);
	if (p->left_out)
		fprintf(p->stream, "; %zu frames narrower than a hair are left out", p->left_out);
	fputs("</text>\n", p->stream);
}

/* Of a comparison: the other profile, and what its colours mean. */
static void put_legend(const struct picture *p)
{
	const uint32_t y = HEAD + LEGEND - 28, step = 18, left = MARGIN + 36;

	fprintf(p->stream, "<text " NOTE " x=\"%d\" y=\"60\">before: ", MARGIN);
	put_totals(p, p->base, p->tree->nodes[0].base_value);
	fprintf(p->stream, "</text>\n<text " NOTE " x=\"%d\" y=\"%u\">less</text>\n", MARGIN, y + 9);
	for (uint32_t i = 0; i < LEGEND_STEPS; i++) {
		fprintf(p->stream, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"10\" fill=\"", left + i * step, y, step);
		put_change_colour(2.0 * i / (LEGEND_STEPS - 1) - 1, p->stream);
		fputs("\"/>\n", p->stream);
	}
	fprintf(p->stream, "<text " NOTE " x=\"%u\" y=\"%u\">more, as a share of the total; a frame is as wide as the mean of both shares</text>\n",
		left + LEGEND_STEPS * step + 8, y + 9);
}

static void put_head(const struct picture *p, const char *title)
{
	fprintf(p->stream,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
		"data-left=\"%d\" data-width=\"%u\" data-total=\"%" PRId64 "\" data-char=\"%.2f\">\n<style>\n%s</style>\n",
		p->width, p->height, p->width, p->height, MARGIN, p->width - 2 * MARGIN, p->total ? p->total : 1, CHARACTER, FLAME_CSS);
	fprintf(p->stream, "<text id=\"title\" x=\"%d\" y=\"22\">", MARGIN);
	put(title, p->stream);
	fputs("</text>\n", p->stream);
	put_subtitle(p);
	if (p->base)
		put_legend(p);
	fprintf(p->stream,
		"<text id=\"reset\" class=\"button\" tabindex=\"0\" x=\"%u\" y=\"22\" text-anchor=\"end\">reset zoom</text>\n"
		"<text id=\"search\" class=\"button\" tabindex=\"0\" x=\"%u\" y=\"22\" text-anchor=\"end\">search</text>\n"
		"<text id=\"matched\" x=\"%u\" y=\"42\" text-anchor=\"end\"></text>\n",
		p->width - MARGIN - 110, p->width - MARGIN, p->width - MARGIN);
}

/* A part of WHOLE. Rounded down, so that parts of parts never add up to more than these. */
static int64_t part_of(int64_t value, int64_t total)
{
	return total ? (int64_t)((__int128)value * WHOLE / total) : 0;
}

/* How wide frames are, and where: as their values; of a comparison by both. */
static int measure(struct picture *p)
{
	const struct flame_tree *t = p->tree;
	const struct flame_node *root = &t->nodes[0];

	p->widths = malloc(t->n_nodes * sizeof(p->widths[0]));
	p->starts = malloc(t->n_nodes * sizeof(p->starts[0]));
	AUTO_FREE int64_t *next = malloc(t->n_nodes * sizeof(*next)); /* where a node's next child starts */
	if (!p->widths || !p->starts || !next)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_nodes; i++) {
		const struct flame_node *node = &t->nodes[i];
		p->widths[i] = p->base ? part_of(node->value, root->value) + part_of(node->base_value, root->base_value) : node->value;
		p->starts[i] = i ? next[node->parent] : 0;
		next[i] = p->starts[i];
		if (i)
			next[node->parent] += p->widths[i];
	}
	p->total = p->widths[0];
	return 0;
}

/* Frames that are too narrow to see are left out; so are the frames above them. */
static void choose_frames(struct picture *p, double min_share)
{
	p->min_value = (int64_t)((double)p->total * min_share);
	p->left_out = p->tree->n_left_out;
	for (size_t i = 0; i < p->tree->n_nodes; i++) {
		if (p->widths[i] < p->min_value)
			p->left_out++;
		else if (p->tree->nodes[i].depth > p->depth)
			p->depth = p->tree->nodes[i].depth;
	}
	p->head = HEAD + (p->base ? LEGEND : 0u) + (p->icicle ? ROW : 0u);
	p->height = p->head + (p->depth + 1) * ROW + FOOT; /* the details of a frame are told beside the root: below, or of an icicle above */
}

static void put_picture(const struct picture *p, const char *title)
{
	put_head(p, title);
	for (size_t i = 0; i < p->tree->n_nodes; i++)
		if (p->widths[p->tree->order[i]] >= p->min_value)
			put_frame(p, p->tree->order[i]);
	fprintf(p->stream,
		"<text id=\"details\" x=\"%d\" y=\"%u\" class=\"note\">hover for details, click to zoom, Escape to reset, "
		"Ctrl-F to search</text>\n<script><![CDATA[\n%s]]></script>\n</svg>\n",
		MARGIN, p->icicle ? p->head - 10 : p->height - 12, FLAME_JS);
}

static int write_svg(const struct profile *profile, const struct profile *base, uint32_t value, const struct profile_svg_options *options, FILE *stream)
{
	static const struct profile_svg_options DEFAULTS = {0};
	struct flame_tree *tree = NULL;

	options = options ? options : &DEFAULTS;
	if (value == PROFILE_NONE)
		value = profile_default_value(profile);
	struct flame_options shape = options->tree ? *options->tree : (struct flame_options){0};
	shape.base = base;
	int err = flame_tree_create(profile, value, &shape, &tree);
	if (err < 0)
		return err;
	struct picture p = {
		.profile = profile,
		.base = base,
		.tree = tree,
		.type = profile_string(profile, profile->sample_types[value].type),
		.unit = profile_string(profile, profile->sample_types[value].unit),
		.width = options->width_px ? options->width_px : WIDTH_DEFAULT,
		.icicle = options->icicle,
		.stream = stream,
	};
	err = measure(&p);
	if (err == 0) {
		choose_frames(&p, options->min_share > 0 ? options->min_share : SHARE_DEFAULT);
		put_picture(&p, options->title ? options->title : base ? "Comparison" : "Flame graph");
	}
	free(p.widths);
	free(p.starts);
	flame_tree_destroy(tree);
	errno = 0;
	return err < 0 ? err : fflush(stream) != 0 || ferror(stream) ? (errno ? -errno : -EIO) : 0;
}

int profile_write_svg(const struct profile *profile, uint32_t value, const struct profile_svg_options *options,
		      FILE *stream)
{
	return write_svg(profile, NULL, value, options, stream);
}

int profile_write_diff_svg(const struct profile *profile, const struct profile *base, uint32_t value, const struct profile_svg_options *options, FILE *stream)
{
	return write_svg(profile, base, value, options, stream);
}
