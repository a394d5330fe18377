#!/bin/bash -eu
# Builds every target of fuzz/Cargo.toml with its seeds and options into $OUT. Called by OSS-Fuzz, which sets SRC, OUT and
# the flags of the compiler.
cd "$SRC/vhdmount"
cargo fuzz build -O --debug-assertions
python3 packaging/oss-fuzz/seeds.py "$SRC/seeds" demo/demo.vhdx.gz
sed -n '/^\[\[bin\]\]/{n;s/^name = "\(.*\)"$/\1/p}' fuzz/Cargo.toml | while read -r target; do
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    if [ -d "$SRC/seeds/$target" ]; then
        (cd "$SRC/seeds/$target" && zip -qr "$OUT/${target}_seed_corpus.zip" .)
    fi
    # Images of 2 MiB and more, as seeds of that size are useless under a shorter limit.
    case $target in
        image | check | fat | ntfs_volume) max_len=4194304 ;;
        *_tree | *_calls | read_faults | write_vhd | write_vhdx | container_chain | commands) max_len=4096 ;;
        *) max_len=65536 ;;
    esac
    printf '[libfuzzer]\nmax_len = %d\ntimeout = 25\nrss_limit_mb = 2048\n' "$max_len" > "$OUT/$target.options"
done
