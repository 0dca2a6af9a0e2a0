#include "symbolizer/symbolizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "symbolizer/image_strikes.h"
#include "symbolizer/protocol.h"
#include "symbolizer/reply_join.h"
#include "symbolizer/slow_requests.h"
#include "symbolizer/worker_link.h"

#define DEADLINE_NS	 NS_PER_S
#define KERNEL_DEADLINES 5		 /* kallsyms are read that many times slower than a file: the kernel writes the text meanwhile */
#define STARVED_MAX_NS	 (10 * NS_PER_S)  /* that a process may be waited for that waits for a CPU itself */
#define STARVED_STEP_NS	 (50 * NS_PER_MS)
#define CPU_S		 10		 /* that it may use without a request; see worker_time() */
#define COUNTERS	 (sizeof(struct engine_stats) / sizeof(uint64_t))

/* Of the walk that the process keeps. */
struct walk_state {
	uint64_t given;	     /* the last number */
	uint64_t number;     /* 0: it keeps none */
	uint32_t first, n;   /* callers of the frames from first - 1 on that it told */
	struct symbolizer_caller callers[SYMBOLIZER_CALLERS_MAX];
};

struct symbolizer {
	struct worker_link link;
	struct image_strikes *strikes;
	struct slow_requests slow;
	uint64_t deadline_ns;
	enum demangle_style style;
	uint64_t serial;
	uint64_t answered_ns;  /* when the last answer came */
	uint64_t unrenewed_ns; /* that requests took since the process got CPU time */
	struct engine_stats live, dead; /* counters of the process, and of those before it */
	int kernel_fd;	       /* kallsyms, for another process; -1: none */
	bool kernel_loaded;    /* in the process at hand */
	struct walk_state walk;
	uint64_t kernel_base;
	struct symbolizer_stats stats; /* those of ours */
};

int symbolizer_create(struct zygote *zygote, const struct symbolizer_options *options, struct symbolizer **symbolizer_out)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	worker_link_init(&s->link, zygote, ZYGOTE_NAMES, PROTOCOL_UNWIND_MAX);
	s->deadline_ns = options && options->deadline_ns ? options->deadline_ns : DEADLINE_NS;
	s->style = options ? options->demangle : DEMANGLE_FULL;
	s->kernel_fd = -1;
	int err = image_strikes_create(&s->strikes);
	if (err < 0) {
		free(s);
		return err;
	}
	*symbolizer_out = s;
	return 0;
}

/* --- one request ------------------------------------------------------------------------------------------------ */

/* What is asked, and of which file. */
struct call {
	enum message_kind kind;
	uint64_t key; /* of the file that is to blame if it goes wrong; 0: none */
	uint64_t deadline_ns;
	struct iovec parts[5];
	size_t n_parts;
	const int *fds;
	size_t n_fds;
};

static void add_counters(struct engine_stats *to, const struct engine_stats *from)
{
	uint64_t *sums = (uint64_t *)to;
	const uint64_t *counters = (const uint64_t *)from;

	for (size_t i = 0; i < COUNTERS; i++)
		sums[i] += counters[i];
}

static void forget_process(struct symbolizer *s)
{
	s->live.symtab_bytes = s->live.name_tables = s->live.jit.tables = s->live.jit.bytes = s->live.kernel_lines_skipped = 0; /* what it held */
	add_counters(&s->dead, &s->live);
	s->live = (struct engine_stats){0};
	s->kernel_loaded = false;
	s->walk.number = 0;
	s->unrenewed_ns = 0;
}

/* This request cost the process its life. */
static int fail(struct symbolizer *s, const struct call *call, int err)
{
	worker_link_fail(&s->link);
	forget_process(s);
	s->stats.worker_timeouts += err == -ETIME;
	s->stats.replies_rejected += err == -EBADMSG;
	s->stats.images_set_aside += image_strikes_add(s->strikes, call->key, clock_ns(CLOCK_MONOTONIC));
	return err == -ETIME || err == -EBADMSG ? err : -ECHILD;
}

