# hearth: build, set-up and tests. `make help` lists the targets.
#
#   V=1                    show the commands
#   SAN=address,undefined  a sanitizer build, in a folder of its own
#   CC=clang               another compiler, in a folder of its own
#   WERROR=1               warnings are errors (CI)

VERSION := 0.1.0
CC      := gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PROTOC  ?= protoc-c
prefix  ?= /usr/local
DESTDIR ?=

comma := ,
empty :=
space := $(empty) $(empty)
B := build$(if $(filter-out gcc,$(CC)),/$(notdir $(CC)))$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))

Q := $(if $(V),,@)
SILENT := $(findstring s,$(firstword -$(MAKEFLAGS))) # make -s
say = $(if $(V)$(strip $(SILENT)),$(Q),@printf '  %-8s %s\n' '$(1)' '$(2)';)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	    -Wundef -Wformat=2 -Wvla -Wwrite-strings -Wold-style-definition $(if $(WERROR),-Werror)
HEARTH_CFLAGS := -std=gnu11 $(if $(SAN),-O1 -g1,-O2 -g) -fno-omit-frame-pointer -fstack-protector-strong $(WARNINGS) \
		 $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all,-D_FORTIFY_SOURCE=2)
HEARTH_CPPFLAGS := -D_GNU_SOURCE -DHEARTH_VERSION='"$(VERSION)"' -I. -isystem $(B)
HEARTH_LDLIBS := -lbpf -lseccomp -lunwind-x86_64 -lprotobuf-c -lz -lzstd -llzma -lxxhash -liberty -lpcre2-8 -lmd -lsqlite3 -l:libjson-c.a
LDSAN := $(if $(SAN),-fsanitize=$(SAN))

ifneq ($(shell command -v pkg-config 2>/dev/null),)
HEARTH_CPPFLAGS += $(shell pkg-config --cflags libbpf 2>/dev/null)
endif
# Debian 12 keeps libiberty's header below its own folder.
HEARTH_CPPFLAGS += -isystem /usr/include/libiberty

