/* Answers of the JSON API on a store of three days, read by json-c; sums are compared with the store's. */
#include "web/api.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "pprof/profile_builder.h"
#include "store/store_reader.h"
#include "tests/unit/store_fixture.h"

#define WINDOWS 72
#define HOST	"host<1>"

struct fixture {
	struct store_fixture *store;
	struct web_context context;
	struct web_answer answer;
	char *body;
	size_t body_bytes;
	struct json_object *json;
};

static int make_store(void **state)
{
	*state = store_fixture_empty();
	store_fixture_fill(*state, WINDOWS, 3600);
	return 0;
}

static int remove_store(void **state)
{
	store_fixture_destroy(*state);
	return 0;
}

static void begin(struct fixture *f, void **state)
{
	*f = (struct fixture){.store = *state};
	f->context = (struct web_context){
		.store = f->store->folder,
		.host = HOST,
		.version = "1.2.3",
		.now_ns = f->store->to_ns,
		.state = "{\"state\":\"recording\"}",
		.state_bytes = strlen("{\"state\":\"recording\"}"),
	};
}

static void forget(struct fixture *f)
{
	json_object_put(f->json);
	free(f->body);
	f->json = NULL;
	f->body = NULL;
}

static int hex(char digit)
{
	return digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10;
}

static void decode(char *text)
{
	char *out = text;

	for (; *text; text++) {
		bool escaped = *text == '%';
		*out++ = (char)(escaped ? hex(text[1]) << 4 | hex(text[2]) : *text);
		text += escaped ? 2 : 0;
	}
	*out = '\0';
}

static void encode(const char *plain, char *out)
{
	for (; *plain; plain++)
		out += sprintf(out, strchr("&=%?+", *plain) ? "%%%02x" : "%c", (unsigned char)*plain);
}

/* The question is as in a URL, %XX decoded. */
static int ask(struct fixture *f, const char *question)
{
	struct web_parameter parameters[32];
	struct web_request request = {.method = "GET", .parameters = parameters, .content_type = "", .accept = ""};
	char text[2048], *rest = text;

	forget(f);
	snprintf(text, sizeof(text), "%s", question);
	request.path = strsep(&rest, "?");
	while (rest) {
		char *part = strsep(&rest, "&"), *equals = strchr(part, '=');
		if (equals)
			*equals = '\0';
		decode(equals ? equals + 1 : part);
		parameters[request.n_parameters++] = (struct web_parameter){part, equals ? equals + 1 : ""};
	}
	f->answer = (struct web_answer){.body = open_memstream(&f->body, &f->body_bytes)};
	assert_true(api_has(request.path));
	assert_int_equal(api_answer(&f->context, &request, &f->answer), 0);
	fclose(f->answer.body);
	if (strcmp(f->answer.content_type, "application/json") == 0) {
		struct json_tokener *tokener = json_tokener_new();
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		f->json = json_tokener_parse_ex(tokener, f->body, (int)f->body_bytes + 1);
		if (!f->json)
			print_message("%s: %s: %s\n", question, json_tokener_error_desc(json_tokener_get_error(tokener)), f->body);
		json_tokener_free(tokener);
		assert_non_null(f->json);
	}
	return f->answer.status;
}

/* from and to of all windows in front of what else is asked. */
static int ask_all(struct fixture *f, const char *path, const char *rest)
{
	char question[1200];

	snprintf(question, sizeof(question), "%s?from=%lld&to=%lld%s", path, (long long)(f->store->from_ns / 1000000), (long long)(f->store->to_ns / 1000000), rest);
	return ask(f, question);
}

static struct json_object *member(const struct json_object *object, const char *key)
{
	return json_object_object_get(object, key);
}

static struct json_object *item(const struct json_object *array, size_t i)
{
	return json_object_array_get_idx(array, i);
}

static size_t length(const struct json_object *array)
{
	return json_object_array_length(array);
}

#define FOREACH(array, i, value) for ((i) = 0; (i) < length(array) && ((value) = item(array, i)); (i)++)

