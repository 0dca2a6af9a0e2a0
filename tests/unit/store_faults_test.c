/* A disk that gives errors: SQLite's file system in a shim that fails now and then. What was reported as written stays, and it goes on when the disk does. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"
#include "store/store_reader.h"
#include "tests/store/replay.h"
#include "tests/unit/cmocka_prelude.h"

#define WINDOW_NS   ((int64_t)(10 * NS_PER_S))
#define BEGIN_NS    (1790000000 * (int64_t)NS_PER_S)
#define WINDOWS_MAX 16

/* ---- the shim ---- */

enum fault { READS, WRITES, SYNCS, TRUNCATES, OPENS, FAULTS };

static struct {
	bool armed, lasting;
	enum fault fault;
	int after, hits; /* so many calls still pass */
	int rc;
} shim;

static bool fails(enum fault fault)
{
	if (!shim.armed || shim.fault != fault || shim.after-- > 0)
		return false;
	shim.armed = shim.lasting;
	shim.after = 0;
	shim.hits++;
	return true;
}

struct file {
	sqlite3_file base;
	sqlite3_file *real;
};

#define REAL(f) (((struct file *)(f))->real)
#define CALL(f, method, ...) REAL(f)->pMethods->method(REAL(f), ##__VA_ARGS__)

static int file_close(sqlite3_file *f)
{
	return CALL(f, xClose);
}

static int file_read(sqlite3_file *f, void *bytes, int n, sqlite3_int64 at)
{
	return fails(READS) ? SQLITE_IOERR_READ : CALL(f, xRead, bytes, n, at);
}

static int file_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
	if (!fails(WRITES))
		return CALL(f, xWrite, bytes, n, at);
	CALL(f, xWrite, bytes, n / 2, at); /* a part of it may be there */
	return shim.rc == SQLITE_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return fails(TRUNCATES) ? SQLITE_IOERR_TRUNCATE : CALL(f, xTruncate, size);
}

static int file_sync(sqlite3_file *f, int flags)
{
	return fails(SYNCS) ? SQLITE_IOERR_FSYNC : CALL(f, xSync, flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return CALL(f, xFileSize, size);
}

static int file_lock(sqlite3_file *f, int lock)
{
	return CALL(f, xLock, lock);
}

static int file_unlock(sqlite3_file *f, int lock)
{
	return CALL(f, xUnlock, lock);
}

static int file_check_lock(sqlite3_file *f, int *locked)
{
	return CALL(f, xCheckReservedLock, locked);
}

static int file_control(sqlite3_file *f, int op, void *argument)
{
	return CALL(f, xFileControl, op, argument);
}

static int file_sector(sqlite3_file *f)
{
	return CALL(f, xSectorSize);
}

static int file_traits(sqlite3_file *f)
{
	return CALL(f, xDeviceCharacteristics);
}

static int shm_map(sqlite3_file *f, int page, int bytes, int extend, void volatile **memory)
{
	return CALL(f, xShmMap, page, bytes, extend, memory);
}

static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return CALL(f, xShmLock, offset, n, flags);
}

static void shm_barrier(sqlite3_file *f)
{
	CALL(f, xShmBarrier);
}

