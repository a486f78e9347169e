#!/usr/bin/env bash
# Copies the recordings of the tests to fuzz/corpus/, where the fuzz targets start from them.
set -euo pipefail
cd "$(dirname "$0")"

# A file behind its length: 4 bytes, little-endian.
part() {
    local len
    len=$(wc -c <"$1")
    # shellcheck disable=SC2059
    printf "$(printf '\\x%02x' $((len & 255)) $((len >> 8 & 255)) $((len >> 16 & 255)) $((len >> 24)))"
    cat "$1"
}

mkdir -p corpus/{event_log,fast_against_plain,traces_v1,traces_v2,digest,profile}
cp ../tests/data/*/*.hpd corpus/event_log/
cp ../tests/data/*/*.hpd corpus/fast_against_plain/
cp ../tests/data/*/*.hpm corpus/traces_v1/
cp ../tests/data/demo/*.hpc ../tests/data/tiny/heapprof-1.0/*.hpc corpus/digest/
# No properties; a text, a frame, a node and a trace.
printf '\x00\x08ab\x01\x00\x05\x06\x00\x07' >corpus/traces_v2/one_trace
for hpm in ../tests/data/*/*.hpm; do
    { part "$hpm"; part "${hpm%.hpm}.hpd"; cat ../tests/data/tiny/heapprof-1.0/digest_i1_p0.hpc; } \
        >"corpus/profile/$(basename "${hpm%.hpm}")"
done