static int64_t number(struct json_object *object, const char *key)
{
	struct json_object *value = member(object, key);

	if (!json_object_is_type(value, json_type_int))
		print_message("'%s' is no number\n", key);
	assert_true(json_object_is_type(value, json_type_int));
	return json_object_get_int64(value);
}

static const char *text(struct json_object *object, const char *key)
{
	assert_true(json_object_is_type(member(object, key), json_type_string));
	return json_object_get_string(member(object, key));
}

static int64_t sum_column(struct json_object *array)
{
	int64_t sum = 0;
	size_t i;
	struct json_object *value;

	assert_true(json_object_is_type(array, json_type_array));
	FOREACH(array, i, value)
		sum += json_object_get_int64(value);
	return sum;
}

static int64_t total_ns(const struct fixture *f)
{
	return f->store->samples * store_fixture_host.period;
}

static void assert_error(struct fixture *f, const char *question, int status, const char *part)
{
	if (ask(f, question) != status || !strstr(text(f->json, "error"), part))
		print_message("%s: %d %s\n", question, f->answer.status, f->body);
	assert_int_equal(f->answer.status, status);
	assert_non_null(strstr(text(f->json, "error"), part));
	assert_false(f->answer.is_final);
}

/* ---- each answer ---- */

static void tells_the_status(void **state)
{
	struct fixture f;

	begin(&f, state);
	assert_int_equal(ask(&f, "/api/v1/status"), 200);
	assert_string_equal(text(f.json, "version"), "1.2.3");
	assert_string_equal(text(f.json, "host"), HOST);
	struct json_object *store = member(f.json, "store");
	assert_int_equal(number(store, "from_ms"), f.store->from_ns / 1000000);
	assert_int_equal(number(store, "to_ms"), f.store->to_ns / 1000000);
	assert_int_equal(number(store, "windows"), WINDOWS);
	assert_string_equal(text(member(f.json, "agent"), "state"), "recording");
	assert_false(f.answer.is_final);
	f.context.state = "nonsense";
	assert_int_equal(ask(&f, "/api/v1/status"), 200);
	assert_null(member(f.json, "agent"));
	forget(&f);
}

static void lists_labels(void **state)
{
	struct fixture f;
	size_t i, k;
	struct json_object *label, *value;

	begin(&f, state);
	for (int selected = 0; selected < 2; selected++) { /* by labels alone, and by samples */
		assert_int_equal(ask_all(&f, "/api/v1/labels", selected ? "&show=." : ""), 200);
		struct json_object *labels = member(f.json, "labels");
		assert_true(length(labels) >= 3);
		assert_string_equal(text(item(labels, 0), "key"), "process");
		FOREACH(labels, i, label) {
			int64_t total = 0;
			FOREACH(member(label, "values"), k, value)
				total += number(value, "total");
			if (number(label, "n") <= 100)
				assert_int_equal(total, total_ns(&f));
			assert_true(length(member(label, "values")) <= 100);
		}
		label = item(labels, length(labels) - 1);
		assert_string_equal(text(label, "key"), "host");
		assert_string_equal(text(item(member(label, "values"), 0), "value"), HOST);
	}
	assert_int_equal(ask_all(&f, "/api/v1/labels", "&match=process:app1&type=samples"), 200);
	label = item(member(f.json, "labels"), 0);
	assert_int_equal(number(label, "n"), 1);
	assert_string_equal(text(item(member(label, "values"), 0), "value"), "app1");
	forget(&f);
}

