//! Any bytes as a digest: all snapshots are read in order and by number, and agree.
#![no_main]

use heapprof::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|hpc: &[u8]| {
    let Ok(digest) = Digest::from_bytes(hpc.to_vec()) else {
        return;
    };
    for (number, snapshot) in digest.snapshots().enumerate() {
        let Ok(snapshot) = snapshot else { break };
        let again = digest.get(number).unwrap().unwrap();
        assert_eq!(again.time(), snapshot.time());
        assert_eq!(again.usage(), snapshot.usage());
    }
});
