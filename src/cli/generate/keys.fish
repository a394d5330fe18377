
# Registry keys, and users' names: the program looks into the image while the user types.
function __vhdmount_keys
    set -l words (commandline -opc)
    for word in $words[4..]
        if not string match -q -- '-*' $word
            vhdmount reg complete -- $word (commandline -ct | string unescape) 2>/dev/null
            return
        end
    end
end
complete -c vhdmount -n "__fish_vhdmount_using_subcommand reg; and __fish_seen_subcommand_from query export diff" -a "(__vhdmount_keys)"