static void draws_time_lines(void **state)
{
	struct fixture f;
	size_t i;
	struct json_object *series;
	int64_t total = 0;

	begin(&f, state);
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&buckets=7&top=3"), 200);
	assert_true(f.answer.is_final == false); /* its end is now */
	assert_int_equal(length(member(f.json, "series")), 3);
	FOREACH(member(f.json, "series"), i, series) {
		assert_int_equal(length(member(series, "values")), 7);
		assert_int_equal(sum_column(member(series, "values")), number(series, "total"));
		total += number(series, "total");
	}
	series = member(f.json, "other");
	assert_int_equal(sum_column(member(series, "values")), number(series, "total"));
	assert_int_equal(total + number(series, "total"), total_ns(&f));
	assert_int_equal(number(f.json, "total"), total_ns(&f));
	assert_string_equal(text(f.json, "unit"), "nanoseconds");
	f.context.now_ns += 3600 * (int64_t)NS_PER_S;
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&by=pid&top=0&type=samples"), 200);
	assert_true(f.answer.is_final);
	assert_int_equal(number(f.json, "total"), f.store->samples);
	assert_int_equal(length(member(f.json, "series")), 0);
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&by=pid&top=2&buckets=5000"), 200); /* too many pids for all: the largest first */
	assert_int_equal(length(member(f.json, "series")), 2);
	assert_int_equal(number(f.json, "total"), total_ns(&f));
	int64_t first = number(item(member(f.json, "series"), 0), "total");
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&by=pid&top=2&buckets=50"), 200);
	assert_int_equal(number(item(member(f.json, "series"), 0), "total"), first);
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&side=kernel&focus=."), 200);
	total = number(f.json, "total");
	assert_true(total > 0 && total < total_ns(&f));
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&side=kernel&focus=."), 200);
	assert_int_equal(number(f.json, "total"), total);
	assert_int_equal(ask_all(&f, "/api/v1/timeline", "&by=host&buckets=1"), 200);
	assert_string_equal(text(item(member(f.json, "series"), 0), "label"), HOST);
	forget(&f);
}

/* Selfs add up to the root, when nothing was left out; depths are those of a pre-order; indices are within their tables. */
static void assert_tree(struct json_object *tree, const char *total, const char *self)
{
	struct json_object *nodes = member(tree, "nodes"), *depths = member(nodes, "depth");
	size_t n = length(depths);
	int64_t before = -1;

	assert_int_equal(length(member(nodes, self)), n);
	if (number(tree, "left_out") == 0)
		assert_int_equal(sum_column(member(nodes, self)), json_object_get_int64(item(member(nodes, total), 0)));
	for (size_t i = 0; i < n; i++) {
		int64_t depth = json_object_get_int64(item(depths, i));
		assert_true(depth <= before + 1 && (depth > 0) == (i > 0));
		before = depth;
		assert_true(json_object_get_int64(item(member(nodes, "name"), i)) < (int64_t)length(member(tree, "names")));
		assert_true(json_object_get_int64(item(member(nodes, "module"), i)) < (int64_t)length(member(tree, "modules")));
		assert_true(json_object_get_int64(item(member(nodes, "file"), i)) < (int64_t)length(member(tree, "files")));
		assert_true(json_object_get_int64(item(member(nodes, "kernel"), i)) <= 1);
	}
}

static void draws_flames(void **state)
{
	struct fixture f;

	begin(&f, state);
	assert_int_equal(ask_all(&f, "/api/v1/flame", ""), 200);
	assert_int_equal(number(f.json, "total"), total_ns(&f));
	assert_int_equal(number(f.json, "windows"), WINDOWS);
	assert_int_equal(number(f.json, "left_out"), 0);
	assert_tree(f.json, "total", "self");
	assert_string_equal(json_object_get_string(item(member(f.json, "names"), 0)), "all");
	size_t n = length(member(member(f.json, "nodes"), "name"));
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&max_nodes=100&first=none&type=samples"), 200);
	assert_int_equal(number(f.json, "total"), f.store->samples);
	assert_tree(f.json, "total", "self");
	assert_true(length(member(member(f.json, "nodes"), "name")) <= 100);
	assert_true(number(f.json, "left_out") > 0 && (size_t)number(f.json, "left_out") < n);
	int64_t user, kernel;
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&side=user"), 200);
	user = number(f.json, "total");
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&side=kernel"), 200);
	kernel = number(f.json, "total");
	assert_true(kernel > 0 && kernel < user && user <= total_ns(&f));
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&match=process:app1&match=host:" HOST), 200);
	assert_true(number(f.json, "total") > 0);
	assert_tree(f.json, "total", "self");
	assert_int_equal(ask_all(&f, "/api/v1/flame", "&match=host:other"), 200);
	assert_int_equal(number(f.json, "total"), 0);
	forget(&f);
}

