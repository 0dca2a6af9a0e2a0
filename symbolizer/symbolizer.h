/* Names for addresses: the only door to code that reads binaries.
 *
 * The agent hands over open file descriptors and batches of addresses; it gets frames. All of it is read in a confined process
 * (symbolizer/worker.h), which is forked when it is first needed and forked again when it died or was too slow: that costs the
 * request, which returns -ECHILD or -ETIME. An image that cost it three times is set aside: -EKEYREJECTED at once, and one more try
 * every 20 minutes (SAFETY 12). When processes die one after the other, there is a pause before the next: -ECHILD at once.
 * What the process answers is checked as a stranger's: an answer that cannot be is -EBADMSG, and the end of that process.
 *
 * Words: vaddr is an ELF virtual address (load bias removed). Not thread-safe. */
#ifndef HEARTH_SYMBOLIZER_SYMBOLIZER_H
#define HEARTH_SYMBOLIZER_SYMBOLIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbolizer/code_frame.h"
#include "symbolizer/demangle.h"

#define BUILD_ID_MAX 64		    /* bytes; SAFETY 11 */
#define IMAGE_SEGMENTS_MAX 64	    /* executable PT_LOADs that are kept of one file */

struct symbolizer;

/* One executable PT_LOAD of a file. Source: ELF gABI, "Program Header". */
struct image_segment {
	uint64_t file_offset; /* p_offset */
	uint64_t vaddr;	      /* p_vaddr */
	uint64_t file_bytes;  /* p_filesz */
};

/* What an ELF file says of itself. */
struct image_info {
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes; /* 0: the file has none */
	uint8_t address_bytes;	/* 4 or 8 */
	uint8_t n_segments;
	bool segments_dropped;	/* the file had more than IMAGE_SEGMENTS_MAX */
	bool lacks_cfi;		/* most of its code has none of its own: a debug file may have it */
	struct image_segment segments[IMAGE_SEGMENTS_MAX];
};

/* One named frame. name is what people read; system_name what the linker saw (equal for C).
 * Both are valid UTF-8, end in NUL, and are borrowed from the reply. */
struct symbolizer_frame {
	const char *name;
	const char *system_name;
	const char *file;   /* "" when unknown */
	int64_t line;	    /* where execution is: of a call, for the frames that others were inlined into. 0 when unknown */
	int64_t column;	    /* 0 when unknown */
	int64_t start_line; /* of the function; 0 when unknown */
};

/* The frames of one address: frames[first] .. +count, innermost inlined function first.
 * count == 0: nothing covers this address; the caller writes [module+0x...].
 * symbol_start/symbol_end: the vaddr range for which the same answer holds (without line numbers);
 * the caller may cache by it. Both 0 when count == 0. */
struct symbolizer_answer {
	uint32_t first;
	uint32_t count;
	uint64_t symbol_start;
	uint64_t symbol_end;
};

struct symbolizer_reply {
	bool table_damaged;		   /* the name table is: throw it away; the names are the symbol table's */
	struct symbolizer_answer *answers; /* one for each address asked, in their order */
	size_t n_answers;
	struct symbolizer_frame *frames;
	size_t n_frames;
	const char *strings; /* what the frames point to, in one block; of a reply that was put together: of its first part */
	size_t n_string_bytes;
	void *block;			/* owned: where the strings lie */
	size_t mapped_bytes;		/* of block when it is mapped; 0: it is allocated */
	struct symbolizer_reply *parts; /* owned: other replies that frames were taken from, for their strings */
};

/* Where the names of a process's JIT code come from. Each may be -1: what was read of it before still answers. */
struct jit_source {
	int map_fd;  /* perf map (symbolizer/perf_map.h) */
	int dump_fd; /* jitdump (symbolizer/jitdump.h) */
};

/* A pc, and when it was sampled (CLOCK_MONOTONIC). */
struct jit_query {
	uint64_t pc;
	uint64_t time_ns;
};

struct jit_stats {
	uint64_t tables;    /* of processes, now held */
	uint64_t bytes;	    /* of them */
	uint64_t evicted;   /* given up for the budget; read again when needed */
	uint64_t entries;   /* pieces of code that were read */
	uint64_t bad;	    /* lines and records that are none */
	uint64_t refused;   /* pieces of code over a limit */
	uint64_t anew;	    /* files that were truncated or replaced, and read again */
	uint64_t failed;    /* readings that ended with an error */
	uint64_t named, unnamed; /* pcs */
	uint64_t read_ns;   /* spent in reading */
};

struct symbolizer_options {
	enum demangle_style demangle;
	uint64_t deadline_ns;	    /* of a request, waits for a CPU aside; 0: 1 s */
};

