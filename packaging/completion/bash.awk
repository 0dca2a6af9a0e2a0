# bash, 4.0 and later; no package bash-completion is needed.
function add(list, what) { return list == "" ? what : list " " what }
$1 == "command" { commands = add(commands, $2) }
$1 == "option" {
	if ($3 != "-") names[$2] = add(names[$2], $3)
	if ($4 != "-") names[$2] = add(names[$2], $4)
	if ($5 == "-") next
	pattern = ($3 != "-" ? $2 ":" $3 : "") ($3 != "-" && $4 != "-" ? "|" : "") ($4 != "-" ? $2 ":" $4 : "")
	cases = cases "\t" pattern ") echo '" $6 "' ;;\n"
}
$1 == "verb" { verbs[$2] = add(verbs[$2], $3) }
$1 == "files" { files[$2] = 1 }
$1 == "run" { runs[$2] = 1 }
END {
	print "# bash completion for hearth, made from its --help; see packaging/completion."
	print "# What a command has: its options, its verbs, \"+files\" when it takes files, \"+run\" when it runs a command."
	print "_hearth_words()\n{\n\tcase $1 in"
	n = split(commands, list, " ")
	for (i = 1; i <= n; i++)
		print "\t" list[i] ") echo '" names[list[i]] (verbs[list[i]] != "" ? " " verbs[list[i]] : "") (list[i] in files ? " +files" : "") (list[i] in runs ? " +run" : "") "' ;;"
	print "\tesac\n}\n"
	print "# What the argument of COMMAND:OPTION can be: words, files, folders, pids, none; nothing: it has none."
	print "_hearth_values()\n{\n\tcase $1 in"
	printf "%s", cases
	print "\tesac\n}\n"
	print "_hearth()\n{"
	print "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} i values words"
	print "\tCOMPREPLY=()"
	print "\tif ((COMP_CWORD == 1)); then\n\t\tmapfile -t COMPREPLY < <(compgen -W '" commands " --help --version' -- \"$word\")\n\t\treturn\n\tfi"
	print "\t# --option=word comes as three words, since = parts them."
	print "\tif [ \"$word\" = = ]; then\n\t\tword=\n\telif [ \"$before\" = = ]; then\n\t\tbefore=${COMP_WORDS[COMP_CWORD-2]}\n\tfi"
	print "\twords=\" $(_hearth_words \"$command\") \""
	print "\tfor ((i = 2; i < COMP_CWORD; i++)); do"
	print "\t\tif [ \"${COMP_WORDS[i]}\" = -- ] && [ \"${words/ +run /}\" != \"$words\" ]; then"
	print "\t\t\tif ((i == COMP_CWORD - 1)); then mapfile -t COMPREPLY < <(compgen -c -- \"$word\"); else compopt -o default; fi"
	print "\t\t\treturn\n\t\tfi\n\tdone"
	print "\tvalues=$(_hearth_values \"$command:$before\")"
	print "\tcase $values in"
	print "\tfiles) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;"
	print "\tfolders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$word\") ;;"
	print "\tpids) mapfile -t COMPREPLY < <(cd /proc && compgen -W \"$(echo [0-9]*)\" -- \"$word\") ;;"
	print "\tnone) ;;"
	print "\t'')"
	print "\t\tmapfile -t COMPREPLY < <(compgen -W \"$(echo \"$words\" | sed 's/ +[a-z]*//g')\" -- \"$word\")"
	print "\t\tif [ \"${words/ +files /}\" != \"$words\" ] && [ \"${word#-}\" = \"$word\" ]; then"
	print "\t\t\tcompopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\")"
	print "\t\tfi ;;"
	print "\t*) mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$word\") ;;"
	print "\tesac\n}"
	print "complete -F _hearth hearth"
}
