"""`soundspot completion`: a script that completes commands and options in a shell."""

SCRIPT = """\
[ -n "$ZSH_VERSION" ] && autoload -U +X compinit bashcompinit && compinit && bashcompinit
_soundspot() {{
    local typed="${{COMP_WORDS[*]:1:COMP_CWORD-1}} " words=""
    case "$typed" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _soundspot soundspot\
"""


def completion() -> None:
    """Print a script that completes commands and options in bash and zsh; files elsewhere.

    In ~/.bashrc or ~/.zshrc: eval "$(soundspot completion)"

    Examples:
        soundspot completion
    """
    from soundspot.cli.main import COMMANDS, GROUPS, load_command
    from soundspot.cli.parser import build_parser

    words = {name: [*build_parser(name, load_command(name))._option_string_actions] for name in COMMANDS}
    for typed in {*GROUPS, *COMMANDS}:
        prefix = f"{typed} ".lstrip()
        following = [name.removeprefix(prefix).split()[0] for name in COMMANDS if name.startswith(prefix)]
        words[typed] = [*dict.fromkeys(following), *words.get(typed, ["--help"])]
    longest_first = sorted(words, key=len, reverse=True)
    cases = "\n".join(f"""        "{name} "*) words="{" ".join(words[name])}" ;;""" for name in longest_first)
    print(SCRIPT.format(cases=cases))
