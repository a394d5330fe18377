#!/bin/bash
# Makes demo.vhdx.gz and manifest.tsv: a small but real Windows-like disk, as `vhdmount demo` shows it.
#
#   64 GiB promised, dynamic VHDX in 1 MiB blocks; GPT: p1 ESP (FAT32), p2 MSR, p3 NTFS with named streams, hard and
#   symbolic links, a junction, sparse, LZNT1-compressed and heavily fragmented files, names beyond ASCII.
#
# Needs root (for the ntfs-3g mount), ntfs-3g, dosfstools, mtools, gdisk, qemu-utils, attr, gzip, python3. All content is
# made here; nothing is taken from Windows. The same layout and content come out each time; the GUIDs that qemu-img draws
# and the times of some metadata do not, so the committed image and manifest belong together.
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC PATH=$PATH:/usr/sbin:/sbin SOURCE_DATE_EPOCH=1715938860 MTOOLS_SKIP_CHECK=1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/vhdmount-demo.XXXXXX")
mnt=$work/mnt
cleanup() { mountpoint -q "$mnt" && umount "$mnt"; rm -rf "$work"; }
trap cleanup EXIT
mkdir "$mnt"
cd "$work"

mib=$((1024 * 1024))
disk_size=$((64 * 1024 * mib))
esp_start=$((1 * mib)) esp_size=$((100 * mib))
ntfs_start=$((117 * mib)) ntfs_size=$((disk_size - 118 * mib))
p3_id=20240517-0941-4000-8000-000000000003

# ---- content -------------------------------------------------------------------------------------------------------

placeholder() { # what Windows has here
    printf 'Demo content of vhdmount.\r\nOn a real disk this is %s.\r\nNothing here was taken from Windows.\r\n' "$1"
}

hive() { # a registry hive: root key, key, values as NAME=HEX
    python3 "$here/hive.py" "$@"
}

log_lines() { # lines that compress as logs do: $1 lines of component $2
    awk -v n="$1" -v who="$2" 'BEGIN {
        split("opened,closed,checked,moved,skipped,repaired,queued", verb, ","); x = 20240517
        for (i = 1; i <= n; i++) {
            x = (x * 1103515245 + 12345) % 2147483648
            printf "2024-05-17 09:%02d:%02d, Info  %s  [%06d] %s item %d\r\n", i / 60 % 60, i % 60, who, i, verb[x % 7 + 1], x % 9973
        }
    }'
}

letter() {
    cat <<'TEXT'
To whoever finds this disk,

the laptop stopped booting on Friday. The thesis is in this folder, two years of
it, and the only other copy was the one that I overwrote on Thursday night.

If you can read this, the disk is fine and only Windows is not. Please send me
"Thesis (final) v7.txt". Do not repair anything, do not let anything write to
the disk, and do not believe the free space that it reports.

                                                                    Ada
TEXT
}

thesis() {
    echo 'On Promises That Disks Make'
    echo
    awk 'BEGIN {
        split("block,cluster,sector,guest,host,volume,disk,promise,snapshot,parent,child,record", noun, ",")
        split("holds,hides,outlives,precedes,contains,forgets,repeats,moves", verb, ","); x = 7
        for (chapter = 1; chapter <= 7; chapter++) {
            printf "\nChapter %d\n\n", chapter
            for (i = 0; i < 90; i++) {
                for (j = 1; j <= 3; j++) { x = (x * 1103515245 + 12345) % 2147483648; r[j] = int(x / 65536) }
                printf "The %s %s the %s.%s", noun[r[1] % 12 + 1], verb[r[2] % 8 + 1], noun[r[3] % 12 + 1], i % 3 == 2 ? "\n" : " "
            }
        }
    }'
}

# ---- p1: the EFI system partition ----------------------------------------------------------------------------------

esp=$work/esp
mkdir -p "$esp/EFI/Microsoft/Boot/en-US" "$esp/EFI/Microsoft/Recovery" "$esp/EFI/Boot"
hive NewStoreRoot Objects > "$esp/EFI/Microsoft/Boot/BCD" # the Boot Configuration Data, which says what to boot
placeholder 'the Windows boot manager, an EFI program' > "$esp/EFI/Microsoft/Boot/bootmgfw.efi"
cp "$esp/EFI/Microsoft/Boot/bootmgfw.efi" "$esp/EFI/Boot/bootx64.efi"
placeholder 'a table of messages' > "$esp/EFI/Microsoft/Boot/en-US/bootmgfw.efi.mui"
log_lines 200 BOOT > "$esp/EFI/Microsoft/Recovery/Long file name of a log – größer.txt"
find "$esp" -exec touch -h -d @$SOURCE_DATE_EPOCH {} +

