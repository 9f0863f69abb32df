//! libFuzzer's wrapper of the target `msf_catalog`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::msf_catalog(data));