/* Where other programs take the CPU, their share is not the file's fault. */
static int receive(struct symbolizer *s, uint64_t limit_ns, struct message *answer)
{
	uint64_t used_ns = worker_link_used_ns(&s->link);
	int err = channel_receive(&s->link.channel, clock_ns(CLOCK_MONOTONIC) + limit_ns, answer);

	for (uint64_t granted_ns = 0; err == -ETIME && granted_ns < STARVED_MAX_NS; granted_ns += STARVED_STEP_NS) {
		if (worker_link_used_ns(&s->link) - used_ns >= limit_ns)
			break;
		uint64_t before_ns = worker_link_starved_ns(&s->link);
		err = channel_receive(&s->link.channel, clock_ns(CLOCK_MONOTONIC) + STARVED_STEP_NS, answer);
		bool starved = worker_link_is_runnable(&s->link) || worker_link_starved_ns(&s->link) - before_ns >= STARVED_STEP_NS / 4;
		if (err == -ETIME && !starved)
			break;
	}
	return err;
}

/* A process may run for CPU_S seconds: one that was taken over, and works while nobody asks anything, ends by that. Requests are time
 * that it may use, so it gets what they took again. */
static void worker_time(struct symbolizer *s, uint64_t ns)
{
	s->unrenewed_ns += ns;
	if (s->unrenewed_ns < CPU_S / 4 * NS_PER_S)
		return;
	s->unrenewed_ns = 0;
	zygote_renew(s->link.zygote, s->link.pid, CPU_S);
}

static int check_answer(struct symbolizer *s, const struct call *call, uint64_t serial, const struct message *answer)
{
	if (answer->head.serial != serial || answer->head.kind != call->kind || answer->n_fds ||
	    answer->head.payload_bytes < sizeof(s->live) || answer->head.result < -4095)
		return -EBADMSG;
	memcpy(&s->live, answer->payload, sizeof(s->live));
	return 0;
}

static int open_process(struct symbolizer *s)
{
	bool is_new;

	int err = worker_link_open(&s->link, &is_new);
	if (err == 0 && is_new)
		forget_process(s);
	return err;
}

/* A request that the process has, but did not answer yet. */
struct flight {
	uint64_t serial, begin_ns;
};

/* ahead: another request is being worked on; then -EAGAIN: there is no room for this one yet, and it is as if it had not been tried. */
static int send_call(struct symbolizer *s, struct call *call, bool ahead, struct flight *flight_out)
{
	struct message_head head = {.serial = s->serial + 1, .kind = (uint16_t)call->kind, .detail = s->style};
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);

	if (image_strikes_refuses(s->strikes, call->key, begin_ns)) {
		s->stats.requests_refused++;
		return -EKEYREJECTED;
	}
	/* Headers are short, and what is not known of an image keeps its samples from having a place. */
	if (call->kind != MESSAGE_IMAGE && call->kind != MESSAGE_DEBUG_FILE && slow_requests_refuses(&s->slow, call->key)) {
		s->stats.requests_late++;
		return -EBUSY;
	}
	int err = open_process(s);
	if (err < 0)
		return err;
	err = channel_send(&s->link.channel, &head, call->parts, call->n_parts, call->fds, call->n_fds, false);
	if (err < 0 && ahead)
		return -EAGAIN; /* what else it may be is found by who waits for the answer before */
	s->serial++;
	if (err == -EPIPE || err == -EAGAIN)
		return fail(s, call, err);
	if (err < 0)
		return err; /* ours: a descriptor that is none, no memory */
	*flight_out = (struct flight){s->serial, begin_ns};
	return 0;
}

/* answer: message_close() it unless this fails. Returns its result. */
static int receive_answer(struct symbolizer *s, const struct call *call, const struct flight *flight, struct message *answer)
{
	int err = receive(s, call->deadline_ns ? call->deadline_ns : s->deadline_ns, answer);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	/* The one before was worked on first. */
	uint64_t took_ns = now_ns - (flight->begin_ns > s->answered_ns ? flight->begin_ns : s->answered_ns);
	slow_requests_add(&s->slow, call->key, took_ns);
	if (err < 0)
		return fail(s, call, err);
	worker_time(s, took_ns);
	s->answered_ns = now_ns;
	err = check_answer(s, call, flight->serial, answer);
	if (err < 0) {
		message_close(answer);
		return fail(s, call, err);
	}
	err = answer->head.result;
	if (err < 0)
		message_close(answer);
	/* It has less memory than we: too large for it is too large. */
	return err == -ENOMEM ? -E2BIG : err;
}

