#include "pprof/profile_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "pprof/profile_builder.h"

/* A builder collects what is new: strings, functions, and for each location that gets names one of its own, whose address is the location's index. */
struct profile_names {
	struct profile *profile;
	struct profile_builder *builder;
};

int profile_names_create(struct profile *profile, struct profile_names **names_out)
{
	AUTO_FREE struct profile_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->profile = profile;
	int err = profile_builder_create(&n->builder);
	if (err < 0)
		return err;
	*names_out = take_ptr(n);
	return 0;
}

/* "[libc.so.6+0x1234]", as hearth writes, or only a number. */
static bool is_stand_in(const char *name)
{
	const char *plus = strstr(name, "+0x");

	if (name[0] == '0' && name[1] == 'x')
		return name[2 + strspn(name + 2, "0123456789abcdef")] == '\0';
	return name[0] == '[' && plus && plus[3] && strcmp(plus + 3 + strspn(plus + 3, "0123456789abcdef"), "]") == 0;
}

bool profile_location_is_unnamed(const struct profile *profile, const struct profile_location *location)
{
	for (uint32_t i = 0; i < location->n_lines; i++) {
		const struct profile_function *function = &profile->functions[profile->lines[location->first_line + i].function];
		const char *name = profile_string(profile, function->name);
		if (!*name)
			name = profile_string(profile, function->system_name);
		if (*name && !is_stand_in(name))
			return false;
	}
	return true;
}

static int64_t add_function(struct profile_builder *b, const struct profile_frame *frame)
{
	int64_t name = profile_builder_string(b, frame->name, strlen(frame->name));
	int64_t system_name = profile_builder_string(b, frame->system_name, strlen(frame->system_name));
	int64_t file = profile_builder_string(b, frame->file, strlen(frame->file));

	if (name < 0 || system_name < 0 || file < 0)
		return name < 0 ? name : system_name < 0 ? system_name : file;
	struct profile_function function = {.name = (profile_str)name,
					    .system_name = (profile_str)system_name,
					    .filename = (profile_str)file,
					    .start_line = frame->start_line};
	return profile_builder_function(b, &function);
}

int profile_names_set(struct profile_names *n, uint32_t location, const struct profile_frame *frames, size_t n_frames)
{
	AUTO_FREE struct profile_line *lines = calloc(n_frames + 1, sizeof(*lines));

	if (location >= n->profile->n_locations)
		return -EINVAL;
	if (!lines)
		return -ENOMEM;
	for (size_t i = 0; i < n_frames; i++) {
		int64_t function = add_function(n->builder, &frames[i]);
		if (function < 0)
			return (int)function;
		lines[i] = (struct profile_line){(uint32_t)function, frames[i].line, frames[i].column};
	}
	int64_t id = profile_builder_location(n->builder, PROFILE_NONE, location, lines, n_frames);
	return id < 0 ? (int)id : 0;
}

/* The tables of a profile with those of another behind them. */
struct joined {
	const char **strings;
	uint32_t *string_lengths;
	char *string_bytes;
	struct profile_function *functions;
	struct profile_line *lines;
};

static void joined_deinit(struct joined *j)
{
	free(j->strings);
	free(j->string_lengths);
	free(j->string_bytes);
	free(j->functions);
	free(j->lines);
}

static size_t strings_bytes(const struct profile *p)
{
	size_t bytes = 0;

	for (size_t i = 0; i < p->n_strings; i++)
		bytes += p->string_lengths[i] + 1ull;
	return bytes;
}

static char *append_strings(struct joined *j, size_t first, char *to, const struct profile *from)
{
	for (size_t i = 0; i < from->n_strings; i++) {
		size_t bytes = from->string_lengths[i] + 1ull;
		memcpy(to, from->strings[i], bytes);
		j->strings[first + i] = to;
		j->string_lengths[first + i] = from->string_lengths[i];
		to += bytes;
	}
	return to;
}

