/* agent/profile_vaddr.c: what producers write as address. */
#include "tests/unit/cmocka_prelude.h"

#include <errno.h>

#include "agent/profile_vaddr.h"

/* lld's way: file offsets and vaddrs differ by a page for each segment. */
static const struct image_info PIE = {.n_segments = 1, .segments = {{.file_offset = 0x1540, .vaddr = 0x2540, .file_bytes = 0x1000}}};
static const struct image_info EXEC = {.n_segments = 1, .segments = {{.file_offset = 0x1000, .vaddr = 0x401000, .file_bytes = 0x2000}}};
static const struct image_info DEBUG_FILE = {.n_segments = 1, .segments = {{.file_offset = 0, .vaddr = 0x2540, .file_bytes = 0}}};
static const struct image_info DEBUG_FILE_2 = {.n_segments = 2, .segments = {{.vaddr = 0x2540}, {.vaddr = 0x9000}}};

static uint64_t vaddr_of(const struct image_info *info, uint64_t start, uint64_t limit, uint64_t offset, uint64_t address)
{
	struct profile_mapping mapping = {.start = start, .limit = limit, .file_offset = offset};
	uint64_t vaddr = 77;

	int err = profile_vaddr(&mapping, address, info, &vaddr);
	assert_true(err == 0 || err == -ERANGE);
	if (err < 0)
		assert_int_equal(vaddr, 77);
	return err == 0 ? vaddr : 0;
}

static void pcs_go_through_program_headers(void **state)
{
	(void)state;
	assert_int_equal(vaddr_of(&PIE, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x7f0000001678), 0x2678);
	assert_int_equal(vaddr_of(&PIE, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x7f0000001500), 0); /* before the segment */
	assert_int_equal(vaddr_of(&PIE, 0x7f0000001000, 0, 0x1000, 0x7f0000001678), 0x2678);	    /* no limit */
	assert_int_equal(vaddr_of(&EXEC, 0x401000, 0x403000, 0x1000, 0x401234), 0x401234);
	assert_int_equal(vaddr_of(&EXEC, 0x400000, 0x403000, 0, 0x401234), 0x401234); /* mapped whole */
}

static void vaddrs_are_understood(void **state)
{
	(void)state;
	assert_int_equal(vaddr_of(&PIE, 0x2000, 0x4000, 0x1000, 0x2678), 0x2678); /* hearth's */
	assert_int_equal(vaddr_of(&PIE, 0, 0, 0, 0x2678), 0x2678);
	assert_int_equal(vaddr_of(&PIE, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x2678), 0x2678); /* outside of its mapping */
	assert_int_equal(vaddr_of(&PIE, 0, 0, 0, 0x9678), 0);
	assert_int_equal(vaddr_of(&PIE, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x7f0000009678), 0);
}

static void joined_mappings(void **state)
{
	static const struct image_info two = {.n_segments = 2, .segments = {{0, 0, 0x1000}, {0x1000, 0x5000, 0x1000}}};

	(void)state;
	assert_int_equal(vaddr_of(&two, 0x10000, 0x16000, 0, 0x15100), 0x5100);
}

static void debug_files_keep_no_offsets(void **state)
{
	(void)state;
	assert_true(profile_image_is_debug_file(&DEBUG_FILE));
	assert_false(profile_image_is_debug_file(&PIE));
	assert_int_equal(vaddr_of(&DEBUG_FILE, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x7f0000001678), 0x2678);
	assert_int_equal(vaddr_of(&DEBUG_FILE, 0x2000, 0x4000, 0x1000, 0x2678), 0x2678);
	assert_int_equal(vaddr_of(&DEBUG_FILE, 0, 0, 0, 0x2678), 0x2678);
	assert_int_equal(vaddr_of(&DEBUG_FILE_2, 0x7f0000001000, 0x7f0000003000, 0x1000, 0x7f0000001678), 0);
	assert_int_equal(vaddr_of(&DEBUG_FILE_2, 0, 0, 0, 0x2678), 0x2678);
}

static void edges_do_not_wrap(void **state)
{
	static const struct image_info high = {.n_segments = 1, .segments = {{UINT64_MAX - 10, UINT64_MAX - 10, 8}}};

	(void)state;
	assert_int_equal(vaddr_of(&high, UINT64_MAX - 5, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 1), 0);
	assert_int_equal(vaddr_of(&high, 0, 0, 0, UINT64_MAX - 4), UINT64_MAX - 4);
	assert_int_equal(vaddr_of(&high, 0, 0, 0, UINT64_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcs_go_through_program_headers), cmocka_unit_test(vaddrs_are_understood),
		cmocka_unit_test(joined_mappings),		  cmocka_unit_test(debug_files_keep_no_offsets),
		cmocka_unit_test(edges_do_not_wrap),
	};
	return cmocka_run_group_tests_name("agent/profile_vaddr", tests, NULL, NULL);
}