/* Ask, and wait. answer: message_close() it unless this fails. Returns its result. */
static int ask(struct symbolizer *s, struct call *call, struct message *answer)
{
	struct flight flight;

	int err = send_call(s, call, false, &flight);
	return err < 0 ? err : receive_answer(s, call, &flight, answer);
}

/* What follows the counters. */
static const void *body_of(const struct message *answer, size_t *n_out)
{
	*n_out = answer->head.payload_bytes - sizeof(struct engine_stats);
	return (const uint8_t *)answer->payload + sizeof(struct engine_stats);
}

/* err: of a decoder. */
static int finish(struct symbolizer *s, const struct call *call, struct message *answer, int err)
{
	message_close(answer);
	return err == -EBADMSG ? fail(s, call, err) : err;
}

/* --- images ----------------------------------------------------------------------------------------------------- */

/* The headers must speak of this very file. */
static int check_segments(int fd, const struct image_info *info)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	for (size_t i = 0; i < info->n_segments; i++)
		if (info->segments[i].file_offset + info->segments[i].file_bytes > (uint64_t)st.st_size)
			return -EBADMSG;
	return 0;
}

int symbolizer_image(struct symbolizer *s, int fd, struct image_info *info_out)
{
	struct call call = {.kind = MESSAGE_IMAGE, .key = image_strikes_key(s->strikes, fd), .fds = &fd, .n_fds = 1};
	struct image_info info;
	struct message answer;
	size_t n;

	int err = ask(s, &call, &answer);
	if (err < 0)
		return err;
	const void *body = body_of(&answer, &n);
	err = finish(s, &call, &answer, image_answer_decode(body, n, &info));
	if (err == 0)
		err = check_segments(fd, &info);
	if (err == 0)
		*info_out = info;
	return err;
}

bool symbolizer_is_debug_file(struct symbolizer *s, int fd, const uint8_t *build_id, uint8_t n_bytes)
{
	struct debug_file_request request = {.build_id_bytes = n_bytes};
	struct call call = {.kind = MESSAGE_DEBUG_FILE, .key = image_strikes_key(s->strikes, fd), .fds = &fd, .n_fds = 1,
			    .parts = {{&request, sizeof(request)}}, .n_parts = 1};
	struct message answer;

	if (!n_bytes || n_bytes > BUILD_ID_MAX)
		return false;
	memcpy(request.build_id, build_id, n_bytes);
	int result = ask(s, &call, &answer);
	if (result >= 0)
		message_close(&answer);
	return result == 1;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

/* What names are asked for: addresses, or pcs with their times. */
struct asked {
	const uint8_t *items;
	size_t n, item_bytes;
	bool more; /* a result was 1 */
};

/* Some of them, being looked up. */
struct piece {
	struct flight flight;
	size_t at, n;
	bool is_sent;
};

/* call's last part is for the items. */
static int send_piece(struct symbolizer *s, struct call *call, const struct asked *asked, size_t at, size_t step, bool ahead, struct piece *piece_out)
{
	struct piece piece = {.at = at, .n = asked->n - at < step ? asked->n - at : step, .is_sent = true};

	call->parts[call->n_parts - 1] = (struct iovec){(void *)(uintptr_t)(asked->items + at * asked->item_bytes), piece.n * asked->item_bytes};
	int err = send_call(s, call, ahead, &piece.flight);
	if (err == 0)
		*piece_out = piece;
	return err;
}

/* The strings of a reply stay where they are: it owns them. */
static int decode_names(struct message *answer, size_t n_asked, struct symbolizer_reply **reply_out)
{
	const size_t n = answer->head.payload_bytes;
	struct symbolizer_reply *reply;
	AUTO_FREE uint8_t *copy = NULL;

	if (!answer->mapped) { /* the next message would overwrite it */
		copy = malloc(n);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, answer->payload, n);
		answer->payload = copy;
	}
	size_t bytes;
	const void *body = body_of(answer, &bytes);
	int err = names_answer_decode(body, bytes, n_asked, &reply);
	if (err < 0)
		return err;
	if (answer->mapped) {
		reply->block = answer->mapped;
		reply->mapped_bytes = n;
		answer->mapped = NULL;
	} else {
		reply->block = take_ptr(copy);
	}
	*reply_out = reply;
	return 0;
}

