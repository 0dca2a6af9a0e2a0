#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/scope.h"

#define APPLICATION_ID 0x68727468 /* "hrth" */
#define BUSY_MS	       1000
#define CACHE_KIB      1024
#define BLOB_MAX       (PACKING_RAW_MAX + (1 << 20)) /* what compression can make of it */

static const char schema[] =
	"CREATE TABLE windows(number INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL, "
	"clock_ns INTEGER NOT NULL, gap_ns INTEGER NOT NULL, value INTEGER NOT NULL, level INTEGER NOT NULL, merged INTEGER NOT NULL, "
	"samples INTEGER NOT NULL, bytes INTEGER NOT NULL, account TEXT, checksum INTEGER NOT NULL);"
	"CREATE TABLE samples(number INTEGER PRIMARY KEY, packed BLOB NOT NULL);"
	"CREATE TABLE dictionary(chunk INTEGER PRIMARY KEY, packed BLOB NOT NULL);"
	"CREATE TABLE marks(sink TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;";

enum statement {
	BEGIN_WRITE,
	BEGIN_READ,
	COMMIT,
	ROLLBACK,
	SYNC_FULL,
	SYNC_NORMAL,
	PUT_DICTIONARY,
	DELETE_DICTIONARY,
	DICTIONARY,
	PUT_WINDOW,
	PUT_SAMPLES,
	DELETE_WINDOWS,
	DELETE_SAMPLES,
	WINDOWS,
	SAMPLES,
	PUT_MARK,
	MARKS,
	FREE_PAGES,
	SEAL,
	STATEMENTS,
};

static const char *const texts[STATEMENTS] = {
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[BEGIN_READ] = "BEGIN",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SYNC_FULL] = "PRAGMA synchronous=FULL",
	[SYNC_NORMAL] = "PRAGMA synchronous=NORMAL",
	[PUT_DICTIONARY] = "INSERT INTO dictionary VALUES(?,?)",
	[DELETE_DICTIONARY] = "DELETE FROM dictionary WHERE chunk BETWEEN ? AND ?",
	[DICTIONARY] = "SELECT chunk, packed FROM dictionary WHERE chunk > ? ORDER BY chunk",
	[PUT_WINDOW] = "INSERT INTO windows VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[PUT_SAMPLES] = "INSERT INTO samples VALUES(?,?)",
	[DELETE_WINDOWS] = "DELETE FROM windows WHERE number BETWEEN ? AND ?",
	[DELETE_SAMPLES] = "DELETE FROM samples WHERE number BETWEEN ? AND ?",
	[WINDOWS] = "SELECT * FROM windows WHERE number >= ? ORDER BY number",
	[SAMPLES] = "SELECT packed FROM samples WHERE number = ?",
	[PUT_MARK] = "INSERT OR REPLACE INTO marks VALUES(?,?)",
	[MARKS] = "SELECT sink, number FROM marks",
	[FREE_PAGES] = "PRAGMA freelist_count",
	[SEAL] = "PRAGMA journal_mode=DELETE",
};

struct segment {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool durable; /* how the connection is set */
	bool write;
	int wal_pages; /* in the journal */
};

static int errno_of(sqlite3 *db, int rc)
{
	int system = db ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a statement that the schema does not have */
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	default:
		if (rc == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		if (rc == SQLITE_IOERR_SHMSIZE) /* the WAL's index is a file, too */
			return -ENOSPC;
		if (rc == SQLITE_IOERR_SHORT_READ || rc == SQLITE_IOERR_CORRUPTFS)
			return -EBADMSG;
		return system == EDQUOT ? -ENOSPC : system ? -system : -EIO;
	}
}

/* ---- statements ---- */

static int prepare(struct segment *s, enum statement which, sqlite3_stmt **statement_out)
{
	if (!s->statements[which]) {
		int rc = sqlite3_prepare_v3(s->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which], NULL);
		int err = rc == SQLITE_OK ? 0 : errno_of(s->db, rc);
		if (err < 0)
			return err;
	}
	*statement_out = s->statements[which];
	return 0;
}

/* Run one that has no rows to give, and make it ready for the next time. */
static int finish(struct segment *s, sqlite3_stmt *statement)
{
	int rc = sqlite3_step(statement);
	int err = errno_of(s->db, rc);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return err;
}