/* The added profile's string 0 is "", as everyone's. */
static profile_str moved(const struct profile *p, profile_str added)
{
	return added ? (profile_str)(p->n_strings + added) : 0;
}

static int join(const struct profile *p, const struct profile *added, struct joined *j)
{
	j->strings = calloc(p->n_strings + added->n_strings + 1, sizeof(j->strings[0]));
	j->string_lengths = calloc(p->n_strings + added->n_strings + 1, sizeof(j->string_lengths[0]));
	j->string_bytes = malloc(strings_bytes(p) + strings_bytes(added) + 1);
	j->functions = calloc(p->n_functions + added->n_functions + 1, sizeof(j->functions[0]));
	j->lines = calloc(p->n_lines + added->n_lines + 1, sizeof(j->lines[0]));
	if (!j->strings || !j->string_lengths || !j->string_bytes || !j->functions || !j->lines)
		return -ENOMEM;
	append_strings(j, p->n_strings, append_strings(j, 0, j->string_bytes, p), added);
	memcpy(j->functions, p->functions, p->n_functions * sizeof(j->functions[0]));
	for (size_t i = 0; i < added->n_functions; i++) {
		struct profile_function *function = &j->functions[p->n_functions + i];
		*function = added->functions[i];
		function->name = moved(p, function->name);
		function->system_name = moved(p, function->system_name);
		function->filename = moved(p, function->filename);
	}
	memcpy(j->lines, p->lines, p->n_lines * sizeof(j->lines[0]));
	for (size_t i = 0; i < added->n_lines; i++) {
		j->lines[p->n_lines + i] = added->lines[i];
		j->lines[p->n_lines + i].function += (uint32_t)p->n_functions;
	}
	return 0;
}

/* What readers may expect of a mapping's locations. A reader that sees has_functions does not look for names itself. */
static void set_flags(struct profile *p, const struct profile_location *location)
{
	if (location->mapping == PROFILE_NONE || !location->n_lines)
		return;
	struct profile_mapping *mapping = &p->mappings[location->mapping];
	mapping->has_functions = true;
	mapping->has_inline_frames |= location->n_lines > 1;
	for (uint32_t i = 0; i < location->n_lines; i++) {
		const struct profile_line *line = &p->lines[location->first_line + i];
		mapping->has_line_numbers |= line->line != 0;
		mapping->has_filenames |= p->functions[line->function].filename != 0;
	}
}

static void replace_tables(struct profile *p, const struct profile *added, struct joined *j)
{
	uint32_t first_line = (uint32_t)p->n_lines;

	free(p->strings);
	free(p->string_lengths);
	free(p->string_bytes);
	free(p->functions);
	free(p->lines);
	p->strings = take_ptr(j->strings);
	p->string_lengths = take_ptr(j->string_lengths);
	p->string_bytes = take_ptr(j->string_bytes);
	p->functions = take_ptr(j->functions);
	p->lines = take_ptr(j->lines);
	p->n_strings += added->n_strings;
	p->n_functions += added->n_functions;
	p->n_lines += added->n_lines;
	for (size_t i = 0; i < added->n_locations; i++) {
		struct profile_location *location = &p->locations[added->locations[i].address];
		location->first_line = first_line + added->locations[i].first_line;
		location->n_lines = added->locations[i].n_lines;
		set_flags(p, location);
	}
}

int profile_names_finish(struct profile_names *n)
{
	__attribute__((cleanup(joined_deinit))) struct joined joined = {0};
	struct profile *added = NULL;

	int err = profile_builder_finish(n->builder, &added);
	if (err < 0)
		return err;
	err = join(n->profile, added, &joined);
	if (err == 0)
		replace_tables(n->profile, added, &joined);
	profile_free(added);
	return err;
}

void profile_names_destroy(struct profile_names *n)
{
	if (!n)
		return;
	profile_builder_destroy(n->builder);
	free(n);
}
