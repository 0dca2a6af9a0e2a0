#include <string.h>

#include "base/clock.h"
#include "web/api_endpoints.h"


struct extent {
	int64_t from_ns, to_ns;
	uint64_t windows;
};

static int see_window(void *context, const struct store_window *window)
{
	struct extent *e = context;

	if (!e->windows || window->time_ns < e->from_ns)
		e->from_ns = window->time_ns;
	if (!e->windows || window->end_ns > e->to_ns)
		e->to_ns = window->end_ns;
	e->windows++;
	return 0;
}

/* The agent's text is put in as it is: it comes from the agent, not from a stranger; what is no object is left out. */
static void write_state(struct api_query *q)
{
	const char *text = q->context->state;
	size_t n = text ? q->context->state_bytes : 0;

	if (n < 2 || text[0] != '{' || text[n - 1] != '}')
		return;
	json_raw(&q->json, "agent", text, n);
}

int api_status(struct api_query *q)
{
	struct extent extent = {0};
	struct store_filter all = {0};

	int status = api_query_store(q);
	if (status && status != 404)
		return status;
	if (status == 0) {
		int err = store_reader_windows(q->reader, &all, see_window, &extent, &q->why);
		if (err < 0)
			return api_fail_errno(q, err, "reading the store");
	}
	json_object_begin(&q->json, NULL);
	json_string(&q->json, "version", q->context->version);
	json_string(&q->json, "host", q->context->host);
	json_int(&q->json, "now_ms", q->context->now_ns / (int64_t)NS_PER_MS);
	json_object_begin(&q->json, "store");
	json_bool(&q->json, "exists", status == 0);
	json_int(&q->json, "from_ms", extent.from_ns / (int64_t)NS_PER_MS);
	json_int(&q->json, "to_ms", extent.to_ns / (int64_t)NS_PER_MS);
	json_uint(&q->json, "windows", extent.windows);
	if (q->why.text[0])
		json_string(&q->json, "warning", q->why.text);
	json_object_end(&q->json);
	write_state(q);
	json_object_end(&q->json);
	return 0;
}
