//! Raw values, as the binary extension and gRPC carry them: a byte for the type, two for their number, then they.
//! What can be read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_client::raw;
use modelyard_types::DataType;

fuzz_target!(|data: &[u8]| {
    let [which, low, high, bytes @ ..] = data else { return };
    let data_type = DataType::ALL[usize::from(*which) % DataType::ALL.len()];
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    if let Ok(values) = raw::read(data_type, count, bytes) {
        assert_eq!((values.len(), raw::size(&values)), (count, bytes.len()));
        let mut written = Vec::new();
        raw::write(&mut written, &values);
        assert_eq!(written, bytes);
    }
});
