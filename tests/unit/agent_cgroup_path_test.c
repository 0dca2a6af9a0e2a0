#include "agent/cgroup_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_clean.h"
#include "tests/unit/cmocka_prelude.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID   "12345678-9abc-def0-1234-56789abcdef0"
#define UID_  "12345678_9abc_def0_1234_56789abcdef0"
#define PLAIN "123456789abcdef0123456789abcdef0"

struct expected {
	const char *path, *container_id, *container, *unit, *pod_uid;
};

static const struct expected PATHS[] = {
	{"/", "", "", "", ""},
	{"", "", "", "", ""},
	/* systemd */
	{"/init.scope", "", "", "init.scope", ""},
	{"/system.slice/ssh.service", "", "", "ssh.service", ""},
	{"/system.slice/system-getty.slice/getty@tty1.service", "", "", "getty@tty1.service", ""},
	{"/system.slice/dev-disk-by\\x2duuid-1.swap", "", "", "dev-disk-by\\x2duuid-1.swap", ""},
	{"/system.slice/_cpu.service", "", "", "cpu.service", ""},
	{"/system.slice/postgresql@15-main.service/workers/a.scope", "", "", "postgresql@15-main.service", ""},
	{"/user.slice/user-1000.slice/session-3.scope", "", "", "session-3.scope", ""},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", "", "", "user@1000.service", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/mail.service", "", "", "mail.service", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.x-12.scope", "", "", "app-gnome-org.x-12.scope", ""},
	{"/../../system.slice/ssh.service", "", "", "ssh.service", ""},
	{"/system.slice", "", "", "", ""},
	{"/system.slice/.service", "", "", "", ""},
	{"/system.slice/a b.service", "", "", "", ""},
	{"/system.slice/\303\244.service", "", "", "", ""},
	/* Docker, nerdctl */
	{"/docker/" ID, ID, "", "", ""},
	{"/docker/" ID "/", ID, "", "", ""},
	{"/system.slice/docker-" ID ".scope", ID, "", "", ""},
	{"/system.slice/docker-" ID ".scope/system.slice/nginx.service", ID, "", "nginx.service", ""},
	{"/docker/" ID "/docker/" OTHER, OTHER, "", "", ""},
	{"/system.slice/nerdctl-" ID ".scope", ID, "", "", ""},
	{"/docker/0123456789abcdef", "", "", "", ""},
	{"/docker/" ID "0", "", "", "", ""},
	{"/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "", "", "", ""},
	{"/ecs/task/" ID, ID, "", "", ""},
	/* Kubernetes */
	{"/kubepods/burstable/pod" UID "/" ID, ID, "", "", UID},
	{"/kubepods/pod" PLAIN "/" ID, ID, "", "", PLAIN},
	{"/kubepods/besteffort/pod" UID, "", "", "", UID},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope", ID, "", "", UID},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope", ID, "", "", UID},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope/container", ID, "", "", UID},
	{"/kubepods.slice/kubepods-pod" PLAIN ".slice/crio-conmon-" ID ".scope", "", "", "crio-conmon-" ID ".scope", PLAIN},
	{"/system.slice/containerd.service/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" ID, ID, "", "", UID},
	{"/kubepods/burstable/pod" UID "/" ID "/system.slice/app.service", ID, "", "app.service", UID},
	{"/docker/" OTHER "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope", ID, "", "",
	 UID},
	{"/kubepods/podx2345678-9abc-def0-1234-56789abcdef0/" ID, ID, "", "", ""},
	{"/kubepods/pod12345678-9abc-def0-1234-56789abcdef/" ID, ID, "", "", ""},
	/* Podman */
	{"/machine.slice/libpod-" ID ".scope", ID, "", "", ""},
	{"/machine.slice/libpod-" ID ".scope/container", ID, "", "", ""},
	{"/machine.slice/libpod-conmon-" ID ".scope", "", "", "libpod-conmon-" ID ".scope", ""},
	{"/machine.slice/machine-libpod_pod_" OTHER ".slice/libpod-" ID ".scope", ID, "", "", ""},
	{"/libpod_parent/libpod-" ID, ID, "", "", ""},
	{"/system.slice/web.service/libpod-payload-" ID, ID, "", "web.service", ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", ID, "", "", ""},
	/* systemd-nspawn, libvirt */
	{"/machine.slice/systemd-nspawn@web.service/payload", "web", "web", "", ""},
	{"/machine.slice/systemd-nspawn@my\\x2dweb.service/payload/system.slice/ssh.service", "my-web", "my-web", "ssh.service", ""},
	{"/machine.slice/systemd-nspawn@my\\x2dweb.service/supervisor", "", "", "", ""},
	{"/machine.slice/machine-deb.scope/init.scope", "deb", "deb", "init.scope", ""},
	{"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt", "", "", "machine-qemu\\x2d1\\x2dvm.scope", ""},
	{"/machine.slice/systemd-nspawn@a\\x0ab.service", "", "", "systemd-nspawn@a\\x0ab.service", ""},
	/* LXC */
	{"/lxc/web1/init.scope", "web1", "web1", "init.scope", ""},
	{"/lxc.payload.web1/system.slice/ssh.service", "web1", "web1", "ssh.service", ""},
	{"/lxc.payload/web1", "web1", "web1", "", ""},
	{"/lxc.monitor.web1", "", "", "", ""},
};

static void known_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
		const struct expected *e = &PATHS[i];
		struct cgroup_path facts;
		cgroup_path_parse(e->path, &facts);
		if (strcmp(facts.container_id, e->container_id) != 0 || strcmp(facts.container, e->container) != 0 ||
		    strcmp(facts.unit, e->unit) != 0 || strcmp(facts.pod_uid, e->pod_uid) != 0)
			fail_msg("%s: id '%s' container '%s' unit '%s' pod '%s'", e->path, facts.container_id, facts.container,
				 facts.unit, facts.pod_uid);
	}
}

