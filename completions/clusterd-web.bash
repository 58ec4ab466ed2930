# bash completion for clusterd-web

_clusterd_web()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words="-c --config -s --socket -l --listen --agent --host --user
	    --token-file -h --help -V --version"

	COMPREPLY=()
	case $prev in
	-c | --config | -s | --socket | --token-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--user)
		mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
	-l | --listen | --agent | --host) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
	esac
}

complete -o filenames -F _clusterd_web clusterd-web
