/* The messages between the agent and its confined processes, in both directions. Bytes: what (a kind of message, or a whole datagram), how many
 * descriptors or addresses, six of padding; then the payload. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text_clean.h"
#include "bpf/records.h"
#include "symbolizer/protocol.h"
#include "tests/fuzz/fuzz.h"

#define HEAD_BYTES  8
#define PAYLOAD_MAX (1u << 20)
#define FDS_MAX	    8

/* Everything that the worker would read. */
static void check_request(const struct request *r, const uint8_t *payload, size_t n)
{
	uint64_t sum = 0;

	PROMISE(r->build_id_bytes <= BUILD_ID_MAX);
	for (size_t i = 0; i < r->n_addresses; i++)
		sum += r->addresses[i];
	for (size_t i = 0; i < r->n_queries; i++)
		sum += r->queries[i].pc;
	if (r->kind == MESSAGE_WALK) {
		PROMISE(r->walk.n_images <= SYMBOLIZER_WALK_IMAGES && r->walk.n_frames && r->walk.n_frames <= USER_FRAMES_MAX && r->walk.number);
		PROMISE(r->walk.n_wanted && r->walk.n_wanted <= SYMBOLIZER_CALLERS_MAX && r->walk.stack_bytes <= DEFERRED_STACK_MAX);
		PROMISE(!r->goes_on || !r->walk.stack_bytes);
		for (size_t i = 0; i < r->walk.stack_bytes; i++)
			sum += r->walk.stack[i];
		for (size_t i = 0; i < r->walk.n_frames; i++)
			sum += r->walk.frames[i];
		PROMISE(r->goes_on || (r->walk.stack >= payload && r->walk.stack + r->walk.stack_bytes <= payload + n));
	}
	__asm__ volatile("" ::"r"(sum));
}

static void decode_request(unsigned kind, const uint8_t *payload, size_t n, size_t n_fds)
{
	static struct asked_file asked;
	struct request request;

	int err = request_decode((enum message_kind)kind, payload, n, n_fds, &request);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err == 0)
		check_request(&request, payload, n);
	err = asked_file_decode(payload, n, &asked);
	PROMISE(err == 0 || err == -EBADMSG);
	if (err == 0) {
		PROMISE(asked.ask.kind < DEBUG_ASK_KINDS && asked.ask.build_id_bytes <= sizeof(asked.ask.build_id));
		PROMISE(strlen(asked.ask.name) < DEBUG_ASK_TEXT_MAX && strlen(asked.ask.directory) < DEBUG_ASK_TEXT_MAX);
	}
}

static void check_text(const char *text)
{
	PROMISE(text && text_is_clean(text, strlen(text)) && strlen(text) <= PROTOCOL_NAME_MAX);
}

static void check_names(struct symbolizer_reply *reply)
{
	struct symbolizer_reply *again;
	uint8_t *bytes;
	size_t n;

	for (size_t i = 0; i < reply->n_answers; i++)
		PROMISE(reply->answers[i].first + (uint64_t)reply->answers[i].count <= reply->n_frames);
	for (size_t i = 0; i < reply->n_frames; i++) {
		check_text(reply->frames[i].name);
		check_text(reply->frames[i].system_name);
		check_text(reply->frames[i].file);
		PROMISE(reply->frames[i].line >= 0 && reply->frames[i].start_line >= 0);
	}
	PROMISE(names_answer_encode(reply, &bytes, &n) == 0);
	bytes = realloc(bytes, n + reply->n_string_bytes);
	PROMISE(bytes);
	memcpy(bytes + n, reply->strings, reply->n_string_bytes);
	PROMISE(names_answer_decode(bytes, n + reply->n_string_bytes, reply->n_answers, &again) == 0);
	symbolizer_reply_free(again);
	free(bytes);
}

