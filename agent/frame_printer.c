#include "agent/frame_printer.h"

#include <inttypes.h>
#include <string.h>

#include "agent/json_writer.h"

static const struct symbolizer_frame UNKNOWN = {.name = "", .system_name = "", .file = ""};

static const char *known(const char *text)
{
	return *text ? text : "??";
}

static const char *file_of(const struct frame_printer *p, const struct symbolizer_frame *frame)
{
	const char *slash = p->basenames ? strrchr(frame->file, '/') : NULL;

	return slash ? slash + 1 : frame->file;
}

/* Ten thousand addresses are a hundred thousand frames: stdio's formats and locks would take longer than all else. The stream is this thread's. */
static void put(const struct frame_printer *p, const char *text)
{
	fputs_unlocked(text, p->stream);
}

static void put_number(const struct frame_printer *p, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (number < 0)
		digits[--at] = '-';
	put(p, digits + at);
}

static void put_address(const struct frame_printer *p, uint64_t address, int digits)
{
	fprintf(p->stream, "0x%0*" PRIx64 "%s", digits, address, p->pretty ? ": " : "\n");
}

static void print_function(const struct frame_printer *p, const char *name)
{
	if (!p->functions)
		return;
	put(p, known(name));
	put(p, p->pretty ? " at " : "\n");
}

static void print_gnu(const struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
{
	if (p->addresses)
		put_address(p, address, 2 * p->address_bytes);
	if (!n) {
		if (p->functions)
			put(p, p->pretty ? "?? " : "??\n");
		put(p, "??:0\n");
	}
	for (size_t i = 0; i < n; i++) {
		if (i && p->pretty)
			put(p, " (inlined by) ");
		print_function(p, frames[i].name);
		put(p, known(file_of(p, &frames[i])));
		put(p, ":");
		if (frames[i].line)
			put_number(p, frames[i].line);
		else
			put(p, "?");
		put(p, "\n");
		if (!p->inlines)
			break;
	}
}

static void print_llvm_frame(const struct frame_printer *p, const struct symbolizer_frame *place, const char *name)
{
	print_function(p, name);
	put(p, known(file_of(p, place)));
	put(p, ":");
	put_number(p, place->line);
	put(p, ":");
	put_number(p, place->column);
	put(p, "\n");
}

static void print_llvm(const struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
{
	if (p->addresses)
		put_address(p, address, 1);
	if (!n)
		print_llvm_frame(p, &UNKNOWN, "");
	/* Without inlined calls: the innermost place, in the function that the linker knows. */
	else if (!p->inlines)
		print_llvm_frame(p, &frames[0], frames[n - 1].name);
	for (size_t i = 0; p->inlines && i < n; i++) {
		if (i && p->pretty)
			put(p, " (inlined by) ");
		print_llvm_frame(p, &frames[i], frames[i].name);
	}
	put(p, "\n");
}

static void write_json_frame(struct json_writer *w, const struct frame_printer *p, const struct symbolizer_frame *place, const char *name)
{
	json_object_begin(w, NULL);
	json_int(w, "Column", place->column);
	json_int(w, "Discriminator", 0);
	json_string(w, "FileName", file_of(p, place));
	json_string(w, "FunctionName", p->functions ? name : "");
	json_int(w, "Line", place->line);
	json_string(w, "StartAddress", "");
	json_string(w, "StartFileName", "");
	json_int(w, "StartLine", place->start_line);
	json_object_end(w);
}

static void print_json(const struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
{
	char text[32];
	struct json_writer w;

	if (p->is_array)
		fputs(p->printed ? "," : "[", p->stream);
	json_writer_init(&w, p->stream);
	json_object_begin(&w, NULL);
	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	json_string(&w, "Address", text);
	json_string(&w, "ModuleName", p->module);
	json_array_begin(&w, "Symbol");
	if (!n)
		write_json_frame(&w, p, &UNKNOWN, "");
	else if (!p->inlines)
		write_json_frame(&w, p, &frames[0], frames[n - 1].name);
	for (size_t i = 0; p->inlines && i < n; i++)
		write_json_frame(&w, p, &frames[i], frames[i].name);
	json_array_end(&w);
	json_object_end(&w);
	if (!p->is_array)
		fputc('\n', p->stream);
}

void frame_printer_address(struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
{
	if (p->style == FRAME_STYLE_GNU)
		print_gnu(p, address, frames, n);
	else if (p->style == FRAME_STYLE_LLVM)
		print_llvm(p, address, frames, n);
	else
		print_json(p, address, frames, n);
	p->printed++;
}

void frame_printer_end(struct frame_printer *p)
{
	if (p->style == FRAME_STYLE_JSON && p->is_array)
		fputs(p->printed ? "]\n" : "[]\n", p->stream);
}
