# Tab completion of samerun for fish: samerun completion fish | source
function __samerun_complete
    set -lx COMP_LINE (commandline -cp)
    set -lx COMP_POINT (string length -- "$COMP_LINE")
    set -l program (commandline -opc)[1]
    $program -sc query=fish 2>/dev/null
end
complete -c samerun -f -k -a '(__samerun_complete)'