static int receive_piece(struct symbolizer *s, const struct call *call, struct asked *asked, const struct piece *piece,
			 struct symbolizer_reply **reply_out)
{
	struct message answer;

	int err = receive_answer(s, call, &piece->flight, &answer);
	if (err < 0)
		return err;
	asked->more |= err > 0;
	return finish(s, call, &answer, decode_names(&answer, piece->n, reply_out));
}

/* Nobody wants it any more, but its answer will come, if there still is a process. */
static void drop_piece(struct symbolizer *s, const struct call *call, struct piece *piece)
{
	struct message answer;

	if (piece->is_sent && s->link.pid && receive_answer(s, call, &piece->flight, &answer) >= 0)
		message_close(&answer);
	piece->is_sent = false;
}

/* The process has the next piece while we take the one before: each has a CPU of its own, if there are two. */
static int ask_each(struct symbolizer *s, struct call *call, struct asked *asked, symbolizer_take_fn *take, void *context)
{
	size_t step = PROTOCOL_ADDRESSES_MAX, at = 0;
	struct piece now, next = {.is_sent = false};
	int err;

	do {
		struct symbolizer_reply *reply = NULL;
		now = next;
		next.is_sent = false;
		err = now.is_sent ? 0 : send_piece(s, call, asked, at, step, false, &now);
		if (err < 0)
			break;
		if (at + now.n < asked->n)
			send_piece(s, call, asked, at + now.n, step, true, &next);
		err = receive_piece(s, call, asked, &now, &reply);
		if (err == -E2BIG && now.n > 1) { /* too much text for one answer */
			drop_piece(s, call, &next);
			step = now.n / 2;
			err = 0;
			continue;
		}
		if (err == 0)
			err = take(context, at, reply);
		at += now.n;
	} while (err == 0 && at < asked->n);
	drop_piece(s, call, &next);
	return err;
}

/* Replies in the order of their pieces. */
struct replies {
	struct symbolizer_reply *first, *last; /* by parts */
};

static int take_part(void *context, size_t first, struct symbolizer_reply *reply)
{
	struct replies *all = context;

	(void)first;
	if (all->first)
		all->last->parts = reply;
	else
		all->first = reply;
	all->last = reply;
	return 0;
}

static int ask_all_names(struct symbolizer *s, struct call *call, struct asked *asked, struct symbolizer_reply **reply_out)
{
	struct replies all = {.first = NULL};

	int err = ask_each(s, call, asked, take_part, &all);
	if (err == 0)
		err = symbolizer_reply_join(all.first);
	if (err < 0) {
		symbolizer_reply_free(all.first);
		return err;
	}
	*reply_out = all.first;
	return 0;
}

/* How an image is asked for its names. */
struct names_call {
	struct names_request request;
	struct call call;
	int fds[2];
};

static void names_call_init(struct names_call *c, struct symbolizer *s, uint64_t image_id, int fd, int table_fd)
{
	c->request = (struct names_request){.image_id = image_id, .has_fd = fd >= 0, .has_table = table_fd >= 0};
	c->call = (struct call){.kind = MESSAGE_NAMES, .key = image_strikes_key(s->strikes, fd), .fds = c->fds,
				.parts = {{&c->request, sizeof(c->request)}}, .n_parts = 2};
	if (fd >= 0)
		c->fds[c->call.n_fds++] = fd;
	if (table_fd >= 0)
		c->fds[c->call.n_fds++] = table_fd;
}

int symbolizer_names(struct symbolizer *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
		     struct symbolizer_reply **reply_out)
{
	struct asked asked = {(const uint8_t *)vaddrs, n_vaddrs, sizeof(*vaddrs), false};
	struct names_call c;

	names_call_init(&c, s, image_id, fd, table_fd);
	return ask_all_names(s, &c.call, &asked, reply_out);
}