static void services(void **state)
{
	static const struct {
		const char *unit, *service; /* NULL: none */
	} UNITS[] = {
		{"ssh.service", "ssh"},		     {"getty@tty1.service", "getty@tty1"},  {"", NULL},
		{"session-3.scope", NULL},	     {".service", NULL},		    {"run-u12.service", NULL},
		{"run-r0123456789abcdef.service", NULL}, {"run-p12-i34.service", NULL},	    {"run-user.service", "run-user"},
		{"run-parts.service", "run-parts"},  {"user@1000.service", "user@1000"},
	};
	char service[CGROUP_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
		bool is = cgroup_path_service(UNITS[i].unit, service);
		if (is != (UNITS[i].service != NULL) || (is && strcmp(service, UNITS[i].service) != 0))
			fail_msg("%s: %s", UNITS[i].unit, is ? service : "none");
	}
}

static void long_names(void **state)
{
	char path[8192];
	struct cgroup_path facts;

	(void)state;
	/* A container of 300 letters is cut, a unit that long is none. */
	snprintf(path, sizeof(path), "/lxc/%0300d/%0300d.service", 0, 0);
	cgroup_path_parse(path, &facts);
	assert_int_equal(strlen(facts.container_id), 0);
	assert_string_equal(facts.unit, "");
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	cgroup_path_parse(path, &facts);
	memset(path, 'a', sizeof(path) - 1);
	cgroup_path_parse(path, &facts);
	assert_string_equal(facts.container_id, "");
}

/* Random bytes, and known paths with bytes changed: what comes out is clean and ends. */
static void hostile_paths(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		const char *base = PATHS[(size_t)rand_r(&seed) % (sizeof(PATHS) / sizeof(PATHS[0]))].path;
		char path[512];
		size_t n = strlen(base);
		memcpy(path, base, n + 1);
		for (int i = rand_r(&seed) % 5; i > 0 && n; i--)
			path[(size_t)rand_r(&seed) % n] = (char)(rand_r(&seed) % 256);
		/* Its exact size, for a sanitizer to see what is read behind it. */
		char *exact = strdup(path);
		struct cgroup_path facts;
		cgroup_path_parse(exact, &facts);
		free(exact);
		const char *texts[] = {facts.container_id, facts.container, facts.unit, facts.pod_uid};
		for (size_t i = 0; i < 4; i++) {
			assert_true(strlen(texts[i]) < CGROUP_NAME_MAX);
			for (const char *at = texts[i]; *at; at++)
				assert_true(*at > ' ' && *at <= '~' && *at != '/');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_paths),
		cmocka_unit_test(services),
		cmocka_unit_test(long_names),
		cmocka_unit_test(hostile_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