static void compares(void **state)
{
	struct fixture f;
	char rest[128];

	begin(&f, state);
	snprintf(rest, sizeof(rest), "&base_from=%lld&base_to=%lld", (long long)(f.store->from_ns / 1000000), (long long)(f.store->to_ns / 1000000));
	assert_int_equal(ask_all(&f, "/api/v1/diff", rest), 200); /* with itself */
	assert_int_equal(number(f.json, "total"), total_ns(&f));
	assert_int_equal(number(f.json, "base_total"), total_ns(&f));
	assert_tree(f.json, "total", "self");
	assert_tree(f.json, "base_total", "base_self");
	struct json_object *row = item(member(f.json, "functions"), 0);
	assert_int_equal(number(row, "self"), number(row, "base_self"));
	assert_true(length(member(f.json, "functions")) <= 200);
	strcat(rest, "&base_match=process:app1&match=process:app2");
	assert_int_equal(ask_all(&f, "/api/v1/diff", rest), 200);
	assert_true(number(f.json, "base_total") != number(f.json, "total"));
	assert_tree(f.json, "total", "self");
	assert_tree(f.json, "base_total", "base_self");
	assert_int_equal(ask_all(&f, "/api/v1/diff", "&base_from=1000&base_to=2000"), 200); /* a base without windows */
	assert_int_equal(number(f.json, "base_total"), 0);
	assert_int_equal(number(f.json, "total"), total_ns(&f));
	assert_int_equal(ask(&f, "/api/v1/diff?from=1000&to=2000&base_from=1000&base_to=2000"), 200);
	assert_int_equal(number(f.json, "total"), 0);
	assert_error(&f, "/api/v1/diff?from=1000&to=2000", 400, "'base_from' is missing");
	forget(&f);
}

static void compares_callers_and_callees(void **state)
{
	struct fixture f;
	char rest[1024], name[512];

	begin(&f, state);
	assert_int_equal(ask_all(&f, "/api/v1/functions", "&limit=1&match=process:app1"), 200);
	encode(text(item(member(f.json, "functions"), 0), "name"), name);
	int64_t self = number(item(member(f.json, "functions"), 0), "self"), total = number(item(member(f.json, "functions"), 0), "total");
	int n = snprintf(rest, sizeof(rest), "&function=%s&base_from=%lld&base_to=%lld&base_match=process:app1", name, (long long)(f.store->from_ns / 1000000),
			 (long long)(f.store->to_ns / 1000000));
	assert_int_equal(ask_all(&f, "/api/v1/sandwich", rest), 200);
	assert_int_equal(number(f.json, "base_self"), self);
	assert_int_equal(number(f.json, "function_base_total"), total);
	assert_true(number(f.json, "function_total") >= total && number(f.json, "total") > number(f.json, "base_total"));
	assert_tree(member(f.json, "callers"), "total", "self");
	assert_tree(member(f.json, "callers"), "base_total", "base_self");
	assert_tree(member(f.json, "callees"), "base_total", "base_self");
	assert_true(number(f.json, "self") >= self);
	snprintf(rest + n, sizeof(rest) - (size_t)n, "2"); /* a base without samples: there is no such process */
	assert_int_equal(ask_all(&f, "/api/v1/sandwich", rest), 200);
	assert_int_equal(number(f.json, "function_base_total"), 0);
	assert_true(number(f.json, "function_total") >= total);
	snprintf(rest, sizeof(rest), "&function=%s&base_from=1000", name);
	assert_int_equal(ask_all(&f, "/api/v1/sandwich", rest), 400);
	forget(&f);
}