struct symbolizer_stats {
	uint64_t images_read;	   /* files whose headers were read */
	uint64_t images_rejected;  /* not ELF, truncated, over a limit */
	uint64_t symtabs_read;	   /* symbol tables parsed (again after an eviction) */
	uint64_t symtabs_evicted;
	uint64_t symtab_bytes;	   /* now held */
	uint64_t addresses_named;
	uint64_t addresses_unnamed;
	uint64_t symbols_damaged;      /* entries and tables of files that were left out */
	uint64_t names_refused;	       /* too costly to demangle: their frames keep the mangled name */
	uint64_t unwind_images;	       /* whose CFI was compiled (again after an eviction) */
	uint64_t unwind_fdes;
	uint64_t unwind_bad_fdes;      /* left out: damaged, or over a limit */
	uint64_t unwind_ns;	       /* spent in compiling */
	uint64_t kernel_lines_skipped; /* of the last symbolizer_kernel_load() */
	struct jit_stats jit;
	uint64_t name_tables;	       /* now open */
	uint64_t tables_damaged;       /* name tables that were, or were of another version */
	/* Of the confined process. */
	pid_t worker_pid; /* 0: there is none now */
	uint64_t worker_cpu_ns;
	uint64_t worker_restarts;  /* died, or were ended */
	uint64_t worker_timeouts;  /* of those: over the deadline */
	uint64_t replies_rejected; /* of those: what they said cannot be */
	uint64_t worker_pauses;	   /* requests refused because processes died one after the other */
	uint64_t images_set_aside; /* requests' files, each time */
	uint64_t requests_refused; /* for files that are set aside */
	uint64_t requests_late;	   /* put off to the next window; see symbolizer_begin_window() */
	uint64_t descriptors_extra; /* sent along unasked; closed */
};

struct zygote;

/* zygote: borrowed; forks the process (symbolizer/zygote.h). options: NULL for defaults. */
int symbolizer_create(struct zygote *zygote, const struct symbolizer_options *options, struct symbolizer **symbolizer_out);

/* What slow files may cost until the next call of this (symbolizer/slow_requests.h); 0, as at the beginning: no limit. When that is used up, requests for
 * files that were not quick before return -EBUSY: ask again in the next window. Headers are read all the same. */
void symbolizer_begin_window(struct symbolizer *s, uint64_t allowance_ns);

/* Read the headers of an image.
 * fd: readable regular file or memfd, borrowed for the call; read with pread, never mmapped (SAFETY 7).
 * Returns 0, -ENOEXEC (not an ELF file that hearth can read), -EBADMSG (an ELF file with bad headers), -E2BIG
 * (over a limit), or the errno of a failed read. */
int symbolizer_image(struct symbolizer *s, int fd, struct image_info *info_out);

/* Is this file the separate debug file of an image with this build id? fd: as above. Damaged files are not. */
bool symbolizer_is_debug_file(struct symbolizer *s, int fd, const uint8_t *build_id, uint8_t n_bytes);

/* Name a batch of addresses of one image.
 * image_id: the caller's stable number of this image, the key of the caches.
 * fd: as above; may be -1 when the caller knows that the table is cached; -ENOENT is returned when it is not.
 * table_fd: the image's name table (symbolizer/name_table.h), borrowed: a sealed memfd or a file that only we can write. It names first, with
 * inlined frames, files (directory and file in one) and lines; what it does not cover, the symbol table names. It is kept open by image_id: one
 * that is sent again costs little, and another file under the same image_id replaces it. -1: the one that is kept, if there is one.
 * A damaged one is told by table_damaged, and is not kept.
 * vaddrs: any order, duplicates allowed. reply_out: freed with symbolizer_reply_free().
 * A damaged symbol table costs the entries that are damaged, not the file: the others still answer. */
int symbolizer_names(struct symbolizer *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
		     struct symbolizer_reply **reply_out);

/* Takes the answers of the vaddrs first .. + reply->n_answers. reply: the taker's, freed with symbolizer_reply_free(). It must not ask the symbolizer
 * anything: the next vaddrs are being looked up meanwhile. Returns 0, or a negative errno that ends the batch, and is returned. */
typedef int symbolizer_take_fn(void *context, size_t first, struct symbolizer_reply *reply);

/* As symbolizer_names(), but answers are taken piece by piece, in their order. After a failure some may have been taken. */
int symbolizer_names_each(struct symbolizer *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
			  symbolizer_take_fn *take, void *context);

/* Compile an image's CFI into unwind tables (symbolizer/unwind_image.h).
 * fd: as above. debug_fd: its separate debug file, -1: none. image_out: freed with unwind_image_free(); n_tables is 0 for a file without CFI.
 * Returns 0, -EOPNOTSUPP (a machine that is not walked), -ENOEXEC, -EBADMSG, -E2BIG, -ENOMEM, or the errno of a failed read. */
struct unwind_image;
int symbolizer_unwind(struct symbolizer *s, int fd, int debug_fd, struct unwind_image **image_out);

/* What code without CFI tells of its stack frame (symbolizer/code_frame.h).
 * image_id, fd: as above. vaddr: of an instruction, or behind a call (is_return). function_out->start: the vaddr where the symbol begins
 * that covers it. Returns 0, -ENOENT (no symbol covers it), or an error as above. */
