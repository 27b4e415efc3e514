# Tab completion of samerun for zsh, after compinit: eval "$(samerun completion zsh)"
_samerun() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" answer value
    local -a parts wholes partial complete
    for answer in "${(@f)$(COMP_LINE="$line" COMP_POINT="${#line}" "${words[1]}" -sc query=zsh 2>/dev/null)}"; do
        [[ -n $answer ]] || continue
        value="${answer%%$'\t'*}"
        answer="${answer/$'\t'/  }"
        if [[ $value == *[=/.:] ]]; then
            parts+=("$value"); partial+=("$answer")
        else
            wholes+=("$value"); complete+=("$answer")
        fi
    done
    if (( ! $#parts && ! $#wholes )); then
        _files
        return
    fi
    (( $#wholes )) && compadd -l -V samerun -d complete -a wholes
    (( $#parts )) && compadd -l -V samerun -S '' -d partial -a parts
}
compdef _samerun samerun
