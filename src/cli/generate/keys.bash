
# Registry keys, and users' names: the program looks into the image while the user types.
_vhdmount_keys() {
    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[2]} image= place=0 i word
    [[ ${COMP_WORDS[1]} == reg && $command =~ ^(query|export|diff)$ && $cur != -* ]] || return 1
    for ((i = 3; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $command$word in
            *--parent | *--parent-dir | *--prefix | *-p | *--partition | *--user | *--codepage | query--value | query--find | query-f | query--type | query--separator)
                ((i++)) ;;
            query-* | export-* | diff-*) ;;
            *) ((++place == 1)) && image=$word ;;
        esac
    done
    ((place == 1)) || [[ $command == diff && $place == 2 ]] || return 1
    # The image without the shell's quotes; the key with the quotes that it has.
    image=${image//[\'\"\\]/} image=${image/#\~\//$HOME/}
    local quote= prefix=$cur
    case $cur in
        [\'\"]*) quote=${cur:0:1} prefix=${cur:1} ;;
    esac
    [[ $quote == "'" ]] || prefix=${prefix//\\\\/\\}
    local -a keys
    mapfile -t keys < <("${COMP_WORDS[0]}" reg complete -- "$image" "$prefix" 2> /dev/null)
    ((${#keys[@]})) || return 1
    compopt -o nospace +o default +o bashdefault
    if [[ -n $quote ]]; then
        COMPREPLY=("${keys[@]}")
    else
        mapfile -t COMPREPLY < <(printf '%q\n' "${keys[@]}")
    fi
}

_vhdmount_or_keys() {
    _vhdmount_keys || _vhdmount "$@"
}