static void check_unwind(struct unwind_image *image)
{
	struct unwind_rule rule;

	for (size_t i = 0; i < image->n_tables; i++) {
		const struct unwind_table *t = &image->tables[i];
		uint64_t step = (t->end - t->start) / 64 + 1;
		for (uint64_t vaddr = t->start; vaddr < t->end && vaddr >= t->start; vaddr += step)
			unwind_image_find(image, vaddr, &rule);
		unwind_image_find(image, t->end - 1, &rule);
	}
	unwind_image_free(image);
}

static void decode_answer(unsigned kind, const uint8_t *payload, size_t n, size_t n_asked)
{
	struct symbolizer_function function;
	struct symbolizer_caller callers[SYMBOLIZER_CALLERS_MAX];
	struct symbolizer_reply *reply;
	struct unwind_image *image;
	struct image_info info;
	uint64_t base;
	int err = 0;

	switch (kind) {
	case MESSAGE_IMAGE:
		err = image_answer_decode(payload, n, &info);
		PROMISE(err < 0 || (info.n_segments <= IMAGE_SEGMENTS_MAX && info.build_id_bytes <= BUILD_ID_MAX));
		break;
	case MESSAGE_NAMES:
	case MESSAGE_JIT:
	case MESSAGE_KERNEL_NAMES:
		err = names_answer_decode(payload, n, n_asked, &reply);
		if (err == 0) {
			check_names(reply);
			symbolizer_reply_free(reply);
		}
		break;
	case MESSAGE_UNWIND:
		err = unwind_answer_decode(payload, n, &image);
		if (err == 0)
			check_unwind(image);
		break;
	case MESSAGE_CODE_FRAME:
		err = code_frame_answer_decode(payload, n, 0x1000, &function);
		PROMISE(err < 0 || function.start <= 0x1000);
		break;
	case MESSAGE_WALK:
		err = walk_answer_decode(payload, n, n_asked, callers);
		PROMISE(err < 0 || n_asked <= SYMBOLIZER_CALLERS_MAX);
		break;
	default:
		err = kernel_answer_decode(payload, n, &base);
		break;
	}
	PROMISE(err == 0 || err == -EBADMSG);
}

/* A datagram as it comes; the descriptors are memfds with the payload's second half, sealed or not. */
static void receive(const uint8_t *datagram, size_t n, unsigned n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * FDS_MAX)] __attribute__((aligned(8))) = {0};
	struct iovec part = {(void *)(uintptr_t)datagram, n};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	int pair[2], fds[FDS_MAX];
	struct channel channel;
	struct message message;

	PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	PROMISE(channel_init(&channel, pair[0], &PROTOCOL_RULES, PAYLOAD_MAX) == 0);
	n_fds %= FDS_MAX + 1;
	for (unsigned i = 0; i < n_fds; i++) {
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		PROMISE(fds[i] >= 0 && write(fds[i], datagram, n) == (ssize_t)n);
		if (n % 3)
			fcntl(fds[i], F_ADD_SEALS, CHANNEL_SEALS);
	}
	if (n_fds) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * n_fds);
	}
	bool is_sent = sendmsg(pair[1], &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
	close(pair[1]);
	int err = channel_receive(&channel, clock_ns(CLOCK_MONOTONIC) + NS_PER_S, &message);
	PROMISE(err == 0 || err == -EBADMSG || (err == -EPIPE && (!is_sent || !n)));
	if (err == 0) {
		PROMISE(message.head.payload_bytes <= PAYLOAD_MAX && message.n_fds <= n_fds);
		decode_request(message.head.kind, message.payload, message.head.payload_bytes, message.n_fds);
		decode_answer(message.head.kind, message.payload, message.head.payload_bytes, 1);
		message_close(&message);
	}
	channel_deinit(&channel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < HEAD_BYTES)
		return 0;
	unsigned what = data[0] % (MESSAGE_KINDS + 1), number = data[1];
	uint8_t *payload = fuzz_copy(data + HEAD_BYTES, n - HEAD_BYTES);
	n -= HEAD_BYTES;
	if (what == 0) {
		receive(payload, n, number);
	} else {
		decode_request(what, payload, n, number % 4);
		decode_answer(what, payload, n, number);
	}
	free(payload);
	return 0;
}