static int shm_unmap(sqlite3_file *f, int remove)
{
	return CALL(f, xShmUnmap, remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

static sqlite3_vfs *real_vfs, vfs;
static struct replay *replay;

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *f, int flags, int *flags_out)
{
	struct file *file = (struct file *)f;

	(void)self;
	file->base.pMethods = NULL;
	if (fails(OPENS))
		return SQLITE_IOERR;
	file->real = (sqlite3_file *)(file + 1);
	int rc = real_vfs->xOpen(real_vfs, name, file->real, flags, flags_out);
	file->base.pMethods = file->real->pMethods ? &methods : NULL;
	return rc;
}

static int vfs_last_error(sqlite3_vfs *self, int n, char *text)
{
	(void)self;
	(void)n;
	(void)text;
	return shim.rc == SQLITE_FULL ? ENOSPC : EIO;
}

static const struct replay_options host = {.seed = 3, .processes = 6, .brief = 2, .ticks = 30, .depth = 6, .period = 1000, .branching = 30};

static int install_shim(void **state)
{
	(void)state;
	replay = replay_create(&host);
	if (sqlite3_initialize() != SQLITE_OK)
		return -1;
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs; /* what it does not name goes to the real one, which looks at no field of its own */
	vfs.pNext = NULL;
	vfs.zName = "faults";
	vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
	vfs.xOpen = vfs_open;
	vfs.xGetLastError = vfs_last_error;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? 0 : -1;
}

static int remove_shim(void **state)
{
	(void)state;
	sqlite3_vfs_unregister(&vfs);
	replay_destroy(replay);
	return 0;
}

/* ---- windows through it ---- */

struct run {
	struct store *store;
	struct replay *replay;
	uint64_t written[WINDOWS_MAX];
	size_t n_written;
	int windows;
};

/* The next window; a failure must be the disk's. */
static int append(struct run *r)
{
	struct profile *window = replay_window(r->replay, BEGIN_NS + r->windows++ * WINDOW_NS, WINDOW_NS);
	uint64_t number = 4711;
	struct why why;

	int err = store_append(r->store, window, &number, &why);
	profile_free(window);
	if (err == 0) {
		r->written[r->n_written++] = number;
		return 0;
	}
	if (err != -EIO && err != -ENOSPC)
		print_message("fault %d after %d calls: %s\n", shim.fault, shim.after, why.text);
	assert_int_equal(err, shim.rc == SQLITE_FULL ? -ENOSPC : -EIO);
	assert_int_equal(number, 4711);
	assert_true(why.text[0]);
	return err;
}

static void maintain(struct run *r)
{
	struct why why;
	int result;

	for (int i = 0; i < 20 && (result = store_maintain(r->store, &why)) == 1; i++)
		;
	assert_true(result >= 0 || why.text[0]);
}

struct held {
	const struct run *run;
	size_t found;
};

static int look_up(void *context, const struct store_window *window)
{
	struct held *h = context;

	for (size_t i = 0; i < h->run->n_written; i++)
		h->found += h->run->written[i] == window->number;
	return 0;
}

static void assert_all_held(const struct run *r, const char *folder)
{
	struct store_reader *reader;
	struct held held = {.run = r};
	struct profile *sum;
	struct why why;

	assert_int_equal(store_reader_open(folder, &reader, &why), 0);
	assert_int_equal(store_reader_windows(reader, &(struct store_filter){0}, look_up, &held, &why), 0);
	assert_string_equal(why.text, "");
	assert_int_equal(held.found, r->n_written);
	assert_int_equal(store_reader_sum(reader, &(struct store_filter){0}, &sum, &why), 0);
	assert_int_equal(profile_total(sum, 0), r->n_written * host.ticks); /* and none that was reported as failed */
	profile_free(sum);
	store_reader_close(reader);
}

/* before: windows that are there when the trouble begins. Returns whether it came to a fault. */
static bool with_fault(enum fault fault, int rc, int after, bool lasting, int before)
{
	static const struct store_options options = {.bytes_max = 64u << 20};
	char base[] = "/dev/shm/hearth-faults-test.XXXXXX", folder[64], command[96];
	struct run r = {.replay = replay};
	struct store_stats stats;
	struct why why;

	assert_non_null(mkdtemp(base));
	snprintf(folder, sizeof(folder), "%s/store", base);
	assert_int_equal(store_open(folder, &options, &r.store, &why), 0);
	for (int i = 0; i < before; i++)
		assert_int_equal(append(&r), 0);
	shim.fault = fault, shim.rc = rc, shim.after = after, shim.lasting = lasting, shim.hits = 0;
	shim.armed = true;
	for (int i = 0; i < 4; i++) {
		append(&r);
		maintain(&r);
	}
	bool hit = shim.hits > 0;
	shim.armed = false;
	assert_int_equal(append(&r), 0);
	maintain(&r);
	assert_int_equal(append(&r), 0);
	assert_all_held(&r, folder); /* beside the writer */
	store_stats(r.store, &stats);
	assert_int_equal(stats.damaged + stats.damaged_windows + stats.windows_evicted, 0);
	store_close(r.store);
	assert_int_equal(store_open(folder, &options, &r.store, &why), 0);
	assert_string_equal(why.text, "");
	store_close(r.store);
	assert_all_held(&r, folder);
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	assert_int_equal(system(command), 0);
	return hit;
}

/* At the first calls, every so many, until none is left that it could hit. */
static void each_call(enum fault fault, int rc, int calls_max, int every)
{
	int hits = 0;

	for (int before = 0; before <= 3; before += 3)
		for (int lasting = 0; lasting < 2; lasting++)
			for (int after = 0; after < calls_max && with_fault(fault, rc, after, lasting, before); after += every)
				hits++;
	assert_true(hits > 0);
}

static void reads(void **state)
{
	(void)state;
	each_call(READS, SQLITE_IOERR, 12, 2);
}

static void writes(void **state)
{
	(void)state;
	each_call(WRITES, SQLITE_IOERR, 40, 2);
}

static void writes_without_room(void **state)
{
	(void)state;
	each_call(WRITES, SQLITE_FULL, 40, 5);
}

static void syncs(void **state)
{
	(void)state;
	each_call(SYNCS, SQLITE_IOERR, 12, 1);
}

static void opens(void **state)
{
	(void)state;
	assert_true(with_fault(OPENS, SQLITE_IOERR, 0, true, 0));
	assert_true(with_fault(OPENS, SQLITE_IOERR, 1, true, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads), cmocka_unit_test(writes), cmocka_unit_test(writes_without_room), cmocka_unit_test(syncs), cmocka_unit_test(opens),
	};

	return cmocka_run_group_tests(tests, install_shim, remove_shim);
}