struct symbolizer_function {
	uint64_t start;
	bool has_frame; /* the code tells */
	struct code_frame frame;
};
int symbolizer_code_frame(struct symbolizer *s, uint64_t image_id, int fd, uint64_t vaddr, bool is_return,
			  struct symbolizer_function *function_out);

/* Name the JIT code of a process: reads what is new in its files, then looks up.
 * process: the caller's stable number of this process instance. source: readable regular files, borrowed for the call, read with pread; a file that
 * was truncated or replaced is read anew. A damaged file costs what is damaged in it.
 * reply_out: frames have one name, and file and line where a jitdump tells them; count is 0 where no code is known. Freed with
 * symbolizer_reply_free(). more_out: there was more in the files than one call reads (2 MiB): call again for names that are missing.
 * Returns 0 or -ENOMEM. */
int symbolizer_jit_names(struct symbolizer *s, uint64_t process, const struct jit_source *source, const struct jit_query *queries,
			 size_t n_queries, struct symbolizer_reply **reply_out, bool *more_out);

/* A walk by libunwind, step by step, for rules that unwind tables do not express (symbolizer/libunwind_walk.h). The process keeps the walk that it was
 * asked for last, so that a step costs the same however deep it is. */
#define SYMBOLIZER_REGISTERS   16 /* general registers, by their DWARF numbers */
#define SYMBOLIZER_WALK_IMAGES 64
#define SYMBOLIZER_CALLERS_MAX 32
struct symbolizer_walk_image {
	uint64_t start, end; /* pcs */
	uint64_t bias;	     /* vaddr = pc - bias */
	int fd;
};
struct symbolizer_walk {
	uint64_t number;			  /* 0 for a new walk; symbolizer_walk_step() gives it one */
	uint64_t registers[SYMBOLIZER_REGISTERS]; /* of the innermost frame */
	uint64_t stack_address;			  /* of stack[0] */
	const uint8_t *stack;
	uint32_t stack_bytes;	/* DEFERRED_STACK_MAX at most */
	uint32_t n_wanted;	/* callers that libunwind will be asked for, one after the other: 1 to SYMBOLIZER_CALLERS_MAX. A guess */
	uint32_t n_frames;	/* USER_FRAMES_MAX at most; 0 is not legal */
	const uint64_t *frames; /* found so far: the pc, then return addresses, or one more than where a frame was interrupted */
	size_t n_images;
	struct symbolizer_walk_image images[SYMBOLIZER_WALK_IMAGES]; /* that the frames lie in */
};
struct symbolizer_caller {
	uint64_t registers[SYMBOLIZER_REGISTERS]; /* those that the callees did not save are as they were further in */
	uint64_t pc;
	bool exact; /* interrupted there: not a return address */
};

/* Is it the frame of this pc? Where one was interrupted, both it and the one that it called are one more: see above. */
static inline bool symbolizer_is_frame(uint64_t frame, uint64_t pc)
{
	return frame == pc || frame == pc + 1;
}

/* The caller of the last frame, if libunwind comes to the same frames. walk: a new one, or the same with more frames and images behind those it
 * had; all borrowed for the call. With n_wanted of more than 1, callers in the last frame's image are looked up ahead, and kept here until
 * they are asked for.
 * Returns 1, 0 (there is none), -ESTALE (it comes to others), or as
 * libunwind_walk_step(): -ENOENT (no CFI), -EFAULT (a word that was not copied), -EOPNOTSUPP, -EBADMSG, -ETIME (over a budget). */
int symbolizer_walk_step(struct symbolizer *s, struct symbolizer_walk *walk, struct symbolizer_caller *caller_out);

/* Read the kernel's symbols (text of /proc/kallsyms: modules and BPF programs included), replacing earlier ones.
 * fd: borrowed; a duplicate is kept, for the next process if this one dies.
 * Names of functions only (types t, T, w, W).
 * Returns the number of symbols kept, -EPERM when every address is 0 (kptr_restrict or no CAP_SYSLOG), or an errno. */
int symbolizer_kernel_load(struct symbolizer *s, int fd);

/* Name kernel addresses. Frames of modules are "name [module]", as in perf. Answers' ranges are kernel addresses.
 * -ENOENT when no kernel symbols are loaded. */
int symbolizer_kernel_names(struct symbolizer *s, const uint64_t *addrs, size_t n_addrs,
			    struct symbolizer_reply **reply_out);

/* Start of the kernel's text (_stext, else _text), 0 when unknown. */
uint64_t symbolizer_kernel_base(const struct symbolizer *s);

void symbolizer_stats(const struct symbolizer *s, struct symbolizer_stats *stats_out);
void symbolizer_reply_free(struct symbolizer_reply *reply);
void symbolizer_destroy(struct symbolizer *s);

#endif