static void lists_functions_and_lines(void **state)
{
	struct fixture f;
	size_t i;
	struct json_object *row;
	int64_t self = 0, before = INT64_MAX;
	char rest[1024];

	begin(&f, state);
	assert_int_equal(ask_all(&f, "/api/v1/functions", "&limit=100000"), 200);
	assert_int_equal(length(member(f.json, "functions")), number(f.json, "n"));
	FOREACH(member(f.json, "functions"), i, row) {
		assert_true(number(row, "self") <= before);
		before = number(row, "self");
		self += before;
	}
	assert_int_equal(self, total_ns(&f));
	char name[512];
	encode(text(item(member(f.json, "functions"), 0), "name"), name);
	int64_t hottest = number(item(member(f.json, "functions"), 0), "self");
	int64_t total = number(item(member(f.json, "functions"), 0), "total");
	assert_int_equal(ask_all(&f, "/api/v1/functions", "&limit=3&sort=total"), 200);
	assert_int_equal(length(member(f.json, "functions")), 3);
	assert_true(number(item(member(f.json, "functions"), 0), "total") >= total);
	snprintf(rest, sizeof(rest), "&search=%s", name);
	assert_int_equal(ask_all(&f, "/api/v1/functions", rest), 200);
	assert_int_equal(number(f.json, "n"), 1);
	snprintf(rest, sizeof(rest), "&function=%s", name);
	assert_int_equal(ask_all(&f, "/api/v1/lines", rest), 200);
	self = 0;
	FOREACH(member(f.json, "lines"), i, row)
		self += number(row, "self");
	assert_int_equal(self, hottest);
	assert_int_equal(ask_all(&f, "/api/v1/sandwich", rest), 200);
	assert_int_equal(number(f.json, "self"), hottest);
	assert_int_equal(number(f.json, "function_total"), total);
	assert_tree(member(f.json, "callers"), "total", "self");
	assert_tree(member(f.json, "callees"), "total", "self");
	assert_int_equal(ask_all(&f, "/api/v1/sandwich", "&function=no%20such"), 200);
	assert_int_equal(number(f.json, "function_total"), 0);
	assert_int_equal(ask_all(&f, "/api/v1/lines", "&function=no%20such"), 200);
	assert_int_equal(length(member(f.json, "lines")), 0);
	forget(&f);
}

static void exports(void **state)
{
	static const struct {
		const char *format, *begin, *type, *extension;
	} formats[] = {
		{"pprof", "\x1f\x8b", "application/octet-stream", ".pb.gz"},
		{"folded", "app", "text/plain; charset=utf-8", ".folded"},
		{"text", "time", "text/plain; charset=utf-8", ".txt"},
		{"svg", "<?xml", "image/svg+xml", ".svg"},
		{"speedscope", "{", "application/json", ".speedscope.json"},
		{"firefox", "{", "application/json", ".firefox.json"},
	};
	struct fixture f;
	char rest[64];

	begin(&f, state);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		snprintf(rest, sizeof(rest), "&format=%s", formats[i].format);
		assert_int_equal(ask_all(&f, "/api/v1/export", rest), 200);
		assert_string_equal(f.answer.content_type, formats[i].type);
		assert_memory_equal(f.body, formats[i].begin, strlen(formats[i].begin));
		assert_non_null(strstr(f.answer.filename, "hearth-host_1_-20260921T"));
		assert_string_equal(f.answer.filename + strlen(f.answer.filename) - strlen(formats[i].extension), formats[i].extension);
	}
	assert_error(&f, "/api/v1/export?format=pprof&from=1000&to=2000", 404, "no window");
	assert_string_equal(f.answer.filename, "");
	assert_error(&f, "/api/v1/export?format=doc", 400, "format=doc");
	assert_error(&f, "/api/v1/export", 400, "'format' is missing");
	forget(&f);
}

/* ---- what is wrong ---- */

