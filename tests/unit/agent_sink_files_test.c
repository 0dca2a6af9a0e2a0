/* agent/sink_files.c: tokens and certificates are read, read again when they change, and refused when they cannot be what they should. */
#include "agent/sink_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "tests/unit/cmocka_prelude.h"

static char scratch[64];

static char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}

/* As who rotates secrets does it: a new file in the place of the old one. */
static void put(const char *name, const char *bytes, size_t n)
{
	char temporary[128];

	snprintf(temporary, sizeof(temporary), "%s/.new", scratch);
	AUTO_CLOSE int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(rename(temporary, path_of(name)), 0);
}

static struct upload_config *config_with(const char *setting, const char *name)
{
	struct upload_config *config = calloc(1, sizeof(*config));
	struct why why;

	assert_non_null(config);
	assert_int_equal(sink_config_parse("pyroscope=http://localhost:4040", &config->sinks[0].config, &why), 0);
	snprintf(config->sinks[0].config.name, sizeof(config->sinks[0].config.name), "fleet");
	if (setting)
		assert_int_equal(sink_config_set(&config->sinks[0].config, setting, path_of(name), &why), 0);
	config->n_sinks = 1;
	return config;
}

static void rotates(void **state)
{
	struct upload_config *config = config_with("bearer_token_file", "token");
	const struct sink_secrets *secrets = &config->sinks[0].secrets;
	struct sink_files *files;

	(void)state;
	put("token", "first\n", 6);
	assert_int_equal(sink_files_create(config, &files), 0);
	assert_true(sink_files_refresh(files));
	assert_string_equal(secrets->bearer_token, "first");
	assert_null(config->sinks[0].held);
	assert_false(sink_files_refresh(files));
	assert_null(sink_files_trouble(files, 0));
	put("token", "second\r\n", 8);
	assert_true(sink_files_refresh(files));
	assert_string_equal(secrets->bearer_token, "second");
	put("token", "second", 6); /* the same again */
	assert_false(sink_files_refresh(files));
	/* Gone: what was read before stays, and that is said once. */
	assert_int_equal(unlink(path_of("token")), 0);
	assert_false(sink_files_refresh(files));
	assert_string_equal(secrets->bearer_token, "second");
	assert_null(config->sinks[0].held);
	const char *trouble = sink_files_trouble(files, 0);
	assert_non_null(trouble);
	assert_non_null(strstr(trouble, "fleet: reading its bearer_token_file"));
	assert_non_null(strstr(trouble, "No such file"));
	assert_false(sink_files_refresh(files));
	assert_null(sink_files_trouble(files, 0));
	put("token", "third", 5);
	assert_true(sink_files_refresh(files));
	assert_null(sink_files_trouble(files, 0));
	sink_files_destroy(files);
	upload_config_free(config);
	unlink(path_of("token"));
}

/* A sink that lacks a file from the beginning does not send, until it is there. */
static void is_held(void **state)
{
	struct upload_config *config = config_with("ca_file", "ca.pem");
	struct sink_files *files;

	(void)state;
	assert_int_equal(sink_files_create(config, &files), 0);
	assert_true(sink_files_refresh(files));
	assert_non_null(config->sinks[0].held);
	assert_non_null(strstr(config->sinks[0].held, "ca.pem"));
	assert_false(sink_files_refresh(files));
	put("ca.pem", "-----BEGIN\nabc\n", 15);
	assert_true(sink_files_refresh(files));
	assert_null(config->sinks[0].held);
	assert_string_equal(config->sinks[0].secrets.ca, "-----BEGIN\nabc\n");
	sink_files_destroy(files);
	upload_config_free(config);
	unlink(path_of("ca.pem"));
}

static void assert_refused(const char *words)
{
	struct upload_config *config = config_with("basic_password_file", "password");
	struct sink_files *files;

	assert_int_equal(sink_files_create(config, &files), 0);
	sink_files_refresh(files);
	assert_null(config->sinks[0].secrets.basic_password);
	assert_non_null(config->sinks[0].held);
	if (!strstr(config->sinks[0].held, words))
		fail_msg("%s", config->sinks[0].held);
	assert_null(strstr(config->sinks[0].held, "secret"));
	sink_files_destroy(files);
	upload_config_free(config);
}

static void refused(void **state)
{
	static char large[SINK_SECRET_MAX + 1];

	(void)state;
	put("password", "", 0);
	assert_refused("it is empty, or no text");
	put("password", "\nsecret", 7);
	assert_refused("it is empty, or no text");
	put("password", "secret\0more", 11);
	assert_refused("it is empty, or no text");
	put("password", "secret\001", 7);
	assert_refused("it is empty, or no text");
	memset(large, 'x', sizeof(large));
	put("password", large, sizeof(large));
	assert_refused("it is too large");
	unlink(path_of("password"));
	assert_int_equal(mkdir(path_of("password"), 0700), 0);
	assert_refused("it is no regular file");
	assert_int_equal(rmdir(path_of("password")), 0);
	assert_int_equal(mkfifo(path_of("password"), 0600), 0); /* nobody waits for it */
	assert_refused("it is no regular file");
	unlink(path_of("password"));
}

static void none(void **state)
{
	struct upload_config *config = config_with(NULL, NULL);
	struct sink_files *files;

	(void)state;
	assert_int_equal(sink_files_create(config, &files), 0);
	assert_false(sink_files_refresh(files));
	assert_null(sink_files_trouble(files, 0));
	sink_files_destroy(files);
	upload_config_free(config);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(scratch, sizeof(scratch), "/tmp/hearth-sink-files-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rotates), cmocka_unit_test(is_held), cmocka_unit_test(refused), cmocka_unit_test(none),
	};

	return cmocka_run_group_tests_name("agent/sink_files", tests, set_up, tear_down);
}
