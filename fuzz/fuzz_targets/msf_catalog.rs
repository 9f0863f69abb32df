//! See `weir_fuzz::msf_catalog`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::msf_catalog(data));
