# Completion of clusterctl(1) for bash, with or without bash-completion.

_clusterctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local command= skip= n=0 i word
	local -a which=()

	COMPREPLY=()
	# What stands before: which clusterd, the command, and its arguments.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $skip ]]; then
			[[ $skip == other ]] || which+=("$skip" "$word")
			skip=
			continue
		fi
		case $word in
		-c | --config) skip=-c ;;
		-s | --socket) skip=-s ;;
		-n | --lines | -t | --timeout | --label | --min | -o | --output)
			skip=other ;;
		-*) ;;
		*)
			if [[ -z $command ]]; then
				command=$word
			else
				n=$((n + 1))
			fi ;;
		esac
	done

	case $prev in
	-c | --config | -s | --socket | -o | --output)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	-n | --lines | -t | --timeout | --label | --min)
		return ;;
	esac

	if [[ $cur == -* ]]; then
		case $command in
		'') word="--config --socket --help --version" ;;
		status) word="--json --watch" ;;
		logs) word="--follow --json --lines" ;;
		events) word="--follow --json" ;;
		check) word="--json" ;;
		metrics) word="--label --openmetrics" ;;
		wait) word="--min --timeout" ;;
		import) word="--output" ;;
		*) word= ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
		return
	fi

	case $command in
	'')
		word="status reload update restart scale stop start logs events metrics wait signal check upgrade import"
		mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur") ;;
	import)
		[[ $n -eq 0 ]] || return
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	status | reload | restart | scale | stop | start | logs | events | \
	wait | signal | check)
		if [[ $command == signal && $n -eq 1 ]]; then
			word="HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH"
			mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
			return
		fi
		[[ $n -eq 0 ]] || return
		# Asks the running clusterd; the program that stands there.
		word=$("${COMP_WORDS[0]}" "${which[@]}" --list-apps 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur") ;;
	esac
}

complete -F _clusterctl clusterctl
