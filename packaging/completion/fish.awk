# fish, 3.0 and later.
function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/'/, "\\'", text); return "'" text "'" }
function here(command) { return "-n '__fish_seen_subcommand_from " command "'" }
BEGIN {
	print "# fish completion for hearth, made from its --help; see packaging/completion."
	print "complete -c hearth -f"
	print "complete -c hearth -n __fish_use_subcommand -l help -d 'the commands'"
	print "complete -c hearth -n __fish_use_subcommand -l version -d 'the version'"
}
$1 == "command" { print "complete -c hearth -n __fish_use_subcommand -a " $2 " -d " quoted($3) }
$1 == "option" {
	line = "complete -c hearth " here($2)
	if ($3 != "-") line = line " -s " substr($3, 2)
	if ($4 != "-") line = line " -l " substr($4, 3)
	if ($6 == "files") line = line " -r -F"
	else if ($6 == "folders") line = line " -x -a '(__fish_complete_directories)'"
	else if ($6 == "pids") line = line " -x -a '(__fish_complete_pids)'"
	else if ($6 == "none") line = line " -x"
	else if ($6 != "-") line = line " -x -a " quoted($6)
	print line " -d " quoted($8)
}
$1 == "verb" { print "complete -c hearth " here($2) " -a " $3 " -d " quoted($4) }
$1 == "files" { print "complete -c hearth " here($2) " -F" }
$1 == "run" { print "complete -c hearth -n '__fish_seen_subcommand_from " $2 "; and contains -- -- (commandline -opc)' -F -a '(__fish_complete_command)'" }
