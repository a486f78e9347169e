#!/usr/bin/env bash
# Copies the small recordings of the tests to fuzz/corpus/, where the fuzz targets start from them.
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
for target in event_log fast_against_plain; do
    find ../tests/data -name '*.hpd' -size -9k -exec cp {} "corpus/$target" \;
done
find ../tests/data -name '*.hpm' -size -9k -exec cp {} corpus/traces_v1 \;
find ../tests/data -name '*.hpc' -size -9k -exec cp {} corpus/digest \;
# No properties; a text, a frame, a node and a trace.
printf '\x00\x08ab\x01\x00\x05\x06\x00\x07' >corpus/traces_v2/one_trace
tail -c +22 ../tests/data/compact_demo.hpm >corpus/traces_v2/compact_demo
# All queries of a larger recording take a second.
digest=../tests/data/tiny/heapprof-1.0/digest_i1_p0.hpc
for base in ../tests/data/{onelive/onelive,loss/loss}; do
    { part "$base.hpm"; part "$base.hpd"; cat "$digest"; } >"corpus/profile/$(basename "$base")"
done
{ part ../tests/data/compact_demo.hpm; part ../tests/data/loss/loss.hpd; cat "$digest"; } >corpus/profile/compact_demo
