# Registry keys, and users' names: the program looks into the image while the user types.
_vhdmount_keys() {
    [[ $words[2] == reg && $words[3] == (query|export|diff) && $words[CURRENT] != -* ]] || return 1
    local -a keys
    local image typed place=0 i
    for ((i = 4; i < CURRENT; i++)); do
        case $words[3]$words[i] in
            *--parent | *--parent-dir | *--prefix | *-p | *--partition | *--user | *--codepage | query--value | query--find | query-f | query--type | query--separator)
                ((i++)) ;;
            query-* | export-* | diff-*) ;;
            *) ((++place == 1)) && image=${(Q)words[i]} ;;
        esac
    done
    ((place == 1)) || [[ $words[3] == diff && $place == 2 ]] || return 1
    # Between quotes the word is as it is meant.
    [[ -n $compstate[quote] ]] && typed=$PREFIX || typed=${(Q)PREFIX}
    keys=("${(@f)$(_call_program keys "${(q)words[1]}" reg complete -- "${(q)${image/#\~\//$HOME/}}" "${(q)typed}")}")
    [[ -n $keys[1] ]] || return 1
    compadd -U -S '' -- $keys
}

