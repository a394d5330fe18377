//! Boot configuration: a store with all its objects as text; a device alone.
#![no_main]
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vhdmount::{
    bcd::{Device, Raw, Store, Style},
    bytes::MemorySource,
};

fuzz_target!(|data: &[u8]| {
    let _ = Device::parse(data);
    let Ok(store) = Store::open(Arc::new(MemorySource(data.to_vec()))) else { return };
    let style = Style { full: data.len() % 2 == 0, locations: &Raw };
    for object in &store.objects {
        let text = style.object(&store, object);
        assert!(text.starts_with(&object.heading()));
        let _ = store.get(object, 0x1200_0002);
    }
});
