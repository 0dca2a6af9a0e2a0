#include "agent/frame_printer.h"

#include <inttypes.h>
#include <string.h>

#include "base/json_writer.h"

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

/* Ten thousand addresses are a hundred thousand frames: stdio's formats, locks and buffer would take longer than all else. */
static void pass_on(struct frame_printer *p)
{
	fwrite_unlocked(p->text, 1, p->n, p->stream);
	p->n = 0;
}

static void put_bytes(struct frame_printer *p, const char *text, size_t n)
{
	if (n > sizeof(p->text) - p->n) {
		pass_on(p);
		if (n > sizeof(p->text)) {
			fwrite_unlocked(text, 1, n, p->stream);
			return;
		}
	}
	memcpy(p->text + p->n, text, n);
	p->n += n;
}

static inline void put(struct frame_printer *p, const char *text)
{
	put_bytes(p, text, strlen(text));
}

static void put_number(struct frame_printer *p, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (number < 0)
		digits[--at] = '-';
	put_bytes(p, digits + at, sizeof(digits) - at);
}

/* width: digits at least. */
static void put_address(struct frame_printer *p, uint64_t address, size_t width)
{
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[address & 15];
	while ((address >>= 4) || sizeof(digits) - at < width);
	put(p, "0x");
	put_bytes(p, digits + at, sizeof(digits) - at);
	put(p, p->pretty ? ": " : "\n");
}

static void print_function(struct frame_printer *p, const char *name)
{
	if (!p->functions)
		return;
	put(p, known(name));
	put(p, p->pretty ? " at " : "\n");
}

static void print_gnu(struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
{
	if (p->addresses)
		put_address(p, address, 2u * p->address_bytes);
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

static void print_llvm_frame(struct frame_printer *p, const struct symbolizer_frame *place, const char *name)
{
	print_function(p, name);
	put(p, known(file_of(p, place)));
	put(p, ":");
	put_number(p, place->line);
	put(p, ":");
	put_number(p, place->column);
	put(p, "\n");
}

static void print_llvm(struct frame_printer *p, uint64_t address, const struct symbolizer_frame *frames, size_t n)
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

void frame_printer_flush(struct frame_printer *p)
{
	pass_on(p);
	fflush(p->stream);
}

void frame_printer_end(struct frame_printer *p)
{
	pass_on(p);
	if (p->style == FRAME_STYLE_JSON && p->is_array)
		fputs(p->printed ? "]\n" : "[]\n", p->stream);
	fflush(p->stream);
}
