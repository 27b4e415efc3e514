# Tab completion of samerun for bash: eval "$(samerun completion bash)"
_samerun_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" current head="" breaks candidate
    current="${line##*[[:space:]]}"
    # Readline replaces only what follows the last character at which it breaks words.
    breaks="${COMP_WORDBREAKS//[^:=]/}"
    if [[ -n $breaks && $current == *[$breaks]* ]]; then
        head="${current%"${current##*[$breaks]}"}"
    fi
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$head"}")
    done < <(COMP_LINE="$line" COMP_POINT="${#line}" "$1" -sc query=bash 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != *[=/.:] ]]; then
        COMPREPLY[0]+=" "
    fi
}
complete -o nospace -o default -o nosort -F _samerun_complete samerun 2>/dev/null ||
    complete -o nospace -o default -F _samerun_complete samerun  # before bash 4.4