int symbolizer_names_each(struct symbolizer *s, uint64_t image_id, int fd, int table_fd, const uint64_t *vaddrs, size_t n_vaddrs,
			  symbolizer_take_fn *take, void *context)
{
	struct asked asked = {(const uint8_t *)vaddrs, n_vaddrs, sizeof(*vaddrs), false};
	struct names_call c;

	names_call_init(&c, s, image_id, fd, table_fd);
	return ask_each(s, &c.call, &asked, take, context);
}

int symbolizer_jit_names(struct symbolizer *s, uint64_t process, const struct jit_source *source, const struct jit_query *queries,
			 size_t n_queries, struct symbolizer_reply **reply_out, bool *more_out)
{
	struct jit_request request = {.process = process, .has_map = source->map_fd >= 0, .has_dump = source->dump_fd >= 0};
	struct asked asked = {(const uint8_t *)queries, n_queries, sizeof(*queries), false};
	int fds[2];
	/* Its files grow: they are known by whose they are. */
	struct call call = {.kind = MESSAGE_JIT, .key = image_strikes_number(s->strikes, process), .fds = fds,
			    .parts = {{&request, sizeof(request)}}, .n_parts = 2};

	if (source->map_fd >= 0)
		fds[call.n_fds++] = source->map_fd;
	if (source->dump_fd >= 0)
		fds[call.n_fds++] = source->dump_fd;
	int err = ask_all_names(s, &call, &asked, reply_out);
	if (err == 0)
		*more_out = asked.more;
	return err;
}

/* --- stacks ----------------------------------------------------------------------------------------------------- */

/* The tables' bytes outlive the message: by its mapping, or by a copy. */
static int keep_tables(struct message *answer, struct unwind_image *image)
{
	if (answer->mapped) {
		image->block = answer->mapped;
		image->mapped_bytes = answer->head.payload_bytes;
		answer->mapped = NULL;
		return 0;
	}
	size_t n = answer->head.payload_bytes;
	uint8_t *block = malloc(n);
	if (!block)
		return -ENOMEM;
	memcpy(block, answer->payload, n);
	for (size_t i = 0; i < image->n_tables; i++)
		image->tables[i].bytes = block + (image->tables[i].bytes - (const uint8_t *)answer->payload);
	image->block = block;
	return 0;
}

int symbolizer_unwind(struct symbolizer *s, int fd, int debug_fd, struct unwind_image **image_out)
{
	const int fds[2] = {fd, debug_fd};
	struct call call = {.kind = MESSAGE_UNWIND, .key = image_strikes_key(s->strikes, fd), .fds = fds, .n_fds = 1u + (debug_fd >= 0)};
	struct unwind_image *image = NULL;
	struct message answer;
	size_t n;

	int err = ask(s, &call, &answer);
	if (err < 0)
		return err;
	const void *body = body_of(&answer, &n);
	err = unwind_answer_decode(body, n, &image);
	if (err == 0)
		err = keep_tables(&answer, image);
	err = finish(s, &call, &answer, err);
	if (err < 0) {
		if (image)
			image->n_tables = 0; /* not there any more */
		unwind_image_free(image);
		return err;
	}
	*image_out = image;
	return 0;
}

int symbolizer_code_frame(struct symbolizer *s, uint64_t image_id, int fd, uint64_t vaddr, bool is_return,
			  struct symbolizer_function *function_out)
{
	struct code_frame_request request = {.image_id = image_id, .vaddr = vaddr, .is_return = is_return, .has_fd = fd >= 0};
	struct call call = {.kind = MESSAGE_CODE_FRAME, .key = image_strikes_key(s->strikes, fd), .fds = &fd, .n_fds = fd >= 0,
			    .parts = {{&request, sizeof(request)}}, .n_parts = 1};
	struct message answer;
	size_t n;

	if (is_return && !vaddr)
		return -ENOENT;
	int err = ask(s, &call, &answer);
	if (err < 0)
		return err;
	const void *body = body_of(&answer, &n);
	return finish(s, &call, &answer, code_frame_answer_decode(body, n, vaddr, function_out));
}

/* The image that the last frame lies in is the one whose CFI is read. */
static int blamed(const struct symbolizer_walk *walk)
{
	uint64_t pc = walk->frames[walk->n_frames - 1];

	for (size_t i = 0; i < walk->n_images; i++)
		if (pc > walk->images[i].start && pc <= walk->images[i].end)
			return walk->images[i].fd;
	return -1;
}