static void refuses(void **state)
{
	static const struct {
		const char *question;
		int status;
		const char *part;
	} cases[] = {
		{"/api/v1/", 404, "there is no '/api/v1/'"},
		{"/api/v1/flames", 404, "there is no '/api/v1/flames'"},
		{"/api/v1/flame?form=-1h", 400, "no parameter 'form'"},
		{"/api/v1/flame?from=-1h&from=-2h", 400, "'from' is there twice"},
		{"/api/v1/flame?from=sometimes", 400, "from: "},
		{"/api/v1/flame?from=99999999999999999999", 400, "from: "},
		{"/api/v1/flame?from=999999999999999999", 400, "2262"},
		{"/api/v1/flame?from=2000&to=1000", 400, "from must be before to"},
		{"/api/v1/flame?match=nginx", 400, "match=process:nginx"},
		{"/api/v1/flame?match=:x", 400, "match=:x"},
		{"/api/v1/flame?match=a:1&match=b:1&match=c:1&match=d:1&match=e:1&match=f:1&match=g:1&match=h:1&match=i:1", 400, "more than 8"},
		{"/api/v1/flame?side=left", 400, "side=left"},
		{"/api/v1/flame?from=-3d&focus=(", 400, "focus"},
		{"/api/v1/flame?from=-3d&hide=(?=a)", 400, "hide"},
		{"/api/v1/flame?from=-3d&type=wall", 400, "there are: samples, cpu"},
		{"/api/v1/flame?max_nodes=200001", 400, "1 to 200000"},
		{"/api/v1/flame?max_nodes=0", 400, "1 to 200000"},
		{"/api/v1/flame?max_nodes=-5", 400, "1 to 200000"},
		{"/api/v1/flame?first=thread", 400, "first=thread"},
		{"/api/v1/timeline?from=-3d&focus=(", 400, "focus"},
		{"/api/v1/labels?from=-3d&show=%5B", 400, "show"},
		{"/api/v1/timeline?buckets=5001", 400, "1 to 5000"},
		{"/api/v1/timeline?buckets=", 400, "1 to 5000"},
		{"/api/v1/timeline?top=101", 400, "0 to 100"},
		{"/api/v1/timeline?from=-3d&type=wall", 400, "no sample type 'wall'"},
		{"/api/v1/functions?from=-3d&sort=name", 400, "sort=name"},
		{"/api/v1/functions?limit=100001", 400, "1 to 100000"},
		{"/api/v1/sandwich", 400, "'function' is missing"},
		{"/api/v1/lines?function=", 400, "'function' is missing"},
	};
	struct fixture f;

	begin(&f, state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_error(&f, cases[i].question, cases[i].status, cases[i].part);
	forget(&f);
	struct web_request post = {.method = "POST", .path = "/api/v1/status", .content_type = "", .accept = ""};
	f.answer = (struct web_answer){.body = open_memstream(&f.body, &f.body_bytes)};
	assert_int_equal(api_answer(&f.context, &post, &f.answer), 0);
	fclose(f.answer.body);
	assert_int_equal(f.answer.status, 405);
	assert_false(api_has("/"));
	assert_false(api_has("/api/v2/status"));
	forget(&f);
}

static const char *const all_answers[] = {"labels?", "timeline?", "flame?", "diff?base_from=1000&base_to=2000&", "functions?", "sandwich?function=f&", "sandwich?function=f&base_from=1000&base_to=2000&",
					  "lines?function=f&"};

static void says_that_there_is_no_store(void **state)
{
	struct fixture f;
	char question[256];

	begin(&f, state);
	for (int none = 0; none < 2; none++) {
		f.context.store = none ? "" : "/proc/no/such/folder";
		assert_int_equal(ask(&f, "/api/v1/status"), 200);
		assert_true(!json_object_get_boolean(member(member(f.json, "store"), "exists")));
		for (size_t i = 0; i < sizeof(all_answers) / sizeof(all_answers[0]); i++) {
			snprintf(question, sizeof(question), "/api/v1/%s", all_answers[i]);
			assert_error(&f, question, 404, none ? "no store: " : "no store in '/proc/no/such/folder'");
		}
	}
	forget(&f);
}

/* A range without windows, and a store without any, is no error. */
static void answers_where_there_is_nothing(void **state)
{
	struct store_fixture *empty = store_fixture_empty();
	struct fixture f;
	char question[256];

	begin(&f, state);
	store_fixture_fill(empty, 0, 1);
	for (int none = 0; none < 2; none++) {
		f.context.store = none ? empty->folder : f.store->folder;
		for (size_t i = 0; i < sizeof(all_answers) / sizeof(all_answers[0]); i++) {
			snprintf(question, sizeof(question), "/api/v1/%sfrom=1000&to=2000&focus=x", all_answers[i]);
			if (ask(&f, question) != 200)
				print_message("%s: %s\n", question, f.body);
			assert_int_equal(f.answer.status, 200);
			assert_int_equal(number(f.json, "total"), 0);
		}
	}
	assert_int_equal(ask(&f, "/api/v1/status"), 200);
	assert_int_equal(number(member(f.json, "store"), "windows"), 0);
	store_fixture_destroy(empty);
	forget(&f);
}

/* ---- names that strangers choose ---- */

#define EVIL "</script><img src=x onerror=alert(1)>\"\\&amp;;\xe2\x80\xaegnp.\x1b[31m\n\t\x01\xff"

static uint32_t string_of(struct profile_builder *b, const char *string)
{
	return (uint32_t)profile_builder_string(b, string, strlen(string));
}

/* Labels, functions, files and modules are all of them. */
static void store_evil_window(struct store_fixture *f)
{
	struct store_options options = {.bytes_max = 64u << 20};
	struct profile_builder *b;
	struct profile *window;
	struct store *store;
	struct why why;
	uint64_t number_of_it;

	assert_int_equal(profile_builder_create(&b), 0);
	profile_builder_sample_type(b, "cpu", "nanoseconds");
	profile_builder_time(b, STORE_FIXTURE_BEGIN_NS, STORE_FIXTURE_WINDOW_NS);
	uint32_t evil = string_of(b, EVIL);
	struct profile_mapping mapping = {.start = 0x1000, .limit = 0x2000, .filename = evil, .has_functions = true};
	struct profile_function function = {.name = evil, .system_name = evil, .filename = evil};
	uint32_t mapping_id = (uint32_t)profile_builder_mapping(b, &mapping);
	struct profile_line line = {.function = (uint32_t)profile_builder_function(b, &function), .line = 7};
	uint32_t location = (uint32_t)profile_builder_location(b, mapping_id, 0x1100, &line, 1);
	struct profile_label labels[] = {{.key = string_of(b, "process"), .str = evil}, {.key = evil, .str = evil}};
	assert_int_equal(profile_builder_sample(b, &location, 1, labels, 2, (int64_t[]){INT64_C(1) << 60}), 0);
	assert_int_equal(profile_builder_finish(b, &window), 0);
	assert_int_equal(store_open(f->folder, &options, &store, &why), 0);
	assert_int_equal(store_append(store, window, &number_of_it, &why), 0);
	store_close(store);
	profile_free(window);
	profile_builder_destroy(b);
}

/* Every answer is JSON (ask() reads it), and has no control character; the names come back as they are. */
static void names_stay_harmless(void **state)
{
	static const char *const answers[] = {"labels?", "timeline?", "timeline?by=pid&", "flame?", "functions?search=script&", "diff?base_from=1&base_to=1790000010000&", "export?format=speedscope&",
					      "export?format=firefox&", "export?format=folded&", "export?format=text&", "export?format=svg&"};
	struct store_fixture *evil = store_fixture_empty();
	struct fixture f;
	char question[2048], name[512];

	begin(&f, state);
	store_evil_window(evil);
	f.context.store = evil->folder;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		snprintf(question, sizeof(question), "/api/v1/%sfrom=1&to=1790000010000", answers[i]);
		assert_int_equal(ask(&f, question), 200);
		for (size_t k = 0; k < f.body_bytes; k++)
			assert_true((unsigned char)f.body[k] >= 0x20 || f.body[k] == '\n' || f.body[k] == '\t');
		assert_null(memmem(f.body, f.body_bytes, "\xe2\x80\xae", 3));
		if (strstr(answers[i], "svg"))
			assert_null(strstr(f.body, "<img"));
	}
	assert_int_equal(ask(&f, "/api/v1/functions?from=1&to=1790000010000"), 200);
	assert_int_equal(number(f.json, "total"), INT64_C(1) << 60);
	assert_false(json_object_get_boolean(member(f.json, "exact"))); /* above what a double has */
	assert_true(json_object_is_type(member(f.json, "exact"), json_type_boolean));
	encode(text(item(member(f.json, "functions"), 0), "name"), name);
	for (int which = 0; which < 3; which++) {
		snprintf(question, sizeof(question), "/api/v1/%s?from=1&to=1790000010000&%s%s", which == 0 ? "sandwich" : which == 1 ? "lines" : "flame",
			 which == 2 ? "match=process:" : "function=", name);
		assert_int_equal(ask(&f, question), 200);
		assert_int_equal(number(f.json, "total"), INT64_C(1) << 60);
		if (which == 0)
			assert_int_equal(number(f.json, "function_total"), INT64_C(1) << 60);
	}
	snprintf(question, sizeof(question), "/api/v1/%s?%s=%s", name, name, name); /* in errors too */
	assert_int_equal(ask(&f, question), 404);
	snprintf(question, sizeof(question), "/api/v1/flame?%s=%s", name, name);
	assert_int_equal(ask(&f, question), 400);
	store_fixture_destroy(evil);
	forget(&f);
}

