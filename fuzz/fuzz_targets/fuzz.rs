//! The target that `FUZZ_TARGET` names, driven by libFuzzer.
#![no_main]

use std::sync::OnceLock;

use oxide_operator_fuzz::TARGETS;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        TARGETS.iter().find(|(known, _)| *known == name).expect("there is such a target").1
    });
    target(data);
});