static int run(struct segment *s, enum statement which)
{
	sqlite3_stmt *statement;
	int err = prepare(s, which, &statement);

	return err < 0 ? err : finish(s, statement);
}

static int run_text(sqlite3 *db, const char *text)
{
	return errno_of(db, sqlite3_exec(db, text, NULL, NULL, NULL));
}

static int number_of(sqlite3 *db, const char *text, int64_t *number_out)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db, text, -1, &statement, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*number_out = sqlite3_column_int64(statement, 0);
	int err = rc == SQLITE_DONE ? -EBADMSG : errno_of(db, rc);
	sqlite3_finalize(statement);
	return err;
}

/* ---- life ---- */

/* Our tables, and nothing else: no trigger, no view, no index of somebody's making. */
static int check_schema(sqlite3 *db)
{
	sqlite3_stmt *statement = NULL;
	const char *rest = schema;

	int rc = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema ORDER BY rowid", -1, &statement, NULL);
	int err = rc == SQLITE_OK ? 0 : errno_of(db, rc);
	while (err == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(statement, 0);
		size_t n = text ? strlen(text) : 0;
		if (!n || strncmp(rest, text, n) != 0 || rest[n] != ';')
			err = -EBADMSG;
		else
			rest += n + 1;
	}
	if (err == 0)
		err = rc == SQLITE_DONE ? (*rest ? -EBADMSG : 0) : errno_of(db, rc);
	sqlite3_finalize(statement);
	return err;
}

static int check_version(sqlite3 *db, const char *path, struct why *why)
{
	int64_t application, version, tables;

	int err = number_of(db, "PRAGMA application_id", &application);
	if (err == 0)
		err = number_of(db, "PRAGMA user_version", &version);
	if (err == 0)
		err = number_of(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (err < 0)
		return err;
	if (application == 0 && version == 0 && tables == 0)
		return -ENODATA;
	if (application != APPLICATION_ID)
		return -EBADMSG;
	if (version > SEGMENT_VERSION)
		return why_set(why, -ENOTSUP,
			       "'%s' was written by a newer hearth (version %lld of its tables; this one knows %d): use that one, or another folder",
			       path, (long long)version, SEGMENT_VERSION);
	return version == SEGMENT_VERSION ? check_schema(db) : -EBADMSG;
}

/* Settings that hold for each connection, before a byte of the file is believed. */
static int harden(sqlite3 *db)
{
	static const int off[] = {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
				  SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_DQS_DML};

	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		sqlite3_db_config(db, off[i], 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, BLOB_MAX);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	/* No mmap: a file that is truncated under a mapping is SIGBUS. */
	return run_text(db, "PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0;");
}

static int count_pages(void *context, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct segment *)context)->wal_pages = pages;
	return SQLITE_OK;
}

static int connect_to(const char *path, int flags, struct segment **segment_out)
{
	struct segment *s = calloc(1, sizeof(*s));
	char cache[48];

	if (!s)
		return -ENOMEM;
	s->write = flags & SQLITE_OPEN_READWRITE;
	int rc = sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW, NULL);
	int err = errno_of(s->db, rc);
	if (err == 0)
		err = harden(s->db);
	snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%d", CACHE_KIB);
	if (err == 0)
		err = run_text(s->db, cache);
	if (err == 0 && s->write && sqlite3_db_readonly(s->db, "main") == 1)
		err = -EROFS;
	if (err < 0) {
		segment_close(s);
		return err;
	}
	sqlite3_wal_hook(s->db, count_pages, s);
	*segment_out = s;
	return 0;
}