/* The images of the frames from first on. Returns their number. */
static size_t choose_images(const struct symbolizer_walk *walk, uint32_t first, struct walk_request_image *images, int *fds)
{
	bool chosen[SYMBOLIZER_WALK_IMAGES] = {false};
	size_t n = 0;

	for (uint32_t frame = first; frame < walk->n_frames; frame++) {
		uint64_t pc = walk->frames[frame] - (frame > 0);
		for (size_t i = 0; i < walk->n_images; i++) {
			const struct symbolizer_walk_image *image = &walk->images[i];
			if (pc < image->start || pc >= image->end)
				continue;
			if (!chosen[i]) {
				images[n] = (struct walk_request_image){image->start, image->end, image->bias};
				fds[n++] = image->fd;
			}
			chosen[i] = true;
			break;
		}
	}
	return n;
}

/* callers_out: room for walk->n_wanted. Returns their number, 0, KEPT_WALK_ANEW (only where it goes on), or a negative errno. */
static int ask_walk(struct symbolizer *s, const struct symbolizer_walk *walk, bool goes_on, struct symbolizer_caller *callers_out)
{
	struct walk_request request = {.number = walk->number, .n_frames = walk->n_frames, .n_wanted = walk->n_wanted, .goes_on = goes_on};
	struct walk_input input = {.stack_address = walk->stack_address, .stack_bytes = walk->stack_bytes};
	struct walk_request_image images[SYMBOLIZER_WALK_IMAGES];
	int fds[SYMBOLIZER_WALK_IMAGES];
	struct message answer;
	size_t n;

	size_t n_images = choose_images(walk, goes_on ? s->walk.first + s->walk.n - 1 : 0, images, fds);
	request.n_images = (uint32_t)n_images;
	memcpy(input.registers, walk->registers, sizeof(input.registers));
	struct call call = {.kind = MESSAGE_WALK, .key = image_strikes_key(s->strikes, blamed(walk)), .fds = fds, .n_fds = n_images,
			    .parts = {{&request, sizeof(request)},
				      {images, n_images * sizeof(images[0])},
				      {(void *)(uintptr_t)walk->frames, walk->n_frames * sizeof(walk->frames[0])},
				      {&input, sizeof(input)},
				      {(void *)(uintptr_t)walk->stack, walk->stack_bytes}},
			    .n_parts = goes_on ? 3 : 5};
	int result = ask(s, &call, &answer);
	if (result < 0)
		return result;
	const void *body = body_of(&answer, &n);
	bool is_anew = goes_on && result == KEPT_WALK_ANEW;
	if (result > (int)walk->n_wanted && !is_anew)
		return finish(s, &call, &answer, -EBADMSG);
	int err = finish(s, &call, &answer, walk_answer_decode(body, n, is_anew ? 0 : (size_t)result, callers_out));
	return err < 0 ? err : result;
}

/* What was looked up ahead, as long as the frames are those. */
static bool was_told(const struct symbolizer *s, const struct symbolizer_walk *walk, struct symbolizer_caller *caller_out)
{
	const struct walk_state *told = &s->walk;

	if (walk->number != told->number || walk->n_frames < told->first || walk->n_frames - told->first >= told->n)
		return false;
	uint32_t at = walk->n_frames - told->first;
	for (uint32_t i = 0; i < at; i++)
		if (!symbolizer_is_frame(walk->frames[told->first + i], told->callers[i].pc))
			return false;
	*caller_out = told->callers[at];
	return true;
}

int symbolizer_walk_step(struct symbolizer *s, struct symbolizer_walk *walk, struct symbolizer_caller *caller_out)
{
	struct symbolizer_caller callers[SYMBOLIZER_CALLERS_MAX];

	if (!walk->number)
		walk->number = ++s->walk.given;
	if (was_told(s, walk, caller_out))
		return 1;
	int result = KEPT_WALK_ANEW;
	if (walk->number == s->walk.number)
		result = ask_walk(s, walk, true, callers);
	if (result == KEPT_WALK_ANEW)
		result = ask_walk(s, walk, false, callers);
	s->walk.number = 0;
	if (result <= 0)
		return result;
	s->walk.number = walk->number;
	s->walk.first = walk->n_frames;
	s->walk.n = (uint32_t)result;
	memcpy(s->walk.callers, callers, s->walk.n * sizeof(callers[0]));
	*caller_out = callers[0];
	return 1;
}

