//! libFuzzer's wrapper of the target `moqt_message`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::moqt_message(data));