static int sync_folder(const char *path)
{
	AUTO_FREE char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!folder)
		return -ENOMEM;
	if (slash)
		*slash = '\0';
	AUTO_CLOSE int fd = open(slash ? (*folder ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int create_tables(struct segment *s)
{
	char versions[96];

	int err = run_text(s->db, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
	if (err == 0)
		err = run_text(s->db, "BEGIN IMMEDIATE");
	if (err == 0)
		err = run_text(s->db, schema);
	snprintf(versions, sizeof(versions), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;", APPLICATION_ID, SEGMENT_VERSION);
	if (err == 0)
		err = run_text(s->db, versions);
	s->durable = true;
	return err == 0 ? segment_checkpoint(s, true) : err;
}

int segment_create(const char *path, struct segment **segment_out, struct why *why)
{
	struct segment *s = NULL;

	/* SQLite would create it for all to read. */
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return why_set(why, -errno, "creating '%s': %s", path, strerror(errno));
	close(fd);
	int err = connect_to(path, SQLITE_OPEN_READWRITE, &s);
	if (err == 0)
		err = create_tables(s);
	if (err == 0)
		err = sync_folder(path);
	if (err < 0) {
		segment_close(s);
		unlink(path);
		return why_set(why, err, "creating '%s': %s", path, strerror(-err));
	}
	*segment_out = s;
	return 0;
}

/* A file system that cannot be written to has no place for the WAL's index; a file without a WAL does not need it. */
static int connect_immutable(const char *path, struct segment **segment_out)
{
	AUTO_FREE char *wal = NULL, *uri = NULL;
	size_t n = strlen(path);

	uri = malloc(3 * n + 32);
	if (asprintf(&wal, "%s-wal", path) < 0 || !uri) {
		wal = NULL;
		return -ENOMEM;
	}
	if (access(wal, F_OK) == 0)
		return -EROFS;
	char *at = stpcpy(uri, "file:");
	for (size_t i = 0; i < n; i++)
		at += sprintf(at, strchr("%?#", path[i]) ? "%%%02X" : "%c", (unsigned char)path[i]);
	stpcpy(at, "?immutable=1");
	return connect_to(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, segment_out);
}

int segment_open(const char *path, bool write, struct segment **segment_out, struct why *why)
{
	struct segment *s = NULL;
	struct stat status;

	if (lstat(path, &status) < 0)
		return why_set(why, -errno, "opening '%s': %s", path, strerror(errno));
	int err = S_ISREG(status.st_mode) ? connect_to(path, write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, &s) : -EBADMSG;
	if (err == 0)
		err = check_version(s->db, path, why);
	if (!write && (err == -EROFS || err == -EACCES || err == -EIO || err == -ENOENT)) {
		segment_close(take_ptr(s));
		err = connect_immutable(path, &s);
		if (err == 0)
			err = check_version(s->db, path, why);
	}
	if (err < 0) {
		segment_close(s);
		return err == -ENOTSUP ? err : why_set(why, err, "opening '%s': %s", path, err == -EBADMSG ? "it is damaged" : strerror(-err));
	}
	*segment_out = s;
	return 0;
}

int segment_check(struct segment *s)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &statement, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	int err = errno_of(s->db, rc);
	if (err == 0 && (rc != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0))
		err = -EBADMSG;
	sqlite3_finalize(statement);
	return err;
}

void segment_close(struct segment *s)
{
	if (!s)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	free(s);
}

/* ---- transactions ---- */

int segment_begin(struct segment *s, bool durable)
{
	if (s->durable != durable) {
		int err = run(s, durable ? SYNC_FULL : SYNC_NORMAL);
		if (err < 0)
			return err;
		s->durable = durable;
	}
	return run(s, BEGIN_WRITE);
}

int segment_begin_read(struct segment *s)
{
	return run(s, BEGIN_READ);
}

int segment_commit(struct segment *s)
{
	return run(s, COMMIT);
}

void segment_rollback(struct segment *s)
{
	if (!sqlite3_get_autocommit(s->db))
		run(s, ROLLBACK);
}

/* ---- the dictionary ---- */

static int put_blob(struct segment *s, enum statement which, uint64_t number, const struct packing *packed)
{
	sqlite3_stmt *statement;
	int err = prepare(s, which, &statement);

	if (err < 0)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)number);
	sqlite3_bind_blob64(statement, 2, packed->bytes, packed->n, SQLITE_STATIC);
	return finish(s, statement);
}

static int delete_between(struct segment *s, enum statement which, uint64_t first, uint64_t last)
{
	sqlite3_stmt *statement;
	int err = prepare(s, which, &statement);

	if (err < 0)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)first);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)last);
	return finish(s, statement);
}

int segment_put_dictionary(struct segment *s, uint64_t chunk, const struct packing *packed)
{
	return put_blob(s, PUT_DICTIONARY, chunk, packed);
}