FOLDERS  := agent base debuginfod pprof server-upload store symbolizer web
SRCS     := $(sort $(wildcard $(addsuffix /*.c,$(FOLDERS))))
LIB_OBJS := $(patsubst %.c,$(B)/%.o,$(filter-out agent/main.c,$(SRCS))) $(B)/pprof/profile.pb-c.o $(B)/web/querier.pb-c.o
UNIT     := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(sort $(wildcard tests/unit/*_test.c)))
GENERATED := $(B)/bpf/sample.skel.h $(B)/pprof/profile.pb-c.h $(B)/web/querier.pb-c.h $(B)/pprof/flame_assets.h $(B)/web/assets_data.h

.DEFAULT_GOAL := all
.PHONY: all completion help page deps test-deps bench-deps run test test-unit test-asan test-store test-valgrind test-system test-kernels test-setup \
	test-cfi test-names test-fuzz fuzz-cfi bench bench-cfi bench-confine bench-accuracy bench-programs install uninstall clean bench-window-names \
	bench-names bench-labels bench-store bench-flame bench-api test-upload test-upload-fleet bench-upload test-page pictures
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/hearth ## build build/hearth

help: ## this list
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# --- build -------------------------------------------------------------------------------------------------

$(B)/hearth: $(B)/agent/main.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

$(B)/libhearth.a: $(LIB_OBJS)
	$(call say,AR,$@)rm -f $@ && $(AR) rcs $@ $^

# -MD and not -MMD: what is generated is included as a system header, and is followed too.
$(B)/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(HEARTH_CPPFLAGS) $(CPPFLAGS) $(HEARTH_CFLAGS) $(CFLAGS) -MD -MP -c -o $@ $<

# Generated code is not held to our warnings.
$(B)/%.pb-c.o: $(B)/%.pb-c.c
	$(call say,CC,$@)$(CC) -D_GNU_SOURCE -I$(B) -O2 -g $(LDSAN) $(CFLAGS) -c -o $@ $<

# protoc writes both, the header last: then this one would stay older than it, and be made again each time.
$(B)/%.pb-c.c: $(B)/%.pb-c.h
	@touch $@
$(B)/%.pb-c.h: %.proto
	@mkdir -p $(@D)
	$(call say,PROTOC,$@)$(PROTOC) --c_out=$(@D) -I$(<D) $<

# The flame graph's style and script, as C strings.
$(B)/pprof/flame_assets.h: pprof/flame.css pprof/flame.js
	@mkdir -p $(@D)
	$(call say,EMBED,$@)for file in CSS:pprof/flame.css JS:pprof/flame.js; do \
		printf 'static const char FLAME_%s[] =\n' "$${file%%:*}"; \
		sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/"&\\n"/' "$${file#*:}"; echo ';'; done >$@

# The page's files, as build.mjs left them, and the form that asks for a token: compressed, and in the binary.
$(B)/web/assets_data.h: web/embed web/login.html web/login.css $(B)/web/index.html
	$(call say,EMBED,$@)web/embed $(B)/web/packed web/login.html web/login.css $(B)/web/index.html $(B)/web/app-*.js $(B)/web/app-*.css >$@

# clang 14 knows -mcpu=v3 but does not choose it; see SAFETY.md, "Kernel features".
$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 -O2 -g -Wall -Wextra $(if $(WERROR),-Werror) \
		-I. -isystem /usr/include/$(shell uname -m)-linux-gnu -MMD -MP -MF $@.d -MT $@ -c -o $@.tmp $<
	$(Q)$(BPFTOOL) gen object $@ $@.tmp && rm -f $@.tmp

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

# The page: its modules and their libraries as one script and one style sheet, named by their hashes, and index.html (docs/page.md).
NODE ?= node
page: $(B)/web/index.html ## bundle the web page
$(B)/web/index.html: web/page/build.mjs $(sort $(wildcard web/page/src/*)) web/page/node_modules/.ready
	@mkdir -p $(@D)
	$(call say,PAGE,$@)$(NODE) $< $(@D)
# Libraries as the lock file has them, once it changes. No script of a package runs.
%/node_modules/.ready: %/package.json %/package-lock.json
	$(call say,NPM,$*)cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && touch node_modules/.ready

compile_commands.json: $(SRCS) Makefile ## for editors and clang tools
	$(call say,JSON,$@)(echo '['; first=; for file in $(SRCS); do echo "$$first{\"directory\":\"$(CURDIR)\",\"file\":\"$$file\"," \
		"\"command\":\"$(CC) $(subst ",\\\",$(HEARTH_CPPFLAGS) $(HEARTH_CFLAGS)) -c $$file\"}"; first=,; done; echo ']') >$@

-include $(patsubst %.o,%.d,$(LIB_OBJS) $(B)/agent/main.o) $(addsuffix .d,$(UNIT)) $(wildcard $(B)/bpf/*.d $(B)/tests/cfi/*.d $(B)/tests/names/*.d $(B)/tests/fuzz/*.d $(B)/tests/hostile/*.d $(B)/tests/upload/*.d $(B)/tests/store/*.d $(B)/tests/web/*.d $(B)/tests/pprof/*.d $(B)/bench/*.d)

# --- install -----------------------------------------------------------------------------------------------

install: all completion ## install below $(DESTDIR)$(prefix)
	install -D -m 0755 $(B)/hearth $(DESTDIR)$(prefix)/bin/hearth
	install -D -m 0644 $(B)/completion/hearth.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/hearth
	install -D -m 0644 $(B)/completion/hearth.zsh $(DESTDIR)$(prefix)/share/zsh/site-functions/_hearth
	install -D -m 0644 $(B)/completion/hearth.fish $(DESTDIR)$(prefix)/share/fish/vendor_completions.d/hearth.fish
	for page in docs/man/*.[15]; do install -D -m 0644 $$page $(DESTDIR)$(prefix)/share/man/man$${page##*.}/$${page##*/}; done
	install -D -m 0644 packaging/hearth.toml $(DESTDIR)$(prefix)/share/doc/hearth/hearth.toml
	mkdir -p $(DESTDIR)$(prefix)/lib/systemd/system
	sed 's|@bindir@|$(prefix)/bin|' packaging/hearth.service >$(DESTDIR)$(prefix)/lib/systemd/system/hearth.service
	chmod 0644 $(DESTDIR)$(prefix)/lib/systemd/system/hearth.service

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(prefix)/bin/hearth $(DESTDIR)$(prefix)/share/man/man1/hearth*.1 $(DESTDIR)$(prefix)/share/man/man5/hearth*.5 \
		$(DESTDIR)$(prefix)/share/doc/hearth/hearth.toml $(DESTDIR)$(prefix)/share/bash-completion/completions/hearth \
		$(DESTDIR)$(prefix)/share/zsh/site-functions/_hearth $(DESTDIR)$(prefix)/share/fish/vendor_completions.d/hearth.fish \
		$(DESTDIR)$(prefix)/lib/systemd/system/hearth.service

# From the help of the commands, so that it is never behind them.
COMPLETION := $(addprefix $(B)/completion/hearth.,bash zsh fish)
completion: $(COMPLETION)
$(COMPLETION): $(B)/completion/hearth.%: $(B)/hearth $(wildcard packaging/completion/*)
	@mkdir -p $(@D)
	$(call say,SHELL,$@)packaging/completion/generate $< $* >$@

clean: ## remove build/
	rm -rf build

# --- set-up ------------------------------------------------------------------------------------------------

deps: ## install what the build needs, from Debian packages, and the page's libraries from npm
	$(Q)packaging/deps build
	$(Q)$(MAKE) --no-print-directory web/page/node_modules/.ready
test-deps: deps
	$(Q)packaging/deps build test
	$(Q)$(MAKE) --no-print-directory tests/web/node_modules/.ready
bench-deps: test-deps
	$(Q)packaging/deps build test bench

# The recursive calls make a fresh machine work: what `deps` installs is looked up again.
run: deps ## install, build, run the agent with its store and its page, and print the address; RUN="--listen 8080 ..."
	$(Q)$(MAKE) --no-print-directory all
	$(B)/hearth agent $(RUN)

# --- tests -------------------------------------------------------------------------------------------------

test: test-deps ## install, build, run all tests
	$(Q)tests/run all

test-unit: $(UNIT) ## unit tests of this build
	$(Q)tests/run unit
test-asan: ## unit tests under AddressSanitizer and UBSan
	$(Q)tests/run asan
test-valgrind: ## unit tests under valgrind
	$(Q)tests/run valgrind
test-system: all ## tests that sample a real kernel (root)
	$(Q)tests/run system
test-kernels: all ## boot Debian's 5.10, 6.1 and 6.12 kernels under QEMU and profile in each
	$(Q)tests/run kernels
test-cfi: $(B)/tests/cfi/oracle ## every row of every ELF file below /usr/bin and /usr/lib against libdw's
	$(Q)tests/run cfi
soak: test-deps ## a day's worth of windows in 20 minutes over changing processes: flat memory (root); SOAK="--seconds 600 --windows 4320"
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/soak/run $(SOAK)
test-store: $(B)/tests/store/crash ## kill -9 the store's writer at 200 random moments; ROUNDS=
	$(Q)$(B)/tests/store/crash $(or $(ROUNDS),200)
$(B)/tests/store/crash: $(B)/tests/store/crash.o $(B)/tests/store/replay.o $(B)/tests/store/profile_text.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ -lm $(HEARTH_LDLIBS) $(LDLIBS)
test-page: all tests/web/node_modules/.ready ## the page in Chromium, on a recorded store (root)
	$(Q)BUILD=$(B) $(NODE) tests/web/modules_test.mjs
	$(Q)BUILD=$(B) $(NODE) tests/web/page_test.mjs
pictures: all tests/web/node_modules/.ready ## docs/pictures/: each view of the page, from real programs (root)
	$(Q)BUILD=$(B) PAGE_STORE=/tmp/hearth-pictures/store $(NODE) tests/web/pictures.mjs docs/pictures
	$(Q)rm -rf /tmp/hearth-pictures
test-fuzz: ## each fuzz target for two seconds, with one seed
	$(Q)tests/run fuzz
test-setup: ## the README's commands in a fresh Debian 12
	$(Q)tests/run setup

# libdw is what rows are compared with; nothing but tests links it.
CFI_TESTS := $(patsubst %,$(B)/tests/cfi/%.o,compare values)
$(B)/tests/cfi/%: $(B)/tests/cfi/%.o $(CFI_TESTS) $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ -ldw -lelf $(HEARTH_LDLIBS) $(LDLIBS)

# Names, files and lines, against llvm-symbolizer's and addr2line's.
NAMES_ADDRESSES ?= 100000
test-names: all ## 100,000 random addresses each of C++, Rust and Go programs, libstdc++, glibc, LLVM, beside llvm-symbolizer and addr2line; FILES=...
	$(Q)tests/names/compilers $(B)/hearth
	$(Q)tests/names/compare -n $(NAMES_ADDRESSES) $(or $(FILES),$$(tests/names/corpus all))
$(B)/tests/names/frames: $(B)/tests/names/frames.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

# Files whose CFI compilers wrote, for the unit tests. Without a cross compiler arm64's are missing, and their tests say so.
FIX       := build/tests/fixtures/cfi
ARM64_CC  := $(shell command -v aarch64-linux-gnu-gcc)
FIX_LINK  := -shared -fPIC -nostdlib -Wl,--build-id=none -Wl,-z,lazy
FIX_DEBUG = -g -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions $(NO_PLT_CFI)
FIXTURES  := $(addprefix $(FIX)/,x86_64.so x86_64_fp.so x86_64_no_hdr.so x86_64_debug_frame.so x86_64_zlib.so x86_64_zstd.so \
	     x86_64_no_cfi.so $(if $(ARM64_CC),arm64.so arm64_omit.so arm64_pac.so arm64_debug_frame.so))
$(FIXTURES): tests/fixtures/cfi/shapes.c tests/fixtures/cfi/x86_64.S tests/fixtures/cfi/arm64.S Makefile
	@mkdir -p $(@D)
	$(call say,FIXTURE,$@)$(FIXTURE_CC) -O2 $(FIX_LINK) $(FIXTURE_FLAGS) -o $@ $(FIXTURE_SRCS)
$(FIX)/x86_64%: FIXTURE_CC := gcc
$(FIX)/arm64%: FIXTURE_CC := $(ARM64_CC)
# The linker writes .eh_frame for .plt, where it can.
$(FIX)/x86_64%: NO_PLT_CFI := -Wl,--no-ld-generated-unwind-info
$(FIX)/%.so: FIXTURE_SRCS = tests/fixtures/cfi/shapes.c
$(FIX)/x86_64.so: FIXTURE_SRCS = tests/fixtures/cfi/shapes.c tests/fixtures/cfi/x86_64.S
$(FIX)/arm64.so: FIXTURE_SRCS = tests/fixtures/cfi/shapes.c tests/fixtures/cfi/arm64.S
$(FIX)/x86_64_fp.so: FIXTURE_FLAGS = -O1 -fno-omit-frame-pointer
$(FIX)/x86_64_no_hdr.so: FIXTURE_FLAGS = -Wl,--no-eh-frame-hdr
$(FIX)/x86_64_debug_frame.so $(FIX)/arm64_debug_frame.so: FIXTURE_FLAGS = $(FIX_DEBUG)
$(FIX)/x86_64_zlib.so: FIXTURE_FLAGS = $(FIX_DEBUG) -Wl,--compress-debug-sections=zlib-gabi
$(FIX)/x86_64_zstd.so: FIXTURE_FLAGS = $(FIX_DEBUG) -Wl,--compress-debug-sections=zstd
$(FIX)/x86_64_no_cfi.so: FIXTURE_FLAGS = $(FIX_DEBUG) -s
$(FIX)/arm64_omit.so: FIXTURE_FLAGS = -fomit-frame-pointer
$(FIX)/arm64_pac.so: FIXTURE_FLAGS = -mbranch-protection=standard

# Files whose DWARF is packed, or lies in other files.
NAMES_FIX := build/tests/fixtures/names/missing
$(NAMES_FIX): tests/fixtures/names/build $(wildcard tests/fixtures/names/*.cc tests/fixtures/names/*.h)
	$(call say,FIXTURE,$(@D))tests/fixtures/names/build $(@D)
$(B)/tests/unit/symbolizer_names_files_test: $(NAMES_FIX)
$(B)/tests/unit/symbolizer_dwarf_line_test: UNIT_LIBS := -Wl,--wrap=name_table_add_file,--wrap=name_table_add_rows

$(B)/tests/unit/agent_control_test $(B)/tests/unit/agent_deferred_walk_test $(B)/tests/unit/symbolizer_kept_walk_test: UNIT_LIBS := -Wl,--wrap=clock_gettime
$(B)/tests/unit/server-upload_shape_memory_test $(B)/tests/unit/pprof_memory_test: UNIT_LIBS := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

.PHONY: unit-programs
unit-programs: $(UNIT)
$(B)/tests/unit/symbolizer_cfi_files_test: $(CFI_TESTS) $(B)/tests/cfi/exercise.o $(FIXTURES)
$(B)/tests/unit/symbolizer_unwind_compiler_test: $(B)/tests/cfi/exercise.o
$(B)/tests/unit/symbolizer_unwind_compiler_test: UNIT_LIBS := $(B)/tests/cfi/exercise.o
$(B)/tests/unit/symbolizer_cfi_files_test: UNIT_LIBS := $(CFI_TESTS) $(B)/tests/cfi/exercise.o -ldw -lelf
$(B)/tests/unit/agent_deferred_walk_test $(B)/tests/unit/symbolizer_kept_walk_test: WITH := tests/unit/walk_fixture.c tests/unit/stack_shapes.c
$(B)/tests/unit/agent_unwind_images_test $(B)/tests/unit/agent_unwind_spaces_test: WITH := tests/unit/walk_fixture.c
$(B)/tests/unit/server-upload_http_exchange_test $(B)/tests/unit/server-upload_sink_sender_test \
	$(B)/tests/unit/server-upload_upload_process_test: WITH := tests/unit/upload_server.c
STORE_TESTS := $(B)/tests/store/replay.o $(B)/tests/store/profile_text.o
STORE_UNITS := $(patsubst %,$(B)/tests/unit/%_test,store store_damage store_summing store_faults store_reader web_api)
$(STORE_UNITS): $(STORE_TESTS)
$(STORE_UNITS): UNIT_LIBS := $(STORE_TESTS) -lm
UNIT_WRITERS := $(wildcard $(addprefix tests/unit/,cfi_writer.c dwarf_writer.c elf_writer.c))
$(B)/tests/unit/%: tests/unit/%.c $(B)/libhearth.a $(UNIT_WRITERS) $(wildcard tests/unit/*.h tests/unit/walk_fixture.c tests/unit/stack_shapes.c tests/unit/upload_server.c)
	@mkdir -p $(@D)
	$(call say,TEST,$@)$(CC) $(HEARTH_CPPFLAGS) $(CPPFLAGS) $(HEARTH_CFLAGS) $(CFLAGS) $(LDSAN) -MD -MP -MF $@.d -o $@ \
		$< $(UNIT_LIBS) $(UNIT_WRITERS) $(WITH) $(B)/libhearth.a $(LDFLAGS) -lcmocka $(HEARTH_LDLIBS) $(LDLIBS)

# Fuzzing (docs/testing.md): libFuzzer where clang has it (packaging/deps fuzz), else mutants by a seed; sanitizers in both.
FUZZ_SECONDS ?= 60
FUZZ_SEED    ?= 1
FUZZ_ALL     := $(sort $(patsubst tests/fuzz/%.c,%,$(filter-out $(patsubst %,tests/fuzz/%.c,cfi_differential corpus driver fuzz mutate parts), \
		$(wildcard tests/fuzz/*.c))))
FUZZ_TARGETS ?= $(FUZZ_ALL)
FUZZ_PARTS   := dwarf go line minidebug # their inputs are sections
FUZZ_WITH    := fuzz/fuzz cfi/exercise unit/elf_writer
.PHONY: fuzz fuzz-programs fuzz-list
fuzz-list:
	@echo $(FUZZ_TARGETS)
fuzz: ## damaged input of every kind; FUZZ_SECONDS each, FUZZ_TARGETS="elf pprof ..."
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) tests/fuzz/run $(FUZZ_TARGETS)
fuzz-programs: $(patsubst %,$(B)/fuzz/%,$(FUZZ_TARGETS)) # SAN=address,undefined; for libFuzzer SAN=address,undefined,fuzzer-no-link
FUZZ_MAIN := $(if $(findstring fuzzer-no-link,$(SAN)),,driver mutate corpus)
FUZZ_LINK := $(if $(findstring fuzzer-no-link,$(SAN)),-fsanitize=fuzzer)
.SECONDEXPANSION:
$(patsubst %,$(B)/fuzz/%,$(FUZZ_ALL)): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(patsubst %,$(B)/tests/%.o,$(FUZZ_WITH) $(addprefix fuzz/,$(FUZZ_MAIN))) \
		$$(if $$(filter $$*,$(FUZZ_PARTS)),$(B)/tests/fuzz/parts.o) $(B)/libhearth.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDSAN) $(FUZZ_LINK) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

fuzz-cfi: $(FIXTURES) $(B)/fuzz/cfi_differential ## damaged CFI, and its rows beside libdw's; FUZZ_SECONDS each
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) tests/fuzz/run cfi
	$(Q)nice $(B)/fuzz/cfi_differential build/fuzz/seeds/cfi -max_total_time=$(FUZZ_SECONDS) -seed=$(FUZZ_SEED)
$(B)/fuzz/cfi_differential: $(patsubst %,$(B)/tests/%.o,fuzz/cfi_differential fuzz/corpus cfi/exercise cfi/compare cfi/values \
		unit/elf_writer) $(B)/libhearth.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ -ldw -lelf $(HEARTH_LDLIBS) $(LDLIBS)

# Reads the files of tests/hostile/images.py.
$(B)/tests/hostile/parse: $(B)/tests/hostile/parse.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

# Analyses of profiles, for tests/pprof/analysis_test.py to compare with go tool pprof's.
$(B)/tests/pprof/analyze: $(B)/tests/pprof/analyze.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

# Requests of one window, and messages of one upload, for tests/upload/*_test.py to decode.
$(B)/tests/upload/shape $(B)/tests/upload/debuginfo: $(B)/tests/upload/%: $(B)/tests/upload/%.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

# Answers of the JSON API without a server, for tests and for the page's development; and a store to ask.
$(B)/tests/web/api_get: $(B)/tests/web/api_get.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)
$(B)/tests/web/write_store: $(B)/tests/web/write_store.o $(B)/tests/store/replay.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ -lm $(HEARTH_LDLIBS) $(LDLIBS)

# Single-steps programs and compares the walk at every instruction; x86-64 only.
.PHONY: stepping
stepping: $(B)/tests/stepping/step
STEPPING := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/stepping/*.c)))
$(B)/tests/stepping/step: $(STEPPING) $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)
-include $(STEPPING:.o=.d)

# Uploading: test servers, a feeder of windows in the place of the agent, a fleet in simulated time (tests/upload).
test-upload: test-deps ## uploading, the long way: a server away for half an hour's windows, kill -9, a fleet that comes back
	$(Q)tests/run upload-long
test-upload-fleet: $(B)/tests/upload/fleet $(B)/tests/upload/feed ## the request rate at a server that 1,000 agents come back to
	$(Q)$(B)/tests/upload/fleet --table
	$(Q)FEED=$(B)/tests/upload/feed /usr/bin/python3 tests/upload/fleet_real.py
$(B)/tests/upload/feed: $(patsubst %,$(B)/tests/upload/%.o,feed feed_upload synthetic) $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -Wl,--wrap=retry_init -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)
$(B)/tests/upload/fleet: $(B)/tests/upload/fleet.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDSAN) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

bench: bench-deps ## cost tables beside perf and bpftrace
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/plain
	$(Q)bench/run

# The largest binaries that machines have; those that are missing are passed over.
BENCH_CFI ?= $(firstword $(wildcard /usr/lib/*/libLLVM-*.so.1)) $(firstword $(wildcard /usr/lib/llvm-*/lib/libclang-cpp.so.*)) \
	     $(wildcard /usr/bin/node) $(lastword $(sort $(wildcard /usr/lib/jvm/*/lib/server/libjvm.so)))
bench-cfi: $(B)/bench/cfi ## rows a second, tables' time and size, beside libdw and readelf
	$(Q)$(B)/bench/cfi $(BENCH_CFI)
$(B)/bench/cfi: $(B)/bench/cfi.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ -ldw -lelf $(HEARTH_LDLIBS) $(LDLIBS)

bench-window-names: $(B)/bench/window_names ## what naming a window costs, with names held over windows and without
	$(Q)$(B)/bench/window_names
$(B)/bench/window_names: $(B)/bench/window_names.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

bench-store: $(B)/bench/store ## a store of 7 days: bytes a day, time of a window, of sums, memory; STORE_DAYS=
	$(Q)$(B)/bench/store $(STORE_DAYS)
$(B)/bench/store: $(B)/bench/store.o $(B)/tests/store/replay.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ -lm $(HEARTH_LDLIBS) $(LDLIBS)

bench-flame: $(B)/bench/flame ## flame graphs, tables, selections and exports of a day, beside go tool pprof; FLAME="file.pb.gz" or "STORE-FOLDER HOURS"
	$(Q)$(B)/bench/flame $(FLAME)
$(B)/bench/flame: $(B)/bench/flame.o $(B)/tests/store/replay.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ -lm $(HEARTH_LDLIBS) $(LDLIBS)

STORE ?= /var/tmp/hearth-bench-api
bench-api: $(B)/bench/store $(B)/tests/web/api_get ## answers of the JSON API on a store of 7 days (made in 7 minutes, kept): time, memory, bytes; STORE=
	$(Q)[ -e $(STORE)/windows-000001.db ] || mkdir -p $(STORE)
	$(Q)[ -e $(STORE)/windows-000001.db ] || $(B)/bench/store 7 $(STORE)
	$(Q)bench/api $(B)/tests/web/api_get $(STORE)

bench-labels: $(B)/bench/labels ## what containers' and units' labels cost with 500 cgroups (root)
	$(Q)$(B)/bench/labels
$(B)/bench/labels: $(B)/bench/labels.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

bench-confine: $(B)/bench/confine ## what the confined process costs, beside the same code in the same process
	$(Q)$(B)/bench/confine $(firstword $(wildcard /lib/x86_64-linux-gnu/libc.so.6))
$(B)/bench/confine: $(B)/bench/confine.o $(B)/libhearth.a
	$(call say,LINK,$@)$(CC) $(LDFLAGS) -o $@ $^ $(HEARTH_LDLIBS) $(LDLIBS)

bench-names: bench-deps ## naming 10,000 addresses of a large C++ debug build, beside llvm-symbolizer and addr2line
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bench/names

bench-upload: bench-deps ## CPU, memory and bytes of uploading, beside perf.data (root)
	$(Q)$(MAKE) --no-print-directory all $(B)/tests/upload/feed
	$(Q)bench/upload

bench-programs: bench-deps ## how many stacks of real programs are complete; installs what is missing only with --install
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bench/programs

bench-accuracy: bench-deps ## how many sampled stacks are right, beside perf's
	$(Q)$(MAKE) --no-print-directory all
	$(Q)python3 bench/accuracy.d/classify_test.py
	$(Q)bench/accuracy

$(B)/bench/%.bpf.o: bench/%.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 -O2 -g -Wall -I. \
		-isystem /usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<
$(B)/bench/plain: bench/plain.c $(B)/bench/plain.skel.h
	$(call say,CC,$@)$(CC) $(HEARTH_CPPFLAGS) $(HEARTH_CFLAGS) $(CFLAGS) -o $@ $< $(LDFLAGS) $(HEARTH_LDLIBS)
$(B)/bench/%.skel.h: $(B)/bench/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $*_bpf >$@
