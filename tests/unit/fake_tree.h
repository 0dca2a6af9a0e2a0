/* A folder that stands for a machine's file system. */
#ifndef HEARTH_TESTS_FAKE_TREE_H
#define HEARTH_TESTS_FAKE_TREE_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cmocka_prelude.h"

struct fake_tree {
	char root[64];
};

static inline struct fake_tree *fake_tree_create(void)
{
	static struct fake_tree t;

	strcpy(t.root, "/tmp/hearth-tree-XXXXXX");
	return mkdtemp(t.root) ? &t : NULL;
}

static inline int fake_remove(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	(void)stat;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void fake_tree_destroy(struct fake_tree *t)
{
	nftw(t->root, fake_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* With all folders above it. Returns its number. */
static inline uint64_t fake_folder(const struct fake_tree *t, const char *path)
{
	char whole[9000];
	struct stat stat_of;

	snprintf(whole, sizeof(whole), "%s%s", t->root, path);
	for (char *at = whole + strlen(t->root) + 1;; at++) {
		char c = *at;
		if (c && c != '/')
			continue;
		*at = '\0';
		assert_true(mkdir(whole, 0755) == 0 || errno == EEXIST);
		*at = c;
		if (!c)
			break;
	}
	assert_int_equal(stat(whole, &stat_of), 0);
	return stat_of.st_ino;
}

static inline void fake_parent(const struct fake_tree *t, const char *path)
{
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	fake_folder(t, folder);
}

/* A link to nowhere. */
static inline void fake_link(const struct fake_tree *t, const char *path)
{
	char whole[8192];

	fake_parent(t, path);
	snprintf(whole, sizeof(whole), "%s%s", t->root, path);
	assert_int_equal(symlink("/nowhere", whole), 0);
}

static inline void fake_file(const struct fake_tree *t, const char *path, const char *text)
{
	char whole[8192];

	fake_parent(t, path);
	snprintf(whole, sizeof(whole), "%s%s", t->root, path);
	FILE *file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

#endif
