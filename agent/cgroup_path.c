#include "agent/cgroup_path.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ID_DIGITS  64
#define UID_DIGITS 32

/* A part of the path, or of a component; ends nowhere. */
struct part {
	const char *text;
	size_t n;
};

struct parsing {
	struct cgroup_path facts;
	struct part before; /* the component before this one */
	bool unit_is_outer; /* the unit is around the container */
	bool first;
};

static bool equals(struct part part, const char *text)
{
	return part.n == strlen(text) && memcmp(part.text, text, part.n) == 0;
}

static bool skip_prefix(struct part *part, const char *prefix)
{
	size_t n = strlen(prefix);

	if (part->n <= n || memcmp(part->text, prefix, n) != 0)
		return false;
	part->text += n;
	part->n -= n;
	return true;
}

static bool drop_suffix(struct part *part, const char *suffix)
{
	size_t n = strlen(suffix);

	if (part->n <= n || memcmp(part->text + part->n - n, suffix, n) != 0)
		return false;
	part->n -= n;
	return true;
}

static bool contains(struct part part, const char *text)
{
	return memmem(part.text, part.n, text, strlen(text)) != NULL;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Letters that unit names may have: systemd.unit(5). The escapes of others are made of these. */
static bool is_unit_text(struct part part)
{
	for (size_t i = 0; i < part.n; i++)
		if (!isalnum((unsigned char)part.text[i]) && !strchr(":-_.\\@", part.text[i]))
			return false;
	return true;
}

static void copy(char out[CGROUP_NAME_MAX], struct part part)
{
	size_t n = part.n < CGROUP_NAME_MAX ? part.n : CGROUP_NAME_MAX - 1;

	memcpy(out, part.text, n);
	out[n] = '\0';
}

/* A name for people: \xHH undone. False when it is not printable ASCII then, has a slash, or is too long. */
static bool copy_unescaped(char out[CGROUP_NAME_MAX], struct part part)
{
	char text[CGROUP_NAME_MAX];
	size_t n = 0;

	for (size_t i = 0; i < part.n; i++, n++) {
		char c = part.text[i];
		if (c == '\\' && i + 3 < part.n && part.text[i + 1] == 'x' && isxdigit((unsigned char)part.text[i + 2]) &&
		    isxdigit((unsigned char)part.text[i + 3])) {
			c = (char)(hex_value(part.text[i + 2]) << 4 | hex_value(part.text[i + 3]));
			i += 3;
		}
		if (n == sizeof(text) - 1 || c <= ' ' || c > '~' || c == '/')
			return false;
		text[n] = c;
	}
	text[n] = '\0';
	memcpy(out, text, n + 1);
	return n > 0;
}

static bool is_user_manager(const char *unit)
{
	return strncmp(unit, "user@", 5) == 0;
}

static void enter_container(struct parsing *p)
{
	/* A user's systemd started the runtime; it says nothing of the container. */
	if (is_user_manager(p->facts.unit))
		p->facts.unit[0] = '\0';
	p->unit_is_outer = true;
}

static void set_container(struct parsing *p, struct part id)
{
	copy(p->facts.container_id, id);
	p->facts.container[0] = '\0';
	enter_container(p);
}

/* Names are both: there is no other id. */
static bool set_named_container(struct parsing *p, struct part name)
{
	char text[CGROUP_NAME_MAX];

	if (!copy_unescaped(text, name))
		return false;
	memcpy(p->facts.container_id, text, sizeof(text));
	memcpy(p->facts.container, text, sizeof(text));
	enter_container(p);
	return true;
}

/* [PREFIX-]ID, with ID of 64 digits: of all runtimes that follow the OCI. */
static bool take_oci(struct parsing *p, struct part component)
{
	drop_suffix(&component, ".scope");
	if (component.n < ID_DIGITS)
		return false;
	struct part prefix = {component.text, component.n - ID_DIGITS}, id = {component.text + prefix.n, ID_DIGITS};
	for (size_t i = 0; i < id.n; i++)
		if (!is_hex(id.text[i]))
			return false;
	/* ':': kubelet's cgroupfs driver given to a runtime with the systemd driver, or the other way round. */
	if (prefix.n && prefix.text[prefix.n - 1] != '-' && prefix.text[prefix.n - 1] != ':')
		return false;
	if (contains(prefix, "conmon"))
		return false;
	set_container(p, id);
	return true;
}

/* Its own processes, beside those in the container, are in the cgroup "supervisor". */
static bool take_machine(struct parsing *p, struct part component)
{
	struct part name = component;

	if (skip_prefix(&name, "systemd-nspawn@") && drop_suffix(&name, ".service"))
		return set_named_container(p, name);
	name = component;
	if (!equals(p->before, "machine.slice") || !skip_prefix(&name, "machine-") || !drop_suffix(&name, ".scope"))
		return false;
	/* libvirt's virtual machines are no containers. */
	if (skip_prefix(&name, "qemu\\x2d") || skip_prefix(&name, "qemu-"))
		return false;
	return set_named_container(p, name);
}

static bool take_lxc(struct parsing *p, struct part component)
{
	struct part name = component;

	if (skip_prefix(&name, "lxc.payload."))
		return set_named_container(p, name);
	return (equals(p->before, "lxc") || equals(p->before, "lxc.payload")) && !p->first && set_named_container(p, name);
}

/* pod, and 32 hex digits with dashes, underscores (in the names of slices) or without (static pods). */
static bool parse_pod_uid(struct part text, char uid[POD_UID_MAX])
{
	bool plain = text.n == UID_DIGITS;
	size_t n = 0;

	if (!plain && text.n != POD_UID_MAX - 1)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		bool dash = !plain && (i == 8 || i == 13 || i == 18 || i == 23);
		if (dash ? text.text[i] != '-' && text.text[i] != '_' : !is_hex(text.text[i]))
			return false;
		uid[n++] = dash ? '-' : text.text[i];
	}
	uid[n] = '\0';
	return true;
}

