# shellcheck shell=bash
# How tests/run runs programs that print TAP, counts what they say, and shows what matters. Sourced.
passed=0 failed=0 skipped=0
logs=$(mktemp -d)
again=$logs/again
mkdir "$again"
trap 'rm -rf "$logs"' EXIT

# report NAME STATUS LOG SECONDS [LIMIT COMMAND...]: count the TAP lines of a program; a crash or silence is a failure.
# LIMIT COMMAND: how it runs once more, alone, if one or two of its tests failed (see second_chances).
report() {
	local name=$1 status=$2 log=$3 seconds=$4 ok bad skip
	shift 4
	# cmocka 1.1.5 writes "not ok 1 # SKIP name" for a skipped test.
	skip=$(grep -cE '^(not )?ok [0-9]+.*# ?SKIP' "$log")
	ok=$(grep -E '^ok [0-9]+' "$log" | grep -cvE '# ?SKIP')
	bad=$(grep -E '^not ok [0-9]+' "$log" | grep -cvE '# ?SKIP')
	if [ $((ok + bad + skip)) = 0 ] || { [ "$status" != 0 ] && [ "$bad" = 0 ]; }; then
		bad=$((bad + 1))
		echo "not ok - $name ended with status $status" >>"$log"
	fi
	if [ $# -gt 0 ] && keep_for_second_chance "$name" "$status" "$log" "$bad" "$@"; then
		printf '%-52s %4d ok %4d to be run again %4d skipped  %4d s\n' "$name" "$ok" "$bad" "$skip" "$seconds"
		grep -v '^ok ' "$log" | sed -E 's/^not ok [0-9]+ -/failed:/; s/^/    /' | tail -n 80
		passed=$((passed + ok)) skipped=$((skipped + skip))
		return
	fi
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-52s %4d ok %4d failed %4d skipped  %4d s\n' "$name" "$ok" "$bad" "$skip" "$seconds"
	[ "$bad" = 0 ] || sed 's/^/    /' "$log" | tail -n 80
	[ "$bad" != 0 ] || grep -E '^(not )?ok [0-9]+.*# ?SKIP|^# measured:' "$log" | sed -e 's/^# measured://' -e 's/^/    /'
}

# keep_for_second_chance NAME STATUS LOG BAD LIMIT COMMAND...
keep_for_second_chance() {
	local name=$1 status=$2 log=$3 bad=$4 kept
	shift 4
	[ "$bad" = 1 ] || [ "$bad" = 2 ] || return 1
	# Another status than that of failed tests (cmocka's is their number): it died, or valgrind complained. A sanitizer ends with 1, too.
	[ "$status" = 1 ] || [ "$status" = "$bad" ] || return 1
	! grep -qE '(Address|Leak)Sanitizer|runtime error: |^==[0-9]+==' "$log" || return 1
	kept=$(mktemp -d "$again/XXXXXX")
	grep -E '^not ok [0-9]+' "$log" | grep -vE '# ?SKIP' | sed -E 's/^not ok [0-9]+ - //' >"$kept/tests"
	if [ "$(grep -c . "$kept/tests")" != "$bad" ]; then # it died: no accident
		rm -rf "$kept"
		return 1
	fi
	printf '%s\n' "$name" >"$kept/name"
	printf '%q ' "$@" >"$kept/command"
}

# Tests look at clocks and samples, two of them at a time, on machines whose CPUs others take away; what failed for that is right when it
# runs alone. So the tests that failed run once more at the end, with nothing beside them, and fail if they fail again. Not what died, what a
# sanitizer or valgrind complained of, a program with more than two failures, or more than five programs: those are no accidents.
second_chances() {
	local kept name log count
	count=$(find "$again" -mindepth 1 -maxdepth 1 -type d | wc -l)
	[ "$count" -gt 0 ] || return
	echo "once more, alone:"
	for kept in "$again"/*/; do
		name=$(cat "$kept/name") log=$kept/log
		if [ "$count" -le 5 ]; then
			eval "TESTS_ONLY=$kept/tests timeout -k 10 $(cat "$kept/command")" >"$log" 2>&1 </dev/null
			second_report "$name" $? "$kept/tests" "$log"
		else
			failed=$((failed + $(grep -c . "$kept/tests")))
			sed "s/^/not ok - $name: /" "$kept/tests"
		fi
	done
}

# second_report NAME STATUS TESTS LOG: what counts is what failed before, and that the program ends well.
second_report() {
	local name=$1 status=$2 tests=$3 log=$4 test
	while read -r test; do
		if [ "$status" = 0 ] && sed -nE 's/^ok [0-9]+ - //p' "$log" | grep -qxF -- "$test"; then
			passed=$((passed + 1))
			echo "    right the second time: $name: $test"
		else
			failed=$((failed + 1))
			echo "not ok - $name: $test"
			sed 's/^/    /' "$log" | tail -n 80
		fi
	done <"$tests"
}

# run NAME SECONDS COMMAND...: a program that prints TAP.
run() {
	local name=$1 limit=$2 log="$logs/$passed.$failed.$RANDOM" begin=$SECONDS status
	shift 2
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	report "$name" "$status" "$log" $((SECONDS - begin)) "$limit" "$@"
}

# run_each SUITE SECONDS COMMAND... -- PROGRAM...: COMMAND PROGRAM for each, as many at a time as there are CPUs; reported in their order.
# For what needs a CPU and nothing else of the machine.
run_each() {
	local suite=$1 limit=$2 command=() program at=0
	shift 2
	while [ "$1" != -- ]; do command+=("$1") && shift; done
	shift
	rm -f "$logs"/each.*
	for program in "$@"; do
		while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
		one_of_each "$logs/each.$at" "$limit" "${command[@]}" "$program" &
		at=$((at + 1))
	done
	wait
	at=0
	for program in "$@"; do
		# shellcheck disable=SC2046
		report "$suite ${program##*/}" $(cat "$logs/each.$at.status") "$logs/each.$at" $(cat "$logs/each.$at.seconds") "$limit" "${command[@]}" "$program"
		at=$((at + 1))
	done
}

# one_of_each LOG SECONDS COMMAND...
one_of_each() {
	local log=$1 limit=$2 begin=$SECONDS
	shift 2
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
	echo $? >"$log.status"
	echo $((SECONDS - begin)) >"$log.seconds"
}

# check NAME COMMAND...: one test, passed when the command succeeds.
check() {
	local name=$1 log="$logs/check.$RANDOM" begin=$SECONDS
	shift
	if "$@" >"$log" 2>&1 </dev/null; then
		echo "ok 1 - $name" >"$log"
		report "$name" 0 "$log" $((SECONDS - begin))
	else
		echo "not ok 1 - $name" >>"$log"
		report "$name" 1 "$log" $((SECONDS - begin))
	fi
}

# beside SUITE...: run them in the background, one after the other; what they print and count comes with join.
# For what needs a CPU, while other suites mostly wait.
beside() {
	rm -rf "$logs/beside"
	mkdir "$logs/beside"
	(
		logs="$logs/beside" passed=0 failed=0 skipped=0
		for part in "$@"; do "suite_$part"; done >"$logs/printed"
		echo "$passed $failed $skipped" >"$logs/counts"
	) &
	beside=$!
}

join() {
	local ok bad skip
	wait "$beside"
	cat "$logs/beside/printed"
	read -r ok bad skip <"$logs/beside/counts" || { ok=0 bad=1 skip=0 && echo "not ok - what ran beside died"; }
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
}

