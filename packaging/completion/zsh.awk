# zsh, by _arguments.
function quoted(text) { gsub(/'/, "'\\''", text); return text }
# In a description between brackets, and behind a colon.
function described(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/\[/, "\\[", text)
	gsub(/\]/, "\\]", text)
	gsub(/:/, "\\:", text)
	return quoted(text)
}
function action(values) {
	if (values == "files") return "_files"
	if (values == "folders") return "_files -/"
	if (values == "pids") return "_pids"
	if (values == "none") return " "
	return "(" values ")"
}
$1 == "command" { commands = commands "\t\t'" $2 ":" described($3) "'\n"; order[++n] = $2 }
$1 == "option" {
	tail = ""
	if ($5 != "-") tail = ":" $5 ":" action($6)
	exclusive = $7 == "yes" ? "*" : ""
	if ($3 != "-" && $4 != "-")
		spec = ($7 == "yes" ? "'*'" : "'(" $3 " " $4 ")'") "{" $3 "," $4 ($5 != "-" ? "=" : "") "}'[" described($8) "]" tail "'"
	else
		spec = "'" exclusive ($3 != "-" ? $3 : $4 ($5 != "-" ? "=" : "")) "[" described($8) "]" tail "'"
	specs[$2] = specs[$2] " \\\n\t\t\t" spec
}
$1 == "verb" { verbs[$2] = verbs[$2] (verbs[$2] == "" ? "" : " ") $3 }
$1 == "files" { files[$2] = 1 }
$1 == "run" { runs[$2] = 1 }
END {
	print "#compdef hearth"
	print "# zsh completion for hearth, made from its --help; see packaging/completion.\n"
	print "_hearth()\n{\n\tlocal -a commands\n\tcommands=(\n" commands "\t)"
	print "\tif ((CURRENT == 2)); then\n\t\t_describe -t commands command commands\n\t\t_arguments '--help[the commands]' '--version[the version]'\n\t\treturn\n\tfi"
	print "\tlocal command=$words[2]\n\tshift words\n\t((CURRENT--))\n\tcase $command in"
	for (i = 1; i <= n; i++) {
		c = order[i]
		more = verbs[c] != "" ? " \\\n\t\t\t'1:verb:(" verbs[c] ")'" : c in files ? " \\\n\t\t\t'*:file:_files'" : c in runs ? " \\\n\t\t\t'*::command: _normal'" : ""
		print "\t" c ")\n\t\t_arguments -s" specs[c] more "\n\t\t;;"
	}
	print "\tesac\n}\n\n_hearth \"$@\""
}
