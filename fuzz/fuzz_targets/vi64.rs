//! libFuzzer's wrapper of the target `vi64`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::vi64(data));