/* What a damaged segment held is missing, and the answer says so. */
static void says_that_a_segment_is_damaged(void **state)
{
	struct store_fixture *damaged = store_fixture_empty();
	struct fixture f;
	char path[128];

	begin(&f, state);
	store_fixture_fill(damaged, 30, 3600);
	snprintf(path, sizeof(path), "%s/windows-000001.db", damaged->folder);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct stat status;
	assert_true(fd >= 0 && fstat(fd, &status) == 0);
	char noise[4096];
	memset(noise, 0x55, sizeof(noise));
	for (off_t at = 4096; at < status.st_size; at += 4096)
		assert_int_equal(pwrite(fd, noise, sizeof(noise), at), sizeof(noise));
	close(fd);
	f.context.store = damaged->folder;
	const char *const answers[] = {"/api/v1/flame", "/api/v1/labels", "/api/v1/timeline", "/api/v1/functions"};
	f.context.now_ns += 7200 * (int64_t)NS_PER_S;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		assert_int_equal(ask_all(&f, answers[i], ""), 200);
		assert_non_null(strstr(text(f.json, "warning"), "is damaged"));
		assert_true(number(f.json, "total") > 0 && number(f.json, "total") < damaged->samples * store_fixture_host.period);
		assert_false(f.answer.is_final);
	}
	store_fixture_destroy(damaged);
	forget(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_status),
		cmocka_unit_test(lists_labels),
		cmocka_unit_test(draws_time_lines),
		cmocka_unit_test(draws_flames),
		cmocka_unit_test(compares), cmocka_unit_test(compares_callers_and_callees),
		cmocka_unit_test(lists_functions_and_lines),
		cmocka_unit_test(exports),
		cmocka_unit_test(refuses),
		cmocka_unit_test(says_that_there_is_no_store),
		cmocka_unit_test(answers_where_there_is_nothing),
		cmocka_unit_test(names_stay_harmless),
		cmocka_unit_test(says_that_a_segment_is_damaged),
	};

	return cmocka_run_group_tests(tests, make_store, remove_store);
}