truncate -s $esp_size esp.vol
mkfs.fat -F 32 -s 1 -n SYSTEM -i 2024D15C --invariant esp.vol > esp.log
mcopy -s -m -i esp.vol "$esp/EFI" ::/

# ---- p3: NTFS. Made small, so that $LogFile is small, filled, then grown to its partition --------------------------

truncate -s $((24 * mib)) ntfs.vol
mkntfs -q -Q -F -T -L Windows -c 4096 -s 512 -p $((ntfs_start / 512)) -H 255 -S 63 ntfs.vol
ntfs-3g -o streams_interface=windows,compression,noatime,big_writes ntfs.vol "$mnt"
cd "$mnt"

utf16() { printf '%s' "$1" | iconv -t UTF-16LE | od -An -v -tx1 | tr -d ' \n'; }
le16() { printf '%02x%02x' $(($1 & 255)) $(($1 >> 8)); }
le32() { le16 $(($1 & 65535)); le16 $(($1 >> 16)); }
guid() { # in hex as on disk: the first three groups are little-endian
    sed -E 's/-//g; s/^(..)(..)(..)(..)(..)(..)(..)(..)/\4\3\2\1\6\5\8\7/' <<< "$1"
}
reparse() { # path, tag, data in hex
    setfattr -n system.ntfs_reparse_data -v "0x$(le32 "$2")$(le16 $((${#3} / 2)))0000$3" "$1"
}
symlink() { # path, target, 1 = relative, print name
    local sub print
    sub=$(utf16 "$2") print=$(utf16 "${4:-$2}")
    reparse "$1" $((0xA000000C)) \
        "$(le16 0)$(le16 $((${#sub} / 2)))$(le16 $((${#sub} / 2)))$(le16 $((${#print} / 2)))$(le32 "$3")$sub$print"
}
junction() { # path, target
    local sub print
    mkdir "$1"
    sub=$(utf16 "\\??\\$2") print=$(utf16 "$2")
    reparse "$1" $((0xA0000003)) \
        "$(le16 0)$(le16 $((${#sub} / 2)))$(le16 $((${#sub} / 2 + 2)))$(le16 $((${#print} / 2)))${sub}0000${print}0000"
}

mkdir -p Windows/System32/config Windows/WinSxS/amd64_demo_1.0.0.0_none ProgramData Windows/Logs/CBS
# Windows knows p3 as C: and as a volume GUID; the links below name the letter.
p3_device=$(printf 'DMIO:ID:' | od -An -v -tx1 | tr -d ' \n')$(guid $p3_id)
hive ROOT MountedDevices "\DosDevices\C:=$p3_device" "\??\Volume{$p3_id}=$p3_device" > Windows/System32/config/SYSTEM
hive ROOT Microsoft > Windows/System32/config/SOFTWARE
hive ROOT SAM > Windows/System32/config/SAM
mkdir Windows/System32/drivers # enough names for a B+ tree of several blocks
for i in $(seq -w 1 90); do placeholder "driver $i" > "Windows/System32/drivers/demo driver $i.sys"; done
placeholder 'the kernel' > Windows/System32/ntoskrnl.exe
placeholder 'the desktop' > Windows/WinSxS/amd64_demo_1.0.0.0_none/explorer.exe
ln Windows/WinSxS/amd64_demo_1.0.0.0_none/explorer.exe Windows/explorer.exe # as Windows does it
setfattr -n system.ntfs_attrib_be -v 0x00000810 Windows/Logs/CBS # compressed: what is made inside is LZNT1
log_lines 2000 CBS > Windows/Logs/CBS/CBS.log

documents='Users/Ada/Documents'
mkdir -p "$documents/Überraschung" Users/Ada/Downloads Users/Public 'Users/Ada/Virtual Machines'
letter > "$documents/READ ME FIRST.txt"
thesis > "$documents/Thesis (final) v7.txt"
touch "$documents/Thesis.txt"
symlink "$documents/Thesis.txt" 'Thesis (final) v7.txt' 1
echo 'Happy birthday! 🎂' > "$documents/Überraschung/お誕生日 🎉.txt"
placeholder 'a picture of a cat' > Users/Ada/Downloads/cat.jpg
printf '[ZoneTransfer]\r\nZoneId=3\r\nHostUrl=https://example.com/cat.jpg\r\n' > Users/Ada/Downloads/cat.jpg:Zone.Identifier
echo 'A second file inside the first one.' > "$documents/READ ME FIRST.txt:postscript"
: > Users/Public/empty.txt
junction 'Documents and Settings' 'C:\Users'
mkdir 'Users/All Users'
symlink 'Users/All Users' '\??\C:\ProgramData' 0 'C:\ProgramData'