/* podUID, or ...-podUID.slice. */
static bool take_pod(struct parsing *p, struct part component)
{
	char uid[POD_UID_MAX];

	if (drop_suffix(&component, ".slice")) {
		const char *dash = memrchr(component.text, '-', component.n);
		/* A slice's name has its uid's dashes as underscores. */
		if (!dash)
			return false;
		component.n -= (size_t)(dash + 1 - component.text);
		component.text = dash + 1;
	}
	if (!skip_prefix(&component, "pod") || !parse_pod_uid(component, uid))
		return false;
	memcpy(p->facts.pod_uid, uid, sizeof(uid));
	p->facts.unit[0] = '\0';
	p->unit_is_outer = false;
	return true;
}

/* The first unit on the way down, and below a user's systemd the first of that one. */
static void take_unit(struct parsing *p, struct part component)
{
	static const char *const SUFFIXES[] = {".service", ".scope", ".socket", ".mount", ".swap"};
	char *unit = p->facts.unit;
	bool is_unit = false;

	if (component.text[0] == '_') /* systemd's escape of names that would be a file of cgroupfs */
		component = (struct part){component.text + 1, component.n - 1};
	for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++) {
		struct part name = component;
		is_unit = is_unit || drop_suffix(&name, SUFFIXES[i]);
	}
	if (!is_unit || component.n >= CGROUP_NAME_MAX || !is_unit_text(component))
		return;
	if (unit[0] && !p->unit_is_outer && (!is_user_manager(unit) || equals(component, "init.scope")))
		return;
	copy(unit, component);
	p->unit_is_outer = false;
}

/* SLICE:RUNTIME:ID: what a systemd driver was to make a scope of, taken for a path. */
static void take_component(struct parsing *p, struct part component)
{
	const char *colon = memchr(component.text, ':', component.n);

	if (colon && colon > component.text)
		take_pod(p, (struct part){component.text, (size_t)(colon - component.text)});
	if (take_pod(p, component) || take_oci(p, component) || take_machine(p, component) || take_lxc(p, component))
		return;
	struct part machine = p->before;
	if (equals(component, "supervisor") && (skip_prefix(&machine, "systemd-nspawn@") || skip_prefix(&machine, "machine-")))
		p->facts.container_id[0] = p->facts.container[0] = '\0';
	take_unit(p, component);
}

void cgroup_path_parse(const char *path, struct cgroup_path *facts_out)
{
	struct parsing p = {.first = true};

	while (*path) {
		size_t n = strcspn(path, "/");
		struct part component = {path, n};
		if (n && !equals(component, "..")) {
			take_component(&p, component);
			p.before = component;
			p.first = false;
		}
		path += n + (path[n] == '/');
	}
	*facts_out = p.facts;
}

bool cgroup_path_service(const char *unit, char service[CGROUP_NAME_MAX])
{
	struct part name = {unit, strlen(unit)};

	if (name.n >= CGROUP_NAME_MAX || !drop_suffix(&name, ".service"))
		return false;
	/* run-u12, run-r0123..., run-p12-i34: systemd-run(1). */
	if (name.n > 5 && memcmp(unit, "run-", 4) == 0 && strchr("urp", unit[4])) {
		bool numbers = true;
		for (size_t i = 5; i < name.n; i++)
			numbers = numbers && (is_hex(unit[i]) || strchr("-i", unit[i]));
		if (numbers)
			return false;
	}
	copy(service, name);
	return true;
}
