# The help of one command -> lines of: kind, command, ... (tabs between):
#   option COMMAND SHORT LONG ARGUMENT VALUES IS_REPEATED DESCRIPTION    ("-" for what there is none of)
#   verb COMMAND WORD DESCRIPTION
#   files COMMAND          it takes names of files
#   run COMMAND            it runs a command behind --
# VALUES: words, or files, folders, pids, none.
function flush_option() {
	if (kind == "option")
		printf "option\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", command, short, long, argument == "" ? "-" : argument, values(), description ~ /may be (given several times|repeated)/ ? "yes" : "no", description
	else if (kind == "verb")
		printf "verb\t%s\t%s\t%s\n", command, word, description
	kind = ""
}
# Of these, those that a description has.
function formats(   all, n, i, found) {
	n = split("pprof folded speedscope firefox svg text json", all, " ")
	for (i = 1; i <= n; i++)
		if (match(description, "(^|[^.a-z])" all[i] "([^.a-z]|$)")) found = found (found == "" ? "" : " ") all[i]
	return found
}
# "self, total or name" -> words; or what the argument's name says.
function values(   text) {
	if (argument == "") return "-"
	if (long == "--format") return formats()
	if (long == "--demangle") return "full short none"
	if (long == "--symbolize") return "local server both"
	if (long == "--output-style") return "GNU LLVM JSON"
	if (long == "--event") return "cycles cpu-clock task-clock page-faults minor-faults major-faults context-switches cpu-migrations"
	if (long == "--color") return "auto always never"
	if (argument ~ /^(FORMAT|KEY)$/ && match(description, /[a-z]+(, [a-z]+)*,? or [a-z]+/)) {
		text = substr(description, RSTART, RLENGTH)
		gsub(/,? or /, " ", text)
		gsub(/,/, "", text)
		return text
	}
	if (argument ~ /^(FILE|PATH)/) return "files"
	if (argument ~ /^DIR/) return "folders"
	if (argument ~ /^PID/) return "pids"
	return "none"
}
/^Usage: / && /\.\.\. \[?(FILE|BEFORE|A)/ { print "files\t" command }
/^  -- COMMAND/ { flush_option(); print "run\t" command; next }
/^(  -|      --)/ {
	flush_option()
	if (!match($0, /^ +(-[A-Za-z](, --[a-z][a-z0-9-]*)?|--[a-z][a-z0-9-]*)/)) {
		print "help.awk: " command ": what is '" $0 "'?" >"/dev/stderr"
		exit 1
	}
	names = substr($0, 1, RLENGTH)
	rest = substr($0, RLENGTH + 1)
	short = long = "-"
	if (match(names, /-[A-Za-z](,|$)/)) short = substr(names, RSTART, 2)
	if (match(names, /--.*/)) long = substr(names, RSTART)
	argument = ""
	# " ARG" right behind the name; more spaces are before the description. An option with "[=ARG]" goes without.
	if (match(rest, /^\[=[^ ]*/))
		rest = substr(rest, RLENGTH + 1)
	else if (match(rest, /^[= ](\[[A-Z:]*\])?[A-Z][^ ]*/)) {
		argument = substr(rest, 2, RLENGTH - 1)
		rest = substr(rest, RLENGTH + 1)
		gsub(/\[[^]]*\]/, "", argument) # PID[,PID...], [HOST:]PORT
	}
	sub(/^ +/, "", rest)
	description = rest
	kind = "option"
	next
}
/^  [a-z]+( |$)/ {
	flush_option()
	kind = "verb"
	word = $1
	description = $0
	sub(/^  [a-z]+ .*  +/, "", description)
	sub(/^  [a-z]+ +/, "", description)
	next
}
/^            +/ && kind != "" {
	text = $0
	sub(/^ +/, "", text)
	description = description (description == "" ? "" : " ") text
	next
}
{ flush_option() }
END { flush_option() }