int segment_replace_dictionary(struct segment *s, uint64_t first, uint64_t last, const struct packing *packed)
{
	int err = delete_between(s, DELETE_DICTIONARY, first, last);

	return err < 0 ? err : put_blob(s, PUT_DICTIONARY, first, packed);
}

/* One row of a query after another; row: what to do with it. */
typedef int (*row_fn)(sqlite3_stmt *statement, void *context);

static int each_row(struct segment *s, sqlite3_stmt *statement, row_fn row, void *context)
{
	int rc, result = 0;

	while (result == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW)
		result = row(statement, context);
	if (result == 0)
		result = errno_of(s->db, rc);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result;
}

struct chunk_context {
	segment_chunk_fn fn;
	void *context;
};

static int chunk_row(sqlite3_stmt *statement, void *context)
{
	const struct chunk_context *c = context;
	const void *bytes = sqlite3_column_blob(statement, 1);
	int n = sqlite3_column_bytes(statement, 1);

	if (!bytes || n <= 0)
		return -EBADMSG;
	return c->fn(c->context, (uint64_t)sqlite3_column_int64(statement, 0), bytes, (size_t)n);
}

int segment_dictionary(struct segment *s, uint64_t after, segment_chunk_fn fn, void *context)
{
	struct chunk_context c = {fn, context};
	sqlite3_stmt *statement;

	int err = prepare(s, DICTIONARY, &statement);
	if (err < 0)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
	return each_row(s, statement, chunk_row, &c);
}

/* ---- windows ---- */

/* SQLite has no checksums: a row that was hit must not pass. */
static int64_t checksum(const struct window_head *h, const char *account)
{
	int64_t numbers[] = {(int64_t)h->number, h->time_ns, h->end_ns, h->duration_ns, h->clock_ns, h->gap_ns, h->value,
			     (int64_t)h->level << 32 | h->merged, (int64_t)h->samples << 32 | h->bytes};
	uint64_t seed = account ? XXH3_64bits(account, strlen(account)) : 0;

	return (int64_t)XXH3_64bits_withSeed(numbers, sizeof(numbers), seed);
}

int segment_put_window(struct segment *s, const struct window_head *h, const char *account, const struct packing *packed)
{
	struct window_head head = *h;
	sqlite3_stmt *statement;

	head.bytes = (uint32_t)packed->n;
	int64_t columns[] = {(int64_t)head.number, head.time_ns, head.end_ns, head.duration_ns, head.clock_ns, head.gap_ns, head.value,
			     head.level, head.merged, head.samples, head.bytes};
	int err = prepare(s, PUT_WINDOW, &statement);
	if (err < 0)
		return err;
	for (int i = 0; i < 11; i++)
		sqlite3_bind_int64(statement, i + 1, columns[i]);
	if (account)
		sqlite3_bind_text(statement, 12, account, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 13, checksum(&head, account));
	err = finish(s, statement);
	return err < 0 ? err : put_blob(s, PUT_SAMPLES, head.number, packed);
}

int segment_delete_windows(struct segment *s, uint64_t first, uint64_t last)
{
	int err = delete_between(s, DELETE_SAMPLES, first, last);

	return err < 0 ? err : delete_between(s, DELETE_WINDOWS, first, last);
}

struct window_context {
	segment_window_fn fn;
	void *context;
};

static uint32_t small(sqlite3_stmt *statement, int column, bool *bad)
{
	int64_t value = sqlite3_column_int64(statement, column);

	*bad |= value < 0 || value > UINT32_MAX;
	return (uint32_t)value;
}

static int window_row(sqlite3_stmt *statement, void *context)
{
	const struct window_context *c = context;
	bool bad = false;
	struct window_head h = {
		.number = (uint64_t)sqlite3_column_int64(statement, 0),
		.time_ns = sqlite3_column_int64(statement, 1),
		.end_ns = sqlite3_column_int64(statement, 2),
		.duration_ns = sqlite3_column_int64(statement, 3),
		.clock_ns = sqlite3_column_int64(statement, 4),
		.gap_ns = sqlite3_column_int64(statement, 5),
		.value = sqlite3_column_int64(statement, 6),
		.level = small(statement, 7, &bad),
		.merged = small(statement, 8, &bad),
		.samples = small(statement, 9, &bad),
		.bytes = small(statement, 10, &bad),
	};
	const char *account = (const char *)sqlite3_column_text(statement, 11);

	if (bad || checksum(&h, account) != sqlite3_column_int64(statement, 12))
		return -EBADMSG;
	return c->fn(c->context, &h, account);
}