/* --- the kernel ------------------------------------------------------------------------------------------------- */

static int load_kernel(struct symbolizer *s)
{
	struct call call = {.kind = MESSAGE_KERNEL_LOAD, .fds = &s->kernel_fd, .n_fds = 1, .deadline_ns = KERNEL_DEADLINES * s->deadline_ns};
	struct message answer;
	size_t n;

	int result = ask(s, &call, &answer);
	if (result < 0)
		return result;
	const void *body = body_of(&answer, &n);
	int err = finish(s, &call, &answer, kernel_answer_decode(body, n, &s->kernel_base));
	if (err < 0)
		return err;
	s->kernel_loaded = true;
	return result;
}

int symbolizer_kernel_load(struct symbolizer *s, int fd)
{
	AUTO_CLOSE int before = s->kernel_fd;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0) {
		before = -1;
		return -errno;
	}
	s->kernel_fd = copy;
	int result = load_kernel(s);
	if (result < 0 && before >= 0) { /* what was loaded before still is */
		s->kernel_fd = take_fd(&before);
		close(copy);
	} else if (result < 0) {
		close(copy);
		s->kernel_fd = -1;
	}
	return result;
}

int symbolizer_kernel_names(struct symbolizer *s, const uint64_t *addrs, size_t n_addrs, struct symbolizer_reply **reply_out)
{
	struct call call = {.kind = MESSAGE_KERNEL_NAMES, .n_parts = 1};

	if (s->kernel_fd < 0)
		return -ENOENT;
	/* A new process does not know them yet. */
	int err = open_process(s);
	if (err == 0 && !s->kernel_loaded)
		err = load_kernel(s);
	struct asked asked = {(const uint8_t *)addrs, n_addrs, sizeof(*addrs), false};
	return err < 0 ? err : ask_all_names(s, &call, &asked, reply_out);
}

uint64_t symbolizer_kernel_base(const struct symbolizer *s)
{
	return s->kernel_fd >= 0 ? s->kernel_base : 0;
}

void symbolizer_begin_window(struct symbolizer *s, uint64_t allowance_ns)
{
	slow_requests_begin(&s->slow, allowance_ns);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

void symbolizer_stats(const struct symbolizer *s, struct symbolizer_stats *stats_out)
{
	struct engine_stats e = s->dead;

	add_counters(&e, &s->live);
	*stats_out = s->stats;
	stats_out->images_read = e.images_read;
	stats_out->images_rejected = e.images_rejected;
	stats_out->symtabs_read = e.symtabs_read;
	stats_out->symtabs_evicted = e.symtabs_evicted;
	stats_out->symtab_bytes = e.symtab_bytes;
	stats_out->addresses_named = e.addresses_named;
	stats_out->addresses_unnamed = e.addresses_unnamed;
	stats_out->symbols_damaged = e.symbols_damaged;
	stats_out->names_refused = e.names_refused;
	stats_out->unwind_images = e.unwind_images;
	stats_out->unwind_fdes = e.unwind_fdes;
	stats_out->unwind_bad_fdes = e.unwind_bad_fdes;
	stats_out->unwind_ns = e.unwind_ns;
	stats_out->kernel_lines_skipped = e.kernel_lines_skipped;
	stats_out->name_tables = e.name_tables;
	stats_out->tables_damaged = e.tables_damaged;
	stats_out->jit = e.jit;
	stats_out->worker_pid = s->link.pid;
	stats_out->worker_cpu_ns = worker_link_cpu_ns(&s->link);
	stats_out->worker_restarts = s->link.restarts;
	stats_out->worker_pauses = s->link.pauses;
	stats_out->descriptors_extra = s->link.descriptors_extra + s->link.channel.descriptors_extra;
}

void symbolizer_destroy(struct symbolizer *s)
{
	if (!s)
		return;
	worker_link_deinit(&s->link);
	image_strikes_destroy(s->strikes);
	if (s->kernel_fd >= 0)
		close(s->kernel_fd);
	free(s);
}