# Sparse: 64 MiB, of which three clusters are stored.
sparse='Users/Ada/Virtual Machines/thin.img'
truncate -s $((64 * mib)) "$sparse"
for at in 0 40000 65535; do printf 'block %d' $at | dd of="$sparse" bs=1024 seek=$at conv=notrunc status=none; done

# Fragmented: written in turns with a neighbour that is then deleted. Its long further names make its MFT record too
# small, so it has an attribute list.
mail='Users/Ada/Documents/mail.mbox'
awk 'BEGIN { for (i = 0; i < 54615; i++) printf "From: disk%03d; all is well. \r\n", i / 128 }' > "$work/mail"
for i in $(seq 0 399); do
    dd if="$work/mail" of="$mail" bs=4096 skip="$i" count=1 oflag=append conv=notrunc status=none
    dd if=/dev/zero of="$mail.lock" bs=4096 count=1 oflag=append conv=notrunc status=none
done
rm "$mail.lock"
mkdir "$documents/Backup"
for day in Monday Tuesday Wednesday Thursday; do
    ln "$mail" "$documents/Backup/mail as it was on $day, kept as a hard link because there was no room for a second copy.mbox"
done

# Born, changed and read on the same morning; directories last, since what happens inside touches them.
birth=$(printf '%016x' $(((SOURCE_DATE_EPOCH + 11644473600) * 10000000)) | sed -E 's/(..)(..)(..)(..)(..)(..)(..)(..)/\8\7\6\5\4\3\2\1/')
find . -depth -mindepth 1 -exec setfattr -h -n system.ntfs_times -v "0x$birth$birth$birth" {} +

# ---- what is on it, as ntfs-3g and mtools read it ------------------------------------------------------------------

sum() { sha256sum "$1" | cut -c1-64; }
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@"; }
{
    row '#volume' kind size sha256 path
    (cd "$esp" && find . -mindepth 1 -printf '%y %P\n') | sort | while read -r type path; do
        if [ "$type" = d ]; then row p1 dir - - "$path"; continue; fi
        mcopy -n -i "$work/esp.vol" "::/$path" "$work/read" && cmp "$work/read" "$esp/$path"
        row p1 file "$(stat -c %s "$work/read")" "$(sum "$work/read")" "$path"
        rm "$work/read"
    done
    find . -mindepth 1 -printf '%y %P\n' | sort | while read -r type path; do
        case $type in
            d) row p3 dir - - "$path" ;;
            l) row p3 link - - "$path" ;;
            *) row p3 file "$(stat -c %s "$path")" "$(sum "$path")" "$path" ;;
        esac
    done
    for path in Users/Ada/Downloads/cat.jpg:Zone.Identifier "$documents/READ ME FIRST.txt:postscript"; do
        row p3 stream "$(stat -c %s "$path")" "$(sum "$path")" "$path"
    done
} > "$work/manifest.tsv"
cd "$work"
umount "$mnt"
while fuser -s ntfs.vol 2> /dev/null; do sleep 0.1; done

# A serial that does not change from run to run, then the whole partition, then the mark that asks for chkdsk away.
printf '\x5c\xd1\x24\x20\xda\x7a\x5c\xd1' | dd of=ntfs.vol bs=1 seek=72 conv=notrunc status=none
truncate -s $ntfs_size ntfs.vol
ntfsresize -ff --no-progress-bar ntfs.vol > ntfs.log <<< y
ntfsfix -d ntfs.vol >> ntfs.log

# ---- the disk ------------------------------------------------------------------------------------------------------

truncate -s $disk_size disk.raw
sgdisk -o -U 20240517-0941-4000-8000-76686D6F756E -a 2048 \
    -n 1:$((esp_start / 512)):+100M -t 1:EF00 -c 1:'EFI system partition' -u 1:20240517-0941-4000-8000-000000000001 \
    -n 2:0:+16M -t 2:0C01 -c 2:'Microsoft reserved partition' -u 2:20240517-0941-4000-8000-000000000002 \
    -n 3:$((ntfs_start / 512)):+$((ntfs_size / 512)) -t 3:0700 -c 3:'Basic data partition' -u 3:$p3_id \
    disk.raw > gpt.log
dd if=esp.vol of=disk.raw bs=1M seek=$((esp_start / mib)) conv=sparse,notrunc status=none
dd if=ntfs.vol of=disk.raw bs=1M seek=$((ntfs_start / mib)) conv=sparse,notrunc status=none
qemu-img convert -f raw -O vhdx -o subformat=dynamic,block_size=1M disk.raw demo.vhdx
gzip -9 -n < demo.vhdx > "$here/demo.vhdx.gz"
cp manifest.tsv "$here/manifest.tsv"
stat -c '%n %s bytes' demo.vhdx "$here/demo.vhdx.gz"