int segment_windows(struct segment *s, uint64_t from, segment_window_fn fn, void *context)
{
	struct window_context c = {fn, context};
	sqlite3_stmt *statement;

	int err = prepare(s, WINDOWS, &statement);
	if (err < 0)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)from);
	return each_row(s, statement, window_row, &c);
}

static int samples_row(sqlite3_stmt *statement, void *context)
{
	struct packing *out = context;
	int n = sqlite3_column_bytes(statement, 0);
	const void *bytes = sqlite3_column_blob(statement, 0);

	if (!bytes || n <= 0)
		return -EBADMSG;
	packing_raw(out, bytes, (size_t)n);
	return out->failed ? -ENOMEM : 0;
}

int segment_samples(struct segment *s, uint64_t number, struct packing *out)
{
	sqlite3_stmt *statement;

	packing_clear(out);
	int err = prepare(s, SAMPLES, &statement);
	if (err < 0)
		return err;
	sqlite3_bind_int64(statement, 1, (sqlite3_int64)number);
	err = each_row(s, statement, samples_row, out);
	return err == 0 && !out->n ? -ENOENT : err;
}

/* ---- marks ---- */

int segment_put_mark(struct segment *s, const char *sink, uint64_t number)
{
	sqlite3_stmt *statement;
	int err = prepare(s, PUT_MARK, &statement);

	if (err < 0)
		return err;
	sqlite3_bind_text(statement, 1, sink, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)number);
	return finish(s, statement);
}

struct mark_context {
	segment_mark_fn fn;
	void *context;
};

static int mark_row(sqlite3_stmt *statement, void *context)
{
	const struct mark_context *c = context;
	const char *sink = (const char *)sqlite3_column_text(statement, 0);

	if (!sink || !*sink || strlen(sink) >= SEGMENT_SINK_NAME_MAX)
		return -EBADMSG;
	return c->fn(c->context, sink, (uint64_t)sqlite3_column_int64(statement, 1));
}

int segment_marks(struct segment *s, segment_mark_fn fn, void *context)
{
	struct mark_context c = {fn, context};
	sqlite3_stmt *statement;
	int err = prepare(s, MARKS, &statement);

	return err < 0 ? err : each_row(s, statement, mark_row, &c);
}

/* ---- upkeep ---- */

int segment_checkpoint(struct segment *s, bool truncate)
{
	int pages = 0, copied = 0;
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);

	if (rc == SQLITE_OK)
		s->wal_pages = pages > copied ? pages - copied : 0;
	return errno_of(s->db, rc);
}

static int mode_row(sqlite3_stmt *statement, void *context)
{
	const char *mode = (const char *)sqlite3_column_text(statement, 0);

	*(bool *)context = mode && strcmp(mode, "delete") == 0;
	return 0;
}

int segment_seal(struct segment *s)
{
	sqlite3_stmt *statement;
	bool sealed = false;

	int err = prepare(s, SEAL, &statement);
	if (err < 0)
		return err;
	/* Whoever reads it keeps it from that: it is tried again, not waited for. */
	sqlite3_busy_timeout(s->db, 0);
	err = each_row(s, statement, mode_row, &sealed);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	return err == 0 && !sealed ? -EBUSY : err;
}

uint64_t segment_wal_bytes(const struct segment *s)
{
	return (uint64_t)(s->wal_pages > 0 ? s->wal_pages : 0) * 4096;
}

static int first_number(sqlite3_stmt *statement, void *context)
{
	*(int64_t *)context = sqlite3_column_int64(statement, 0);
	return 0;
}

int segment_vacuum(struct segment *s, unsigned pages)
{
	sqlite3_stmt *statement;
	int64_t n = 0;
	char text[64];

	int err = prepare(s, FREE_PAGES, &statement);
	if (err == 0)
		err = each_row(s, statement, first_number, &n);
	if (err < 0 || n <= 0)
		return err;
	snprintf(text, sizeof(text), "PRAGMA incremental_vacuum(%u)", pages);
	err = run_text(s->db, text);
	return err < 0 ? err : n > pages;
}
